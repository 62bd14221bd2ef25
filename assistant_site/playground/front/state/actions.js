// Actions: operations of services that OpenAPI documents describe. They belong to the tenant; assistants name them.

import { signal } from "@preact/signals";
import { all, post, postOnce, remove } from "../core/api.js";

/** All actions, the newest first; null until they were asked for. */
export const actions = signal(null);

export async function loadActions() {
  actions.value = await all("/actions?order=desc", 2000);
}

/** An action of each operation of a document: its text, or its address. */
export async function createActions(source, authentication) {
  const made = await postOnce("/actions", { openapi_schema: source, ...(authentication ? { authentication } : {}) });
  actions.value = [...made, ...(actions.value ?? [])];
  return made;
}

export async function changeAction(id, changes) {
  const changed = await post(`/actions/${id}`, changes);
  actions.value = (actions.value ?? []).map((each) => (each.id === id ? changed : each));
}

export async function deleteAction(id) {
  await remove(`/actions/${id}`);
  actions.value = (actions.value ?? []).filter((each) => each.id !== id);
}
