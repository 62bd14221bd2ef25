// What was used and what is left: sums by day, model, assistant, kind and end user, limits and budgets.

import { batch, signal } from "@preact/signals";
import { ask, get, refusal } from "../core/api.js";
import { whenOut } from "../core/session.js";

const DAY = 86_400_000;
const ENOUGH = 5_000; // milliseconds within which figures are not asked for again

/** "month" (the calendar's, so far), "7", "30", "90" (days, with today), or "own" (`ownDays`). */
export const period = signal("month");
export const ownDays = signal({ start: "", end: "" });
/** `{start, end, rows: {day, model, assistant, kind, end_user}, sums}`; null before the first answer. */
export const usage = signal(null);
export const limits = signal(null);
export const budgets = signal([]);
/** The tenant's currency, as far as its usage has told it. */
export const currency = signal("");
export const loading = signal(false);
/** Why there are no figures: `Refused`, or null. */
export const failure = signal(null);

let asked = 0;
let answeredAt = 0;

// --- Days (all of them UTC, as the server counts) -----------------------------------------------------------------

const dayOf = (milliseconds) => new Date(milliseconds).toISOString().slice(0, 10);
export const today = () => dayOf(Date.now());

/** First and last day of what is shown. */
export function shownDays() {
  const end = today();
  if (period.value === "own") return ownDays.value;
  if (period.value === "month") return { start: `${end.slice(0, 8)}01`, end };
  return { start: dayOf(Date.now() - (Number(period.value) - 1) * DAY), end };
}

/** Chooses a period, and asks for it. */
export function choosePeriod(name, days = null) {
  if (days) ownDays.value = days;
  period.value = name;
  return loadUsage();
}

// --- Asking -------------------------------------------------------------------------------------------------------

const asQuery = (given) => `/usage?${new URLSearchParams(given)}`;
const rowsBy = async (groups) => (await get(asQuery({ ...shownDays(), group_by: groups }))).data;

/** Asks for everything that the page shows. What is shown stays until the answers are there. */
export async function loadUsage() {
  const mine = ++asked;
  const days = shownDays();
  loading.value = true;
  try {
    const [byDay, byThing, byEndUser, foundLimits, foundBudgets] = await Promise.all([
      rowsBy("day"),
      rowsBy("model,assistant,kind"),
      rowsBy("end_user"),
      get("/limits"),
      get("/budgets?limit=100").catch((error) => (error.status === 403 ? { data: [] } : Promise.reject(error))),
    ]);
    if (mine !== asked) return;
    batch(() => {
      usage.value = { ...days, sums: folded(byDay, () => "")[0] ?? null, rows: rowsOf(byDay, byThing, byEndUser) };
      limits.value = foundLimits;
      currency.value = byDay.at(-1)?.currency ?? currency.value;
      budgets.value = foundBudgets.data;
      failure.value = null;
    });
    answeredAt = Date.now();
  } catch (error) {
    if (mine === asked) failure.value = error;
  } finally {
    if (mine === asked) loading.value = false;
  }
}

/** Asks anew when the page is looked at again. */
export function lookAgain() {
  if (!loading.value && Date.now() - answeredAt > ENOUGH) loadUsage();
}

whenOut(() => {
  asked += 1;
  usage.value = limits.value = failure.value = null;
  budgets.value = [];
  currency.value = "";
  loading.value = false;
});

function rowsOf(byDay, byThing, byEndUser) {
  const largestFirst = (rows) => rows.sort((a, b) => b.tokens - a.tokens || b.requests - a.requests);
  const by = (rows, name) => largestFirst(folded(rows, (row) => row[name] ?? ""));
  return {
    day: folded(byDay, (row) => row.day),
    model: by(byThing, "model"),
    assistant: by(byThing, "assistant"),
    kind: by(byThing, "kind"),
    end_user: by(byEndUser, "end_user"),
  };
}

// --- Adding up ----------------------------------------------------------------------------------------------------

const SUMS = ["requests", "runs", "prompt_tokens", "cached_tokens", "completion_tokens", "tool_calls", "code_seconds"];

/** One row for each key, over all currencies; `costs` has a decimal text for each currency. */
export function folded(rows, keyOf) {
  const found = new Map();
  for (const row of rows) {
    const key = keyOf(row);
    const sum = found.get(key) ?? { key, tokens: 0, costs: {}, ...Object.fromEntries(SUMS.map((name) => [name, 0])) };
    for (const name of SUMS) sum[name] += row[name];
    sum.tokens = sum.prompt_tokens + sum.completion_tokens;
    sum.costs[row.currency] = addDecimals(sum.costs[row.currency] ?? "0", row.cost);
    found.set(key, sum);
  }
  return [...found.values()];
}

/** The exact sum of two decimal texts. */
export function addDecimals(one, other) {
  const places = Math.max(...[one, other].map((text) => text.split(".")[1]?.length ?? 0));
  const whole = (text) => {
    const [integer, fraction = ""] = text.split(".");
    return BigInt(integer + fraction.padEnd(places, "0"));
  };
  const sum = whole(one) + whole(other);
  const digits = String(sum < 0n ? -sum : sum).padStart(places + 1, "0");
  const sign = sum < 0n ? "-" : "";
  return places ? `${sign}${digits.slice(0, -places)}.${digits.slice(-places)}` : `${sign}${digits}`;
}

/** The days from first to last, in blocks of so many days that there are `most` at most: `{start, end, ...sums}`. */
export function blocks({ start, end, rows }, most = 92) {
  const first = Date.parse(start);
  const count = Math.round((Date.parse(end) - first) / DAY) + 1;
  const size = Math.max(1, Math.ceil(count / most));
  const blockOf = (row) => Math.floor((Date.parse(row.key) - first) / DAY / size);
  const byBlock = new Map();
  for (const row of rows.day) byBlock.set(blockOf(row), [...(byBlock.get(blockOf(row)) ?? []), row]);
  return Array.from({ length: Math.ceil(count / size) }, (_, index) => {
    const from = first + index * size * DAY;
    const days = byBlock.get(index) ?? [];
    const costs = {};
    for (const day of days) for (const name in day.costs) costs[name] = addDecimals(costs[name] ?? "0", day.costs[name]);
    const sums = Object.fromEntries([...SUMS, "tokens"].map((name) => [name, days.reduce((sum, day) => sum + day[name], 0)]));
    return { ...sums, costs, start: dayOf(from), end: dayOf(Math.min(from + (size - 1) * DAY, Date.parse(end))) };
  });
}

// --- Taking along -------------------------------------------------------------------------------------------------

/** The figures of the days shown as CSV, as the server writes it: `{name, blob}`. */
export async function csv(groups) {
  const { start, end } = shownDays();
  const response = await ask("GET", asQuery({ start, end, group_by: groups, format: "csv" }));
  if (!response.ok) throw await refusal(response);
  return { name: `usage-${start}-${end}-by-${groups.replaceAll(",", "-")}.csv`, blob: await response.blob() };
}
