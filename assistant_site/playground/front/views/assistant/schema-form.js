// A schema of plain properties as a form. What the form cannot show is edited as JSON.

import { t } from "../../core/i18n.js";
import { html, useState } from "../../ui/html.js";
import { Icon } from "../../ui/icons.js";
import { IconButton } from "./parts.js";

const TYPES = ["string", "number", "integer", "boolean", "array"];
const SHOWN = ["type", "description", "enum", "items"];
const NAME = /^[^\s"]{1,64}$/;

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const hasOnly = (value, names) => Object.keys(value).every((name) => names.includes(name));

/** Whether the form shows all that this schema says. */
export function fitsForm(schema) {
  if (!isObject(schema) || schema.type !== "object" || !hasOnly(schema, ["type", "properties", "required", "additionalProperties"])) return false;
  if (schema.properties !== undefined && !isObject(schema.properties)) return false;
  if (schema.additionalProperties !== undefined && typeof schema.additionalProperties !== "boolean") return false;
  if (schema.required !== undefined && !Array.isArray(schema.required)) return false;
  return Object.values(schema.properties ?? {}).every(isPlain);
}

function isPlain(part) {
  if (!isObject(part) || !hasOnly(part, SHOWN) || !TYPES.includes(part.type)) return false;
  if (part.description !== undefined && typeof part.description !== "string") return false;
  if (part.enum !== undefined && !(part.type === "string" && Array.isArray(part.enum) && part.enum.every((each) => typeof each === "string" && !each.includes(",")))) return false;
  if (part.type !== "array") return part.items === undefined;
  return isObject(part.items) && hasOnly(part.items, ["type"]) && TYPES.slice(0, 4).includes(part.items.type);
}

const rowsOf = ({ properties = {}, required = [] }) =>
  Object.entries(properties).map(([name, part], at) => ({
    key: at,
    name,
    type: part.type,
    items: part.items?.type ?? "string",
    description: part.description ?? "",
    choices: part.enum?.join(", ") ?? "",
    isRequired: required.includes(name),
  }));

function schemaOf(rows, before, isStrict) {
  const properties = {};
  for (const { name, type, items, description, choices } of rows) {
    const values = choices.split(",").map((each) => each.trim()).filter(Boolean);
    properties[name] = {
      type,
      ...(description.trim() ? { description } : {}),
      ...(type === "string" && values.length ? { enum: values } : {}),
      ...(type === "array" ? { items: { type: items } } : {}),
    };
  }
  return { ...before, properties, required: rows.filter((row) => row.isRequired || isStrict).map((row) => row.name) };
}

function faultOf(rows) {
  if (rows.some((row) => !NAME.test(row.name))) return t("Each parameter needs a name without spaces.");
  const all = rows.map((row) => row.name);
  const twice = all.find((name, at) => all.indexOf(name) !== at);
  return twice === undefined ? "" : t("Two parameters have the name “{name}”.", { name: twice });
}

export function SchemaForm({ schema, isStrict, write, setFault }) {
  const [rows, setRows] = useState(() => rowsOf(schema));
  const change = (next) => {
    setRows(next);
    const fault = faultOf(next);
    setFault(fault);
    if (!fault) write(schemaOf(next, schema, isStrict));
  };
  const set = (at) => (changes) => change(rows.map((row, index) => (index === at ? { ...row, ...changes } : row)));
  const add = () => change([...rows, { key: Math.max(-1, ...rows.map((row) => row.key)) + 1, name: freeName(rows), type: "string", items: "string", description: "", choices: "", isRequired: true }]);
  return html`<div class="schema-form">
    ${!rows.length && html`<p class="hint">${t("It takes no parameters.")}</p>`}
    ${rows.map((row, at) => html`<${Property}
      key=${row.key} row=${row} isStrict=${isStrict} set=${set(at)} remove=${() => change(rows.toSpliced(at, 1))}
    />`)}
    <button type="button" class="small" onClick=${add}><${Icon} name="add" size=${16} />${t("Add a parameter")}</button>
  </div>`;
}

function freeName(rows) {
  const taken = new Set(rows.map((row) => row.name));
  let n = rows.length + 1;
  while (taken.has(`parameter_${n}`)) n += 1;
  return `parameter_${n}`;
}

function Property({ row, isStrict, set, remove }) {
  const { name, type } = row;
  const words = { string: t("text"), number: t("number"), integer: t("whole number"), boolean: t("yes or no"), array: t("list") };
  return html`<fieldset class="property">
    <legend class="unseen">${name || t("Parameter")}</legend>
    <input
      class="code name" aria-label=${t("Name of the parameter")} maxlength="64" spellcheck=${false}
      autocomplete="off" value=${name} onInput=${(event) => set({ name: event.target.value })}
    />
    <select aria-label=${t("Type of {name}", { name })} value=${type} onChange=${(event) => set({ type: event.target.value })}>
      ${TYPES.map((each) => html`<option key=${each} value=${each}>${words[each]}</option>`)}
    </select>
    <label class="check"><input
      type="checkbox" checked=${row.isRequired || isStrict} disabled=${isStrict}
      onChange=${(event) => set({ isRequired: event.target.checked })}
    />${t("required")}</label>
    <${IconButton} icon="trash" label=${t("Remove {name}", { name })} act=${remove} />
    <input
      class="wide" aria-label=${t("Description of {name}", { name })}
      placeholder=${t("What it means, for the model")} value=${row.description}
      onInput=${(event) => set({ description: event.target.value })}
    />
    ${type === "string" && html`<input
      class="wide" aria-label=${t("Allowed values of {name}", { name })}
      placeholder=${t("Allowed values, with commas; empty: any")} value=${row.choices}
      onInput=${(event) => set({ choices: event.target.value })}
    />`}
    ${type === "array" &&
    html`<label class="wide row">${t("of")} <select value=${row.items} onChange=${(event) => set({ items: event.target.value })}>
      ${TYPES.slice(0, 4).map((each) => html`<option key=${each} value=${each}>${words[each]}</option>`)}
    </select></label>`}
  </fieldset>`;
}
