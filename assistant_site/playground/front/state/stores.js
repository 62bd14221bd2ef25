// Vector stores, their files, and files on their way into a store or to an assistant's code. All of it goes on while
// the panel is closed.

import { signal } from "@preact/signals";
import { all, get, post, postOnce, remove, upload } from "../core/api.js";
import { t } from "../core/i18n.js";
import { complain } from "../core/notices.js";
import { assistants, changeAssistant } from "./assistants.js";
import { learn } from "./files.js";

const AT_ONCE = 3; // uploads
const PAGE = 100;
const FIRST_PAUSE = 500; // milliseconds between two looks at files that are being indexed
const LONGEST_PAUSE = 4000;

/** All stores, the newest first; null until they were asked for. */
export const stores = signal(null);
/** By store: `{files, hasMore}`, the newest first. */
export const filesOf = signal({});
/** `{key, assistantId, storeId ("" for code), name, size, progress (0 to 1), fileId, error}` of each upload. */
export const uploads = signal([]);

const contents = new Map(); // by key: what is uploaded, and what stops it
const making = new Map(); // by assistant: a store that is being made
let last = 0;

// --- Stores -------------------------------------------------------------------------------------------------------

export async function loadStores() {
  stores.value = await all("/vector_stores?order=desc");
}

function put(store) {
  const known = stores.value ?? [];
  stores.value = known.some((each) => each.id === store.id) ? known.map((each) => (each.id === store.id ? store : each)) : [store, ...known];
}

export async function loadStore(id) {
  try {
    put(await get(`/vector_stores/${id}`));
  } catch (error) {
    if (error.status !== 404) throw error;
    stores.value = (stores.value ?? []).filter((each) => each.id !== id);
  }
}

export async function changeStore(id, changes) {
  put(await post(`/vector_stores/${id}`, changes));
}

export async function deleteStore(id) {
  await remove(`/vector_stores/${id}`);
  stores.value = (stores.value ?? []).filter((each) => each.id !== id);
}

/** Has the assistant search this store, at once; "" for none. */
export function attachStore(assistantId, id) {
  return changeAssistant(assistantId, { tool_resources: { file_search: { vector_store_ids: id ? [id] : [] } } });
}

/** A new store, for an assistant; of several calls in a row one makes it. */
export function createStore(assistantId, name) {
  if (!making.has(assistantId)) {
    const made = postOnce("/vector_stores", { name: name.slice(0, 256) })
      .then(async (store) => {
        put(store);
        filesOf.value = { ...filesOf.value, [store.id]: { files: [], hasMore: false } };
        await attachStore(assistantId, store.id);
        return store;
      })
      .finally(() => making.delete(assistantId));
    making.set(assistantId, made);
  }
  return making.get(assistantId);
}

// --- Files of a store ---------------------------------------------------------------------------------------------

/** The newest files of a store, or the page behind those that are known. */
export async function loadFiles(storeId, { next = false } = {}) {
  const known = filesOf.value[storeId]?.files ?? [];
  const after = next && known.length ? `&after=${known.at(-1).id}` : "";
  const page = await get(`/vector_stores/${storeId}/files?limit=${PAGE}${after}`);
  const there = new Set(page.data.map((each) => each.id));
  const oldest = page.data.at(-1)?.created_at ?? Infinity;
  const others = next ? known : page.has_more ? known.filter((each) => each.created_at <= oldest) : [];
  const rest = others.filter((each) => !there.has(each.id));
  const hasMore = next || !rest.length ? page.has_more : filesOf.value[storeId].hasMore;
  filesOf.value = { ...filesOf.value, [storeId]: { files: next ? [...rest, ...page.data] : [...page.data, ...rest], hasMore } };
}

const looking = new Set();

/** Looks at a store's files, and again until none of them is being indexed any more. */
export async function watch(storeId) {
  if (looking.has(storeId)) return;
  looking.add(storeId);
  let pause = FIRST_PAUSE;
  try {
    for (;;) {
      try {
        await loadStore(storeId);
        const counts = stores.value?.find((each) => each.id === storeId)?.file_counts;
        await loadFiles(storeId); // after the counts, so that none that has ended by them is told to be under way
        if (!counts?.in_progress && !filesOf.value[storeId].files.some((each) => each.status === "in_progress")) return;
      } catch (error) {
        if (error.status !== 0) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, document.hidden ? LONGEST_PAUSE : pause));
      pause = Math.min(pause * 1.4, LONGEST_PAUSE);
    }
  } catch (error) {
    if (error.status !== 404 && error.status !== 401) complain(error);
  } finally {
    looking.delete(storeId);
  }
}

/** Puts a file into a store; one that failed there is read anew. */
export async function addFile(storeId, fileId) {
  const made = await postOnce(`/vector_stores/${storeId}/files`, { file_id: fileId });
  const known = filesOf.value[storeId] ?? { files: [], hasMore: false };
  filesOf.value = { ...filesOf.value, [storeId]: { ...known, files: [made, ...known.files.filter((each) => each.id !== fileId)] } };
  watch(storeId);
}

export async function removeFile(storeId, fileId) {
  await remove(`/vector_stores/${storeId}/files/${fileId}`);
  const known = filesOf.value[storeId];
  filesOf.value = { ...filesOf.value, [storeId]: { ...known, files: known.files.filter((each) => each.id !== fileId) } };
  await loadStore(storeId);
}

/** Deletes a file for good, wherever it is used. */
export const deleteFile = (fileId) => remove(`/files/${fileId}`);

// --- Uploads ------------------------------------------------------------------------------------------------------

/** Uploads files into the store that the assistant searches; without one it gets one. */
export async function uploadToStore(assistant, storeId, list) {
  const files = [...list];
  if (!files.length) return;
  try {
    const id = storeId || (await createStore(assistant.id, assistant.name || t("Files"))).id;
    enqueue(assistant.id, id, files);
  } catch (error) {
    complain(error);
  }
}

/** Uploads files for the assistant's code. */
export const uploadToCode = (assistant, list) => enqueue(assistant.id, "", [...list]);

function enqueue(assistantId, storeId, files) {
  const items = files.map((file) => {
    const key = ++last;
    contents.set(key, { file, stop: null });
    return { key, assistantId, storeId, name: file.name, size: file.size, progress: 0, fileId: "", error: "", isGoing: false };
  });
  uploads.value = [...uploads.value, ...items];
  goOn();
}

function change(key, changes) {
  uploads.value = uploads.value.map((each) => (each.key === key ? { ...each, ...changes } : each));
}

function goOn() {
  const free = AT_ONCE - uploads.value.filter((each) => each.isGoing).length;
  const waiting = uploads.value.filter((each) => !each.isGoing && !each.error).slice(0, Math.max(0, free));
  for (const { key } of waiting) carry(key);
}

async function carry(key) {
  const content = contents.get(key);
  content.stop = new AbortController();
  change(key, { isGoing: true });
  try {
    const { signal: stopped } = content.stop;
    let item = uploads.value.find((each) => each.key === key);
    if (!item.fileId) {
      const made = await upload(content.file, "assistants", { told: (progress) => change(key, { progress }), signal: stopped });
      learn(made);
      change(key, { fileId: made.id, progress: 1 });
      item = uploads.value.find((each) => each.key === key);
      if (!item) return void (await deleteFile(made.id)); // taken back at the last moment
    }
    if (item.storeId) await addFile(item.storeId, item.fileId);
    else await changeCodeFiles(item.assistantId, (ids) => [...new Set([...ids, item.fileId])]);
    forget(key);
  } catch (error) {
    if (error.name !== "AbortError") change(key, { isGoing: false, error: error.message });
  } finally {
    goOn();
  }
}

function forget(key) {
  contents.delete(key);
  uploads.value = uploads.value.filter((each) => each.key !== key);
}

export function retryUpload(key) {
  change(key, { error: "", isGoing: false });
  goOn();
}

/** Calls an upload off, or forgets one that failed. */
export function dropUpload(key) {
  const item = uploads.value.find((each) => each.key === key);
  contents.get(key)?.stop?.abort();
  forget(key);
  if (item?.error && item.fileId) deleteFile(item.fileId).catch(() => {});
  goOn();
}

let turn = Promise.resolve();

/** Changes which files an assistant's code has, at once; one change after the other, each on what is there by then. */
export function changeCodeFiles(assistantId, change) {
  const mine = turn.then(async () => {
    const { tool_resources: resources } = await get(`/assistants/${assistantId}`);
    const ids = change(resources.code_interpreter?.file_ids ?? []);
    await changeAssistant(assistantId, { tool_resources: { code_interpreter: { file_ids: ids } } });
  });
  turn = mine.catch(() => {});
  return mine;
}

/** The store that an assistant searches; "" if it has none. */
export const storeOf = (assistantId) =>
  assistants.value.find((each) => each.id === assistantId)?.tool_resources.file_search?.vector_store_ids?.[0] ?? "";
