// What is left of limits and budgets: a meter for each that is set.

import { number, size, t } from "../../core/i18n.js";
import { budgets, currency, limits } from "../../state/usage.js";
import { classes, html, useId } from "../../ui/html.js";
import { dayAt, listed, money, seconds } from "./figures.js";

const NEARLY = 0.8;

/** When a minute's bucket is full again: it fills evenly. */
const refill = ({ used, limit }) =>
  used > 0 ? t("Fills evenly; full again in {n} s", { n: number(Math.ceil((used / limit) * 60)) }) : t("Fills evenly, within a minute");

function nextMonth() {
  const now = new Date();
  return dayAt(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1) / 1000);
}

/** The limits in the order of the page: `{label, used, limit, form, when(level)}`. */
function known(found) {
  const count = (value) => number(Math.ceil(value));
  const minute = (label, level) => ({ label, ...level, form: count, when: refill });
  return [
    minute(t("Requests per minute"), found.requests_per_minute),
    minute(t("Tokens per minute"), found.tokens_per_minute),
    minute(t("Requests per minute (this token)"), found.token.requests_per_minute),
    minute(t("Tokens per minute (this token)"), found.token.tokens_per_minute),
    { label: t("Runs at once"), ...found.concurrent_runs, form: count, when: () => t("More runs wait until one has ended") },
    { label: t("Queued runs"), ...found.queued_runs, form: count, when: () => t("Free again when runs begin") },
    { label: t("Stored files"), ...found.storage, form: size, when: () => t("Free again when files are deleted") },
    { label: t("Vector stores"), ...found.vector_stores, form: size, when: () => t("Free again when files leave the stores") },
    { label: t("Running code"), ...found.code_seconds_per_month, form: seconds, when: () => t("Begins anew on {day} (UTC)", { day: nextMonth() }) },
  ];
}

export function Limits() {
  const all = known(limits.value);
  const set = all.filter((each) => each.limit !== null);
  const open = all.filter((each) => each.limit === null).map((each) => each.label);
  return html`<section class="usage-limits" aria-labelledby="usage-limits-title">
    <h2 id="usage-limits-title">${t("What is left")}</h2>
    ${(set.length > 0 || budgets.value.length > 0) &&
    html`<ul class="meters">
      ${[...budgets.value].sort((a, b) => Boolean(b.balance) - Boolean(a.balance)).map((budget) => html`<${Budget} key=${budget.id} budget=${budget} />`)}
      ${set.map((each) => html`<${Meter} key=${each.label} ...${each} when=${each.used === null ? t("Not known at the moment") : each.when(each)} />`)}
    </ul>`}
    ${open.length > 0 && html`<p class="hint">${t("No limit: {what}.", { what: listed(open) })}</p>`}
  </section>`;
}

function Meter({ label, used, limit, form, when, note }) {
  const id = useId();
  const share = limit > 0 ? Math.min(1, (used ?? 0) / limit) : 1;
  const words = used === null ? t("{limit} at most", { limit: form(limit) }) : t("{used} of {limit}", { used: form(used), limit: form(limit) });
  return html`<li class=${classes("meter", { nearly: share >= NEARLY, full: share >= 1 })}>
    <p class="meter-name" id=${id}><bdi>${label}</bdi></p>
    <p class="meter-words">${words}</p>
    <div role="meter" aria-labelledby=${id} aria-valuemin="0" aria-valuemax=${limit} aria-valuenow=${Math.min(used ?? 0, limit)} aria-valuetext=${words} class="meter-track"><i style=${{ "--share": share }}></i></div>
    <p class="hint">${note && html`<span>${note} · </span>`}${when}</p>
  </li>`;
}

function Budget({ budget }) {
  const form = budget.unit === "cost" ? (value) => money(String(value), currency.value) : (value) => number(value);
  const label = { day: t("Budget of the day"), month: t("Budget of the month"), total: t("Budget in total") }[budget.period];
  const whose = budget.end_user === "*" ? t("for each end user") : budget.end_user ? t("for {name}", { name: budget.end_user }) : budget.token ? t("for one API token") : "";
  const name = whose ? `${label}, ${whose}` : label;
  const { balance } = budget;
  if (!balance) {
    return html`<li class="meter"><p class="meter-name">${name}</p><p class="meter-words">${t("{limit} at most", { limit: form(budget.amount) })}</p></li>`;
  }
  const isReserved = Number(balance.reserved) > 0;
  const when = balance.resets_at ? t("Begins anew on {day} (UTC)", { day: dayAt(balance.resets_at) }) : t("Does not begin anew");
  return html`<${Meter}
    label=${name}
    used=${Number(balance.spent)}
    limit=${Number(budget.amount)}
    form=${form}
    note=${isReserved ? t("{amount} reserved for calls under way", { amount: form(balance.reserved) }) : ""}
    when=${when}
  />`;
}
