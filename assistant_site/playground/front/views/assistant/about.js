// What is written about the assistant, for people and programs: its description and metadata.

import { t } from "../../core/i18n.js";
import { same } from "../../core/values.js";
import { edit, keepTyped, refusalAt, typedAt, valueOf } from "../../state/assistant-draft.js";
import { html } from "../../ui/html.js";
import { Icon } from "../../ui/icons.js";
import { IconButton, Section, TextField } from "./parts.js";

const MOST_PAIRS = 16;
const MOST_KEY = 64;
const MOST_VALUE = 512;

export function About() {
  const count = Object.keys(valueOf("metadata") ?? {}).filter((key) => !isMemory(key)).length;
  const told = [valueOf("description") && t("description"), count && t("one pair | {n} pairs", { n: count })].filter(Boolean).join(", ");
  return html`<${Section} title=${t("Metadata")} told=${told} places=${["description", "metadata"]}>
    <${TextField}
      field="description" label=${t("Description")} most=${512} rows=${3}
      hint=${t("For people who choose an assistant, and for programs that call it over MCP. The model does not see it.")}
    />
    <${Pairs} />
  <//>`;
}

/** An object under `memory` is a setting, and has its place under the model's settings. */
const isMemory = (key) => key === "memory" && typeof (valueOf("metadata") ?? {}).memory === "object";

/** Rows are kept as they are typed; they are metadata when each has a key of its own. */
function Pairs() {
  const metadata = valueOf("metadata") ?? {};
  const saved = Object.entries(metadata).filter(([key]) => !isMemory(key));
  const typed = typedAt("metadata");
  const isCurrent = typed && (typed.error || same(pairsOf(typed.typed), Object.fromEntries(saved)));
  const rows = isCurrent ? typed.typed : saved.map(([key, value]) => [key, String(value)]);
  const room = MOST_PAIRS - (isMemory("memory") ? 1 : 0);
  const write = (next) => {
    const error = faultOf(next);
    if (!error) edit("metadata", { ...(isMemory("memory") ? { memory: metadata.memory } : {}), ...pairsOf(next) });
    keepTyped("metadata", next, error);
  };
  const change = (at, column) => (event) => write(rows.map((row, index) => (index === at ? row.with(column, event.target.value) : row)));
  const error = typed?.error || refusalAt("metadata");
  return html`<div class="pairs" role="group" aria-label=${t("Metadata")}>
    <p class="label" aria-hidden="true">${t("Keys and values of your own")}</p>
    ${rows.map(
      ([key, value], at) => html`<div class="pair-row" key=${at}>
        <input
          class="code" aria-label=${t("Key {n}", { n: at + 1 })} placeholder=${t("key")} maxlength=${MOST_KEY}
          autocomplete="off" spellcheck=${false} value=${key} onInput=${change(at, 0)}
        />
        <input
          aria-label=${t("Value {n}", { n: at + 1 })} placeholder=${t("value")} maxlength=${MOST_VALUE}
          autocomplete="off" value=${value} onInput=${change(at, 1)}
        />
        <${IconButton} icon="close" label=${t("Remove pair {n}", { n: at + 1 })} act=${() => write(rows.toSpliced(at, 1))} />
      </div>`,
    )}
    ${error && html`<p class="error" role="alert">${error}</p>`}
    ${rows.length < room
      ? html`<button
        type="button" class="quiet small" onClick=${() => keepTyped("metadata", [...rows, ["", ""]], typed?.error)}
      ><${Icon} name="add" size=${16} />${t("Add a pair")}</button>`
      : html`<p class="hint">${t("There can be {n} pairs at most.", { n: room })}</p>`}
  </div>`;
}

const pairsOf = (rows) => Object.fromEntries(rows.filter(([key, value]) => key || value));

function faultOf(rows) {
  const keys = rows.filter(([key, value]) => key || value).map(([key]) => key);
  if (keys.includes("")) return t("A value needs a key.");
  const twice = keys.find((key, at) => keys.indexOf(key) !== at);
  return twice === undefined ? "" : t("The key “{key}” stands there twice.", { key: twice });
}
