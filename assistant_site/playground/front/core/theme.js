// Light, dark, or as the system has it.

import { signal } from "@preact/signals";

const KEY = "holdfast.theme";

/** "light", "dark" or "" for the system's. */
export const theme = signal("");

const dark = document.querySelector('link[href$="/style/dark.css"]');
const MEDIA = { light: "not all", dark: "all", "": dark.media };

export function look(name) {
  theme.value = name;
  dark.media = MEDIA[name] ?? MEDIA[""];
  localStorage.setItem(KEY, name);
}

export const lookAsBefore = () => look(localStorage.getItem(KEY) || "");
