// The tenant's assistants, and the one that answers.

import { computed, signal } from "@preact/signals";
import { all, get, postOnce, post, remove } from "../core/api.js";
import { settings } from "../core/settings.js";
import { t } from "../core/i18n.js";

const KEY = "holdfast.assistant";

export const assistants = signal([]);
export const models = signal([]);
export const chosenId = signal(localStorage.getItem(KEY) || "");
export const chosen = computed(
  () => assistants.value.find((each) => each.id === chosenId.value) ?? assistants.value[0] ?? null,
);

export function choose(id) {
  chosenId.value = id;
  localStorage.setItem(KEY, id);
}

export async function loadAssistants() {
  assistants.value = await all("/assistants?order=desc");
}

/** The names of the models that can be asked; empty if the provider tells none. */
export async function loadModels() {
  models.value = (await get("/models")).data.map((each) => each.id).sort();
}

/** Makes an assistant and chooses it. */
export async function createAssistant(body) {
  const made = await postOnce("/assistants", body);
  assistants.value = [made, ...assistants.value];
  choose(made.id);
  return made;
}

/** The assistant that answers; the first visit's is made here. */
export async function anyAssistant() {
  return (
    chosen.value ??
    createAssistant({
      name: t("My first assistant"),
      model: settings.model,
      instructions: t("You are a helpful assistant."),
    })
  );
}

export async function changeAssistant(id, changes) {
  const changed = await post(`/assistants/${id}`, changes);
  assistants.value = assistants.value.map((each) => (each.id === id ? changed : each));
  return changed;
}

export async function removeAssistant(id) {
  await remove(`/assistants/${id}`);
  assistants.value = assistants.value.filter((each) => each.id !== id);
}
