// Values and names as programs write them. Whatever a text holds, the program holds exactly that.

// What would change how a program looks without being seen: line ends that only some languages know, and marks that
// turn the direction of writing.
const UNSEEN = /[\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const LONGEST = 96;
const STEP = "    ";

/** A text in double quotes; right in JSON, Python and JavaScript alike. */
export const quoted = (text) =>
  JSON.stringify(text).replace(UNSEEN, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** A text as one word of a shell. */
export const shellWord = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** JSON for people, without signs that are not seen. */
export const json = (value) => JSON.stringify(value, null, 2).replace(UNSEEN, (sign) => quoted(sign).slice(1, -1));

const PYTHON = {
  word: (value) => ({ null: "None", true: "True", false: "False" })[String(value)] ?? String(value),
  key: quoted,
  lines: (parts, margin) => `(\n${parts.map((part) => `${margin}${STEP}${part}\n`).join("")}${margin})`,
  step: STEP,
};

const JAVASCRIPT = {
  word: String,
  // As a plain key, "__proto__" would not be a field.
  key: (name) => (name === "__proto__" ? `["__proto__"]` : /^[A-Za-z_$][\w$]*$/.test(name) ? name : quoted(name)),
  lines: (parts, margin) => parts.join(` +\n${margin}  `),
  step: "  ",
  padded: true,
};

function written(language, value, margin) {
  if (typeof value === "string") return textOf(language, value, margin);
  if (value === null || typeof value !== "object") return language.word(value);
  const inside = margin + language.step;
  const isList = Array.isArray(value);
  const items = isList
    ? value.map((each) => written(language, each, inside))
    : Object.entries(value).map(([name, each]) => `${language.key(name)}: ${written(language, each, inside)}`);
  const [open, close] = isList ? "[]" : "{}";
  const space = language.padded && !isList && items.length ? " " : "";
  const line = `${open}${space}${items.join(", ")}${space}${close}`;
  if (!line.includes("\n") && margin.length + line.length <= LONGEST) return line;
  return `${open}\n${items.map((item) => `${inside}${item},\n`).join("")}${margin}${close}`;
}

/** A text of several lines stands in several lines. */
function textOf(language, text, margin) {
  const parts = text.match(/[^\n]*\n|[^\n]+/g) ?? [];
  if (parts.length < 2 || text.length < 40) return quoted(text);
  return language.lines(parts.map(quoted), margin);
}

export const python = (value, margin = "") => written(PYTHON, value, margin);
export const javascript = (value, margin = "") => written(JAVASCRIPT, value, margin);

/** Gives each function a name that the language takes and that is not yet in use: `get-weather` becomes `get_weather`. */
export function namer(taken) {
  const used = new Set(taken);
  return (name) => {
    let made = name.replace(/[^A-Za-z0-9_]/g, "_").replace(/^(?=\d)|^$/, "_");
    while (used.has(made)) made += "_";
    used.add(made);
    return made;
  };
}

/** The properties of a function's schema, those that must be given first: `{name, type, isRequired}`. */
export function parametersOf(definition) {
  const required = new Set(Array.isArray(definition.parameters?.required) ? definition.parameters.required : []);
  const all = Object.entries(definition.parameters?.properties ?? {}).map(([name, schema]) => ({
    name,
    type: schema?.type,
    isRequired: required.has(name),
  }));
  return [...all.filter((each) => each.isRequired), ...all.filter((each) => !each.isRequired)];
}
