// The bar that appears when something is changed, and the questions about changes that are not saved.

import { t } from "../../core/i18n.js";
import { complain, notice } from "../../core/notices.js";
import { beforeLeaving, chosen, createAssistant, loadAssistants } from "../../state/assistants.js";
import { asNew, discard, isDirty, isSaving, obstacle, refused, save } from "../../state/assistant-draft.js";
import { Dialog, openDialog } from "../../ui/dialog.js";
import { html } from "../../ui/html.js";
import { Icon } from "../../ui/icons.js";

const isMac = /Mac|iPhone|iPad/.test(navigator.platform);

/** Saves; what is refused is told in the bar and at its field. Resolves to whether all is saved. */
export async function saveNow() {
  if (!isDirty.value) return true;
  if (obstacle.value) {
    notice(obstacle.value, { kind: "error" });
    return false;
  }
  try {
    const isSaved = await save(askWhose);
    if (isSaved) notice(t("The assistant is saved."));
    return isSaved;
  } catch {
    return false; // the bar tells
  }
}

/** For one that was deleted elsewhere while it was changed here. */
async function saveAsNew() {
  const before = chosen.value;
  try {
    await createAssistant(asNew());
    discard(before.id);
    await loadAssistants();
  } catch (error) {
    complain(error);
  }
}

export function Saving() {
  if (!isDirty.value && !isSaving.value) return html`<div role="status" class="unseen"></div>`;
  const said = obstacle.value || (refused.value?.id === chosen.value?.id && refused.value?.message);
  return html`<div class="saving" role="group" aria-label=${t("Unsaved changes")}>
    ${said ? html`<p class="error" role="alert"><${Icon} name="alert" size=${16} /><span>${said}</span></p>` : html`<p class="hint" role="status">${t("Not saved yet. Runs use what is saved.")}</p>`}
    <div class="row end">
      ${refused.value?.status === 404 && refused.value.id === chosen.value?.id && html`<button type="button" onClick=${saveAsNew}>${t("Save as a new one")}</button>`}
      <button type="button" disabled=${isSaving.value} onClick=${() => discard()}>${t("Discard")}</button>
      <button
        type="button" class="primary" disabled=${isSaving.value || Boolean(obstacle.value)}
        title=${isMac ? "⌘S" : "Ctrl+S"} onClick=${saveNow}
      >${isSaving.value ? t("Saving …") : t("Save")}</button>
    </div>
  </div>`;
}

const fieldNames = () => ({
  name: t("Name"),
  description: t("Description"),
  model: t("Model"),
  instructions: t("Instructions"),
  tools: t("Tools"),
  temperature: t("Temperature"),
  top_p: t("Top P"),
  reasoning_effort: t("Reasoning effort"),
  response_format: t("Answer format"),
  metadata: t("Metadata"),
  extra_body: t("Model parameters"),
});

/** Asks whose values shall stand where two have changed the same: "mine", "theirs" or null. */
function askWhose(fields) {
  const list = fields.map((field) => fieldNames()[field] ?? field).join(", ");
  return choice({
    title: t("Changed elsewhere meanwhile"),
    text: t("Somebody else has changed this assistant since you began: {fields}. Whose version shall stand?", { fields: list }),
    buttons: [
      { label: t("Go on editing"), gives: null },
      { label: t("Theirs"), gives: "theirs" },
      { label: t("Mine"), gives: "mine", className: "primary" },
    ],
  });
}

/** Asks before another assistant is looked at, if this one has unsaved changes. */
async function askToLeave() {
  const answer = await choice({
    title: t("Save your changes first?"),
    text: t("“{name}” has changes that are not saved.", { name: chosen.value?.name || t("Unnamed") }),
    buttons: [
      { label: t("Stay here"), gives: null },
      { label: t("Discard"), gives: "discard" },
      { label: t("Save"), gives: "save", className: "primary" },
    ],
  });
  if (answer === "discard") discard();
  return answer === "discard" || (answer === "save" && (await saveNow()));
}

/** True, or a promise of whether this assistant may be left. */
export const mayLeave = () => !isDirty.value || askToLeave();
beforeLeaving(mayLeave);

function choice({ title, text, buttons }) {
  return new Promise((resolve) => {
    openDialog((close) => {
      const answer = (given) => (close(), resolve(given));
      const footer = buttons.map(
        ({ label, gives, className }) => html`<button
          type="button" key=${label} class=${className} autofocus=${className === "primary"}
          onClick=${() => answer(gives)}
        >${label}</button>`,
      );
      return html`<${Dialog} title=${title} close=${() => answer(null)} footer=${footer}><p>${text}</p><//>`;
    });
  });
}
