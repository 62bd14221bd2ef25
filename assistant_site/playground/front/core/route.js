// What the address says is open: `#/threads/<id>`, `#/usage`, or nothing, which is a new thread.

import { signal } from "@preact/signals";

export const route = signal(read());

function read() {
  const [, view = "", id = ""] = location.hash.split("/");
  return { view, id };
}

addEventListener("hashchange", () => (route.value = read()));

/** Opens a view; `replace` leaves no trace in the history. */
export function go(view = "", id = "", { replace = false } = {}) {
  const hash = view ? `#/${view}${id && `/${id}`}` : "#/";
  if (hash === location.hash) return;
  if (replace) history.replaceState(null, "", hash);
  else history.pushState(null, "", hash);
  route.value = read();
}

addEventListener("popstate", () => (route.value = read()));
