// The page's languages. English is the key of every text; `languages/` has the others.

import { signal } from "@preact/signals";
import { settings } from "./settings.js";

const KEY = "holdfast.language";

/** Each language by its tag, with the name it has for itself. */
export const LANGUAGES = { en: "English", "zh-CN": "简体中文", ja: "日本語" };

export const language = signal("en");
const texts = signal({});

/**
 * A text in the reader's language. `{name}` in it is replaced by `values.name`; where there is `values.n`, the texts
 * `one | many` are chosen between by the language's rules for plurals.
 */
export function t(text, values = {}) {
  let found = texts.value[text] ?? text;
  if ("n" in values && found.includes(" | ")) {
    const [one, many] = found.split(" | ");
    found = new Intl.PluralRules(language.value).select(values.n) === "one" ? one : many;
  }
  return found.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** Turns the page to a language, and keeps that for the next visit. */
export async function speak(tag) {
  const known = tag in LANGUAGES ? tag : "en";
  texts.value = known === "en" ? {} : (await import(`../languages/${known}.js`).catch(() => ({ default: {} }))).default;
  language.value = known;
  document.documentElement.lang = known;
  localStorage.setItem(KEY, known);
}

/** The language of the last visit, else the browser's. */
export function speakAsBefore() {
  return speak(localStorage.getItem(KEY) || settings.language || "en");
}

/** A moment as people write it here: the time today, the day before. `seconds` since the epoch. */
export function moment(seconds) {
  const date = new Date(seconds * 1000);
  const today = new Date().toDateString() === date.toDateString();
  const form = today ? { hour: "numeric", minute: "2-digit" } : { year: "numeric", month: "short", day: "numeric" };
  return new Intl.DateTimeFormat(language.value, form).format(date);
}

/** A number with the language's separators. */
export function number(value, options = {}) {
  return new Intl.NumberFormat(language.value, options).format(value);
}

/** A span of seconds: 850 ms, 2.4 s, 3 min 5 s. */
export function span(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** A size in bytes: 12 KB, 3.4 MB. */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const [value, unit] = bytes < 1e6 ? [bytes / 1e3, "KB"] : bytes < 1e9 ? [bytes / 1e6, "MB"] : [bytes / 1e9, "GB"];
  return `${number(value, { maximumFractionDigits: value < 10 ? 1 : 0 })} ${unit}`;
}
