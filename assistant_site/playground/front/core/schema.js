// What is wrong with a JSON Schema that describes a function's arguments or an answer.

import { t } from "./i18n.js";

const TYPES = ["string", "number", "integer", "boolean", "array", "object", "null"];
const KEYWORDS = new Set(
  `type properties required additionalProperties description title enum const default examples items prefixItems minItems
  maxItems uniqueItems contains minContains maxContains minLength maxLength pattern format minimum maximum exclusiveMinimum
  exclusiveMaximum multipleOf minProperties maxProperties propertyNames patternProperties dependentRequired
  dependentSchemas unevaluatedProperties unevaluatedItems anyOf oneOf allOf not if then else $ref $defs definitions $schema
  $id $anchor $comment nullable deprecated readOnly writeOnly contentEncoding contentMediaType`.split(/\s+/),
);
const LISTS = ["anyOf", "oneOf", "allOf", "prefixItems"];
const NAMED = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
const SINGLE = ["items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "unevaluatedProperties", "unevaluatedItems"];
const NUMBERS = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
const COUNTS = ["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"];
const MOST = 20; // findings told at once

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * Findings, `{place, message, isError}`. An error is what the server or a model refuses; the rest is worth a look.
 * `strict`: the rules of structured outputs hold too.
 */
export function checkSchema(schema, { strict = false } = {}) {
  const found = [];
  const tell = (place, message, isError = true) => found.length < MOST && found.push({ place, message, isError });
  if (!isObject(schema)) {
    tell("", t("The schema must be an object."));
    return found;
  }
  if (schema.type === undefined) tell("", t("Say \"type\": \"object\" at the top."), strict);
  else if (schema.type !== "object") tell("type", t("The type at the top must be “object”."));
  checkPart(schema, "", { strict, tell, root: schema });
  return found;
}

function checkPart(part, place, context) {
  const { tell } = context;
  const at = (name) => (place ? `${place}.${name}` : name);
  if (typeof part === "boolean") return;
  if (!isObject(part)) return void tell(place, t("A schema must be an object."));
  for (const name of Object.keys(part)) if (!KEYWORDS.has(name)) tell(at(name), t("JSON Schema has no keyword of this name; most models overlook it."), false);
  checkType(part, at, tell);
  checkValues(part, at, tell);
  checkObject(part, place, at, context);
  if (part.$ref !== undefined) checkReference(part.$ref, at("$ref"), context);
  for (const name of NAMED) {
    if (part[name] === undefined) continue;
    if (!isObject(part[name])) tell(at(name), t("This must be an object with a schema for each name."));
    else for (const [key, value] of Object.entries(part[name])) checkPart(value, `${at(name)}.${key}`, context);
  }
  for (const name of SINGLE) if (part[name] !== undefined) checkPart(part[name], at(name), context);
  for (const name of LISTS) {
    if (part[name] === undefined) continue;
    if (!Array.isArray(part[name]) || !part[name].length) tell(at(name), t("This must be a list of schemas."));
    else part[name].forEach((value, index) => checkPart(value, `${at(name)}[${index}]`, context));
  }
}

function checkType({ type, items }, at, tell) {
  if (type === undefined) return;
  const given = Array.isArray(type) ? type : [type];
  for (const each of given) if (!TYPES.includes(each)) tell(at("type"), t("“{type}” is no type. There are: {types}.", { type: String(each), types: TYPES.join(", ") }));
  if (given.includes("array") && items === undefined) tell(at("items"), t("Say what the list holds: many models need “items”."), false);
}

function checkValues(part, at, tell) {
  if (part.enum !== undefined && (!Array.isArray(part.enum) || !part.enum.length)) tell(at("enum"), t("This must be a list with the values that are allowed."));
  if (part.description !== undefined && typeof part.description !== "string") tell(at("description"), t("This must be a text."));
  for (const name of NUMBERS) if (part[name] !== undefined && typeof part[name] !== "number") tell(at(name), t("This must be a number."));
  for (const name of COUNTS) {
    if (part[name] !== undefined && !(Number.isInteger(part[name]) && part[name] >= 0)) tell(at(name), t("This must be a whole number from 0 on."));
  }
  if (part.minimum > part.maximum) tell(at("minimum"), t("The smallest value is above the largest."));
  if (part.pattern !== undefined) {
    try {
      new RegExp(part.pattern, "u");
    } catch {
      tell(at("pattern"), t("This is no regular expression."));
    }
  }
}

function checkObject(part, place, at, { strict, tell }) {
  const properties = isObject(part.properties) ? Object.keys(part.properties) : [];
  const { required } = part;
  if (required !== undefined) {
    if (!Array.isArray(required) || !required.every((each) => typeof each === "string")) tell(at("required"), t("This must be a list of names."));
    else for (const name of required) if (!properties.includes(name)) tell(at("required"), t("“{name}” is required, but not among the properties.", { name }));
  }
  if (!strict || (part.type !== "object" && !isObject(part.properties))) return;
  if (part.additionalProperties !== false) tell(place, t("Strict needs \"additionalProperties\": false in every object."));
  for (const name of properties) {
    if (!Array.isArray(required) || !required.includes(name)) tell(at("required"), t("Strict needs every property among the required ones: “{name}” is missing.", { name }));
  }
}

function checkReference(reference, place, { tell, root }) {
  if (typeof reference !== "string" || !reference.startsWith("#")) return void tell(place, t("A reference must be within the schema: “#/…”."));
  let target = root;
  for (const step of reference.slice(1).split("/").filter(Boolean)) target = target?.[step.replaceAll("~1", "/").replaceAll("~0", "~")];
  if (target === undefined) tell(place, t("The reference leads nowhere."));
}

/** The schema with what strict asks for: no further properties, and all of them required. */
export function madeStrict(part) {
  if (Array.isArray(part)) return part.map(madeStrict);
  if (!isObject(part)) return part;
  const made = Object.fromEntries(Object.entries(part).map(([name, value]) => [name, name === "enum" || name === "const" || name === "default" ? value : madeStrict(value)]));
  if (made.type === "object" || isObject(part.properties)) {
    made.properties ??= {};
    made.additionalProperties = false;
    made.required = Object.keys(made.properties);
  }
  return made;
}
