// The tenant's assistants, and the one that answers.

import { computed, signal } from "@preact/signals";
import { all, get, postOnce, post, remove } from "../core/api.js";
import { isIn, token, whenOut } from "../core/session.js";
import { settings } from "../core/settings.js";
import { t } from "../core/i18n.js";
import { hear, tell } from "../core/tabs.js";

const KEY = "holdfast.assistant";

export const assistants = signal([]);
export const models = signal([]);
export const chosenId = signal(localStorage.getItem(KEY) || "");
export const chosen = computed(
  () => assistants.value.find((each) => each.id === chosenId.value) ?? assistants.value[0] ?? null,
);

let mayLeave = () => true;

/** Whoever keeps unsaved changes is asked before another assistant is chosen: gives true, or a promise of whether. */
export const beforeLeaving = (ask) => (mayLeave = ask);

/** Chooses who answers, unless somebody wants to stay with what is not saved. Resolves to whether it was done. */
export async function choose(id) {
  if (id === chosen.value?.id) return true;
  const may = mayLeave();
  if (may !== true && !(await may)) {
    assistants.value = [...assistants.value]; // draws the choice as it was
    return false;
  }
  take(id);
  return true;
}

function take(id) {
  chosenId.value = id;
  localStorage.setItem(KEY, id);
}

let isKept = () => false;

/** While `test()` holds, the chosen assistant stays in the list, even if it is deleted elsewhere. */
export const keepWhile = (test) => (isKept = test);

let coming = null; // the list, as it was asked for last; null if it never came

export function loadAssistants() {
  const asked = readAssistants();
  coming = asked;
  asked.catch(() => coming === asked && (coming = null));
  return asked;
}

async function readAssistants() {
  const mine = token.value;
  const before = chosen.value;
  const found = await all("/assistants?order=desc");
  if (token.value !== mine) return;
  const isMissing = before && isKept() && !found.some((each) => each.id === before.id);
  assistants.value = isMissing ? [before, ...found] : found;
}

whenOut(() => {
  coming = null;
  assistants.value = models.value = [];
});

hear(({ type }) => type === "assistants" && isIn.value && loadAssistants().catch(() => {}));

/** Takes what the API has of the chosen assistant now: a program or another tab may have changed it. */
export async function lookAgainAtChosen() {
  const id = chosen.value?.id;
  if (!id) return;
  try {
    put(await get(`/assistants/${id}`));
  } catch (error) {
    if (error.status !== 404) throw error;
    if (!isKept()) assistants.value = assistants.value.filter((each) => each.id !== id);
  }
}

/** The names of the models that can be asked; empty if the provider tells none. */
export async function loadModels() {
  models.value = (await get("/models")).data.map((each) => each.id).sort();
}

/** Makes an assistant and chooses it. */
export async function createAssistant(body) {
  const made = await postOnce("/assistants", body);
  assistants.value = [made, ...assistants.value];
  take(made.id);
  tell({ type: "assistants" });
  return made;
}

/** The assistant that answers; the first visit's is made here. Whoever writes before the list has come waits for it. */
export async function anyAssistant() {
  if (!chosen.value) await (coming ?? loadAssistants());
  return (
    chosen.value ??
    createAssistant({
      name: t("My first assistant"),
      model: settings.model,
      instructions: t("You are a helpful assistant."),
    })
  );
}

function put(changed) {
  assistants.value = assistants.value.map((each) => (each.id === changed.id ? changed : each));
}

export async function changeAssistant(id, changes) {
  const changed = await post(`/assistants/${id}`, changes);
  put(changed);
  tell({ type: "assistants" });
  return changed;
}

export async function removeAssistant(id) {
  await remove(`/assistants/${id}`);
  assistants.value = assistants.value.filter((each) => each.id !== id);
  tell({ type: "assistants" });
}
