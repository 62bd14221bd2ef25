// What an answer must be: text, any JSON object, or one that fits a schema.

import { checkSchema, madeStrict } from "../../core/schema.js";
import { pretty } from "../../core/json.js";
import { t } from "../../core/i18n.js";
import { edit, keepTyped, refusalAt, valueOf } from "../../state/assistant-draft.js";
import { Field, Switch } from "../../ui/field.js";
import { html } from "../../ui/html.js";
import { DraftJson, Section } from "./parts.js";
import { Findings } from "./findings.js";

const NAME = /^[a-zA-Z0-9_-]{1,64}$/;
const PLACE = "response_format.json_schema.schema";
const EXAMPLE = { type: "object", properties: { answer: { type: "string" } }, required: ["answer"], additionalProperties: false };

export function AnswerFormat() {
  const format = valueOf("response_format") ?? "auto";
  const type = typeof format === "string" ? format : format.type;
  const words = { auto: t("text"), text: t("text"), json_object: t("JSON object"), json_schema: t("JSON schema") };
  const change = (next) => {
    keepTyped(PLACE, null);
    keepTyped("response_format.json_schema.name", null);
    if (next === "auto") edit("response_format", "auto");
    else edit("response_format", next === "json_schema" ? { type: next, json_schema: { name: "answer", schema: EXAMPLE, strict: true } } : { type: next });
  };
  return html`<${Section} title=${t("Answer format")} told=${words[type]} places=${["response_format"]}>
    <${Field}
      label=${t("An answer is")}
      error=${type === "json_schema" ? "" : refusalAt("response_format")}
      hint=${type === "json_object" ? t("Say in the instructions that the answer is JSON: providers insist on it.") : ""}
      control=${(props) => html`<select ...${props} value=${type} onChange=${(event) => change(event.target.value)}>
        <option value="auto">${t("Text, as the model has it")}</option>
        <option value="text">${t("Text")}</option>
        <option value="json_object">${t("A JSON object")}</option>
        <option value="json_schema">${t("JSON that fits a schema")}</option>
      </select>`}
    />
    ${type === "json_schema" && html`<${Schema} format=${format} />`}
  <//>`;
}

function Schema({ format }) {
  const { json_schema: given } = format;
  const set = (changes) => edit("response_format", { ...format, json_schema: { ...given, ...changes } });
  const isStrict = given.strict === true;
  const findings = given.schema ? checkSchema(given.schema, { strict: isStrict }) : [];
  const makeStrict = () => {
    const schema = madeStrict(given.schema);
    set({ schema });
    keepTyped(PLACE, pretty(schema));
  };
  const rename = (event) => {
    const name = event.target.value;
    set({ name });
    keepTyped("response_format.json_schema.name", name, NAME.test(name) ? "" : t("Letters, digits, _ and -, 64 at most."));
  };
  return html`
    <${Field}
      label=${t("Name of the schema")}
      error=${NAME.test(given.name) ? refusalAt("response_format.json_schema.name") : t("Letters, digits, _ and -, 64 at most.")}
      control=${(props) => html`<input
        ...${props} class="code" value=${given.name} maxlength="64" spellcheck=${false} autocomplete="off"
        onInput=${rename}
      />`}
    />
    <${DraftJson}
      place=${PLACE}
      label=${t("Schema")}
      rows=${10}
      value=${given.schema}
      write=${(schema) => set({ schema })}
      judge=${(value) => (typeof value === "object" && value && !Array.isArray(value) ? "" : t("The schema must be an object."))}
    />
    <${Findings} findings=${findings} isStrict=${isStrict} makeStrict=${makeStrict} />
    <${Switch}
      label=${t("Strict")}
      hint=${t("The model cannot answer anything that does not fit, if the provider can do that.")}
      checked=${isStrict} set=${(strict) => set({ strict })}
    />
  `;
}
