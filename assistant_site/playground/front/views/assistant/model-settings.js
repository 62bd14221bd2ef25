// How the model is asked: sampling, reasoning, and how much of the thread it is shown.

import { number, t } from "../../core/i18n.js";
import { edit, isLeftToModel, refusalAt, valueOf } from "../../state/assistant-draft.js";
import { Field, Switch } from "../../ui/field.js";
import { html, useId } from "../../ui/html.js";
import { NumberField, Section } from "./parts.js";

const EFFORTS = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

export function ModelSettings() {
  const memory = memoryOf();
  const set = ["temperature", "top_p"].filter((field) => !isLeftToModel(field)).map((field) => `${field === "top_p" ? "Top P" : t("Temperature")} ${number(valueOf(field))}`);
  if (valueOf("reasoning_effort")) set.push(valueOf("reasoning_effort"));
  if (memory.type === "window") set.push(t("short memory"));
  if (memory.type === "zero") set.push(t("no memory"));
  return html`<${Section}
    title=${t("Model settings")} told=${set.join(", ") || t("as the model has them")}
    places=${["temperature", "top_p", "reasoning_effort", "metadata.memory"]}
  >
    <${Sampling} field="temperature" label=${t("Temperature")} most=${2} hint=${t("Low: the likeliest words. High: more surprising ones.")} />
    <${Sampling}
      field="top_p" label="Top P" most=${1}
      hint=${t("Only the likeliest words that together make this share. Change this or the temperature, not both.")}
    />
    <${Effort} />
    <${Memory} />
  <//>`;
}

function Sampling({ field, label, most, hint }) {
  const isLeft = isLeftToModel(field);
  const value = isLeft ? 1 : valueOf(field);
  const id = useId();
  return html`<fieldset class="sampling fields">
    <legend class="label">${label}</legend>
    <${Switch} label=${t("As the model has it")} checked=${isLeft} set=${(isOn) => edit(field, isOn ? null : 1)} />
    ${!isLeft &&
    html`<div class="range" key=${field}>
        <input
          type="range" min="0" max=${most} step="0.05" value=${value} aria-label=${label} aria-describedby=${id}
          onInput=${(event) => edit(field, Number(event.target.value))}
        />
        <input
          type="number" min="0" max=${most} step="any" value=${value}
          aria-label=${t("{name} as a number", { name: label })}
          onChange=${(event) => event.target.value !== "" && edit(field, Math.min(most, Math.max(0, Number(event.target.value))))}
        />
      </div>
      <p class="hint" id=${id}>${hint}</p>`}
    ${refusalAt(field) && html`<p class="error" role="alert">${refusalAt(field)}</p>`}
  </fieldset>`;
}

function Effort() {
  return html`<${Field}
    label=${t("Reasoning effort")}
    hint=${t("For models that think before they answer; others may refuse it.")}
    error=${refusalAt("reasoning_effort")}
    control=${(props) => html`<select
      ...${props} value=${valueOf("reasoning_effort") ?? ""}
      onChange=${(event) => edit("reasoning_effort", event.target.value || null)}
    >
      <option value="">${t("As the model has it")}</option>
      ${EFFORTS.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}
    </select>`}
  />`;
}

function memoryOf() {
  const { memory } = valueOf("metadata") ?? {};
  return typeof memory === "object" && memory !== null ? memory : { type: "naive" };
}

/** `metadata.memory`, the one value in metadata that may be an object. */
function setMemory(memory) {
  const { memory: _, ...others } = valueOf("metadata") ?? {};
  edit("metadata", memory.type === "naive" ? others : { ...others, memory });
}

function Memory() {
  const memory = memoryOf();
  const hints = { naive: t("As much of the thread as fits the model."), window: t("Only the last messages of the thread."), zero: t("Only your last message and what follows it.") };
  const set = (name) => (value) => {
    const { [name]: _, ...others } = memory;
    setMemory(value === null ? others : { ...others, [name]: value });
  };
  return html`
    <${Field}
      label=${t("Memory of the thread")}
      hint=${hints[memory.type]}
      error=${refusalAt("metadata.memory")}
      control=${(props) => html`<select ...${props} value=${memory.type} onChange=${(event) => setMemory({ type: event.target.value })}>
        <option value="naive">${t("All")}</option>
        <option value="window">${t("A window")}</option>
        <option value="zero">${t("None")}</option>
      </select>`}
    />
    ${memory.type === "window" &&
    html`<div class="pair">
      <${NumberField} label=${t("Messages")} value=${memory.window_size} set=${set("window_size")} low=${1} high=${1_000_000} placeholder="20" />
      <${NumberField}
        label=${t("Tokens")} value=${memory.max_token_size} set=${set("max_token_size")} low=${1} high=${100_000_000}
        placeholder="4000"
      />
    </div>`}
  `;
}
