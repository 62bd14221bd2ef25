// The assistant that answers: who it is, what it may use, and how its model is asked.

import { t } from "../core/i18n.js";
import { complain } from "../core/notices.js";
import { settings } from "../core/settings.js";
import { chosen, lookAgainAtChosen, models } from "../state/assistants.js";
import { edit, keepTyped, refusalAt, valueOf } from "../state/assistant-draft.js";
import { Field } from "../ui/field.js";
import { html, useEffect, useId } from "../ui/html.js";
import { Advanced } from "./assistant/advanced.js";
import { AnswerFormat } from "./assistant/answer-format.js";
import { Chooser } from "./assistant/chooser.js";
import { offerExamples } from "./assistant/examples.js";
import { About } from "./assistant/about.js";
import { ModelSettings } from "./assistant/model-settings.js";
import { TextField } from "./assistant/parts.js";
import { saveNow, Saving } from "./assistant/saving.js";
import { Tools } from "./assistant/tools.js";

// A file that is dropped beside the places for files would be opened by the browser in the page's place.
const stay = (event) => event.preventDefault();

export function AssistantPanel() {
  useEffect(() => {
    const look = () => document.hidden || lookAgainAtChosen().catch(() => {});
    const pressed = (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey || event.key.toLowerCase() !== "s") return;
      event.preventDefault();
      if (!document.querySelector("dialog[open]")) saveNow();
    };
    look();
    document.addEventListener("visibilitychange", look);
    addEventListener("keydown", pressed);
    return () => {
      document.removeEventListener("visibilitychange", look);
      removeEventListener("keydown", pressed);
    };
  }, []);
  const assistant = chosen.value;
  if (!assistant) return html`<${NoAssistant} />`;
  return html`<div class="assistant" onDragOver=${stay} onDrop=${stay}>
    <${Chooser} />
    <div class="assistant-fields" key=${assistant.id}>
      <div class="fields">
        <${TextField} field="name" label=${t("Name")} most=${256} placeholder=${t("Unnamed")} />
        <${Model} />
        <${TextField}
          field="instructions" label=${t("Instructions")} most=${256_000} rows=${7}
          hint=${t("What it is for, how it speaks, what it must not do. The model reads this before each answer.")}
        />
      </div>
      <${Tools} assistant=${assistant} />
      <div class="sections">
        <${ModelSettings} />
        <${AnswerFormat} />
        <${About} />
        <${Advanced} />
      </div>
      <p class="fine assistant-id"><code>${assistant.id}</code></p>
    </div>
    <${Saving} />
  </div>`;
}

/** The model: one of those that the provider tells, or any other name. */
function Model() {
  const list = useId();
  const value = valueOf("model") ?? "";
  const change = (event) => {
    edit("model", event.target.value);
    keepTyped("model", event.target.value, event.target.value.trim() ? "" : t("The model's name cannot be empty."));
  };
  const isUnknown = models.value.length > 0 && value && !models.value.includes(value);
  const hint = isUnknown ? t("The provider does not list this model. It is asked all the same.") : settings.demo ? t("The demo model answers, whatever the name.") : "";
  return html`<${Field}
    label=${t("Model")}
    hint=${hint}
    error=${refusalAt("model") || (value.trim() ? "" : t("The model's name cannot be empty."))}
    control=${(props) => html`<input
      ...${props} list=${list} maxlength="256" autocomplete="off" spellcheck=${false} value=${value}
      onInput=${change}
    />
      <datalist id=${list}>${models.value.map((each) => html`<option key=${each} value=${each}></option>`)}</datalist>`}
  />`;
}

function NoAssistant() {
  return html`<div class="no-assistant">
    <h2>${t("No assistant yet")}</h2>
    <p class="hint">${t("An assistant is a model with instructions and tools. Your first message makes a plain one; here you can begin with an example.")}</p>
    <button type="button" class="primary" onClick=${() => offerExamples().catch(complain)}>${t("New assistant")}</button>
  </div>`;
}
