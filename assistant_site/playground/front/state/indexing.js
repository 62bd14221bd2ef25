// How far the files of a thread are that shall be searched. Asked for again every second only while one is being read.

import { signal } from "@preact/signals";
import { all, get } from "../core/api.js";

const AGAIN = 1000; // milliseconds
const SLOWER = 8000; // while the API does not answer

/** Files of vector stores by the id of the file, as the API has them. */
export const indexing = signal({});

const going = new Map();

/** Looks how the files of a thread are, and again until none is being read or nobody looks any more. Returns what ends it. */
export function watchIndexing(threadId) {
  const watch = going.get(threadId) ?? { watchers: 0, timer: 0 };
  going.set(threadId, watch);
  watch.watchers += 1;
  clearTimeout(watch.timer);
  watch.timer = setTimeout(look, 0, threadId, watch); // several messages that appear at once ask once
  return () => {
    watch.watchers -= 1;
    if (watch.watchers > 0) return;
    clearTimeout(watch.timer);
    going.delete(threadId);
  };
}

async function look(threadId, watch) {
  let next = 0;
  try {
    const thread = await get(`/threads/${threadId}`);
    const stores = thread.tool_resources?.file_search?.vector_store_ids ?? [];
    const files = (await Promise.all(stores.map((id) => all(`/vector_stores/${id}/files`)))).flat();
    if (files.length) indexing.value = { ...indexing.value, ...Object.fromEntries(files.map((each) => [each.id, each])) };
    if (files.some((each) => each.status === "in_progress")) next = document.hidden ? SLOWER : AGAIN;
  } catch (error) {
    if (error.status === 0 || error.status === 429 || error.status >= 500) next = SLOWER;
  }
  if (!next || watch.watchers < 1) return;
  clearTimeout(watch.timer);
  watch.timer = setTimeout(look, next, threadId, watch);
}
