// Figures in the reader's language.

import { language, number, t } from "../../core/i18n.js";

/** Money from a decimal text, with as many digits as small amounts need. */
export function money(text, currency) {
  const amount = Math.abs(Number(text));
  const digits = amount >= 0.1 || amount === 0 ? 2 : amount >= 0.001 ? 4 : 6;
  const form = { minimumFractionDigits: 2, maximumFractionDigits: digits };
  // A budget of a tenant that has used nothing yet does not tell its currency.
  if (!currency) return number(text, { maximumFractionDigits: 6 });
  return number(text, { style: "currency", currency, ...form });
}

/** What something cost, in each of its currencies. */
export function cost(costs) {
  const known = Object.entries(costs).filter(([, text], _, all) => Number(text) !== 0 || all.length === 1);
  return known.map(([currency, text]) => money(text, currency)).join(" + ") || "–";
}

export const hasCosts = (costs) => Object.values(costs ?? {}).some((text) => Number(text) !== 0);

/** 12.4K, 1.2万: for an axis. */
export const compact = (value) => number(value, { notation: "compact", maximumFractionDigits: 1 });

export const seconds = (value) => `${number(value, { maximumFractionDigits: 1 })} s`;

const utc = (form) => new Intl.DateTimeFormat(language.value, { timeZone: "UTC", ...form });

/** A day, or the days from one to another; `short`: for an axis. */
export function days(start, end = start, { short = false } = {}) {
  const form = short ? { month: "short", day: "numeric" } : { year: "numeric", month: "short", day: "numeric" };
  if (short || start === end) return utc(form).format(new Date(start));
  return utc(form).formatRange(new Date(start), new Date(end));
}

/** The day of a moment in seconds since the epoch, UTC. */
export const dayAt = (moment) => utc({ month: "long", day: "numeric" }).format(new Date(moment * 1000));

export const listed = (words) => new Intl.ListFormat(language.value, { type: "conjunction" }).format(words);

export const KINDS = () => ({ run: t("Runs"), chat: t("Chat completions"), embedding: t("Embeddings") });
