// Light, dark, or as the system has it.

import { signal } from "@preact/signals";

const KEY = "holdfast.theme";

/** "light", "dark" or "" for the system's. */
export const theme = signal("");

export function look(name) {
  theme.value = name;
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  localStorage.setItem(KEY, name);
}

export const lookAsBefore = () => look(localStorage.getItem(KEY) || "");
