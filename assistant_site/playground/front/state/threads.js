// The list of threads: pages, search, titles, archive.

import { signal } from "@preact/signals";
import { get, post, postOnce, remove } from "../core/api.js";
import { whenOut } from "../core/session.js";
import { tell } from "../core/tabs.js";

const PAGE = 30;

export const threads = signal([]);
export const hasMore = signal(false);
export const loading = signal(false);
export const search = signal("");
export const showsArchived = signal(false);

let asked = 0;
let last = "";

/** The first page of what is searched for, or the next one. An answer to an older question is thrown away. */
export async function loadThreads({ next = false } = {}) {
  const mine = ++asked;
  loading.value = true;
  try {
    const query = new URLSearchParams({ limit: PAGE, order: "desc", archived: showsArchived.value });
    if (search.value.trim()) query.set("search", search.value.trim());
    if (next && last) query.set("after", last);
    const page = await get(`/threads?${query}`);
    if (mine !== asked) return;
    threads.value = next ? [...threads.value, ...page.data] : page.data;
    hasMore.value = page.has_more;
    last = page.last_id;
  } finally {
    if (mine === asked) loading.value = false;
  }
}

whenOut(() => {
  asked += 1;
  threads.value = [];
  search.value = "";
  hasMore.value = loading.value = showsArchived.value = false;
});

/** A new thread with its first message; stands at the top of the list at once. */
export async function createThread(body, title) {
  const made = await postOnce("/threads", body);
  if (!showsArchived.value && !search.value) {
    threads.value = [{ ...made, title, archived: false, active_run_id: null }, ...threads.value];
  }
  tell({ type: "threads" });
  return made;
}

export async function renameThread(id, title) {
  const changed = await post(`/threads/${id}`, { title });
  note(id, { title: changed.title ?? "" });
  if (!title) await loadThreads();
  tell({ type: "threads" });
}

export async function archiveThread(id, archived) {
  await post(`/threads/${id}`, { archived });
  threads.value = threads.value.filter((each) => each.id !== id);
  tell({ type: "threads" });
}

export async function deleteThread(id) {
  await remove(`/threads/${id}`);
  threads.value = threads.value.filter((each) => each.id !== id);
  tell({ type: "threads" });
}

/** Writes what is known of a thread into the list. */
export function note(id, changes) {
  threads.value = threads.value.map((each) => (each.id === id ? { ...each, ...changes } : each));
}
