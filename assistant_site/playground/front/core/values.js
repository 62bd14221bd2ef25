// JSON values: whether two are the same, and two people's changes to one brought together.

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether two JSON values are equal; the order of an object's members does not count. */
export function same(one, other) {
  if (one === other) return true;
  if (Array.isArray(one)) return Array.isArray(other) && one.length === other.length && one.every((each, at) => same(each, other[at]));
  if (!isObject(one) || !isObject(other)) return false;
  const names = Object.keys(one).filter((name) => one[name] !== undefined);
  return names.length === Object.keys(other).filter((name) => other[name] !== undefined).length && names.every((name) => same(one[name], other[name]));
}

/** What a tool is told apart by. */
export const toolKey = (tool) => [tool.type, tool.function?.name ?? tool.server_label ?? tool.id ?? ""].join(" ");

/**
 * `mine` and `theirs`, both made from `base`, in one. Where both changed the same thing in different ways `clash` is
 * called, and mine stands.
 */
export function merged(base, mine, theirs, clash) {
  if (same(mine, theirs) || same(base, theirs)) return mine;
  if (same(base, mine)) return theirs;
  if (isObject(mine) && isObject(theirs)) return mergedObjects(isObject(base) ? base : {}, mine, theirs, clash);
  if (isTools(mine) && isTools(theirs)) {
    const [was, is, other] = [base ?? [], mine, theirs].map((tools) => Object.fromEntries(tools.map((tool) => [toolKey(tool), tool])));
    return Object.values(mergedObjects(was, is, other, clash));
  }
  clash();
  return mine;
}

function mergedObjects(base, mine, theirs, clash) {
  const made = {};
  for (const name of new Set([...Object.keys(mine), ...Object.keys(theirs)])) {
    const value = merged(base[name], mine[name], theirs[name], clash);
    if (value !== undefined) made[name] = value;
  }
  return made;
}

/** A list of tools, of which no two are told apart by the same. */
function isTools(value) {
  if (!Array.isArray(value) || !value.every((each) => isObject(each) && typeof each.type === "string")) return false;
  return new Set(value.map(toolKey)).size === value.length;
}
