// Short words at the edge of the page: what went wrong and what to do, or that something was done.

import { signal } from "@preact/signals";

export const notices = signal([]);
let last = 0;

/** Shows a text for some seconds; one that tells of a failure stays longer. */
export function notice(text, { kind = "done", seconds = kind === "error" ? 12 : 4, action = null } = {}) {
  const id = ++last;
  notices.value = [...notices.value.filter((each) => each.text !== text), { id, text, kind, action }];
  setTimeout(() => dismiss(id), seconds * 1000);
}

export const dismiss = (id) => (notices.value = notices.value.filter((each) => each.id !== id));

/** Shows what a failure says; a request that was called off is none. */
export function complain(error) {
  if (error?.name === "AbortError") return;
  console.warn(error);
  notice(error.message, { kind: "error" });
}
