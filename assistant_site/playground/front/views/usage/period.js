// Which days are shown, and taking their figures along.

import { language, t } from "../../core/i18n.js";
import { complain } from "../../core/notices.js";
import { choosePeriod, csv, loading, loadUsage, period, shownDays, today } from "../../state/usage.js";
import { Field } from "../../ui/field.js";
import { html, useState } from "../../ui/html.js";
import { Icon } from "../../ui/icons.js";
import { Menu } from "../../ui/menu.js";
import { days } from "./figures.js";

const FIRST_DAY = "2000-01-01";

const periods = () => [
  ["month", t("This month")],
  ["7", t("7 days")],
  ["30", t("30 days")],
  ["90", t("90 days")],
  ["own", t("Other days")],
];

export function Period() {
  const [isChoosing, setChoosing] = useState(false);
  const pick = (name) => {
    setChoosing(name === "own");
    if (name !== "own") choosePeriod(name);
  };
  const isShown = (name) => (isChoosing ? name === "own" : name === period.value);
  const { start, end } = shownDays();
  return html`<div class="usage-period">
    <div class="segments" role="group" aria-label=${t("Days shown")}>
      ${periods().map(([name, label]) => html`<button type="button" key=${name} class="quiet small" aria-pressed=${isShown(name)} onClick=${() => pick(name)}>${label}</button>`)}
    </div>
    ${isChoosing || period.value === "own" ? html`<${OwnDays} start=${start} end=${end} done=${() => setChoosing(false)} />` : html`<p class="hint" lang=${language.value}>${days(start, end)} · UTC</p>`}
  </div>`;
}

function OwnDays({ start, end, done }) {
  const [from, setFrom] = useState(start);
  const [to, setTo] = useState(end);
  const [error, setError] = useState("");
  const submit = (event) => {
    event.preventDefault();
    if (!from || !to) return setError(t("Choose both days."));
    if (from > to) return setError(t("The first day must not be after the last."));
    setError("");
    choosePeriod("own", { start: from, end: to });
    return done();
  };
  const day = (value, set) => (props) => html`<input type="date" ...${props} aria-invalid=${error ? "true" : undefined} aria-describedby=${error ? "own-days-error" : undefined} value=${value} min=${FIRST_DAY} max=${today()} onInput=${(event) => set(event.target.value)} />`;
  return html`<form class="own-days" onSubmit=${submit} noValidate>
    <${Field} label=${t("First day")} control=${day(from, setFrom)} />
    <${Field} label=${t("Last day")} control=${day(to, setTo)} />
    <button type="submit">${t("Show")}</button>
    ${error && html`<p class="error" id="own-days-error" role="alert">${error}</p>`}
  </form>`;
}

/** Saves the figures as a file. */
async function save(groups) {
  try {
    const { name, blob } = await csv(groups);
    const url = URL.createObjectURL(blob);
    Object.assign(document.createElement("a"), { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  } catch (error) {
    complain(error);
  }
}

export function Tools() {
  const items = [
    { label: t("By day"), icon: "download", act: () => save("day") },
    { label: t("By model"), icon: "download", act: () => save("model") },
    { label: t("By assistant"), icon: "download", act: () => save("assistant") },
    { label: t("By end user"), icon: "download", act: () => save("end_user") },
    { label: t("By API token"), icon: "download", act: () => save("token") },
    { label: t("Everything, day by day"), icon: "download", act: () => save("day,model,assistant,end_user,kind") },
  ];
  return html`
    <button type="button" class="quiet square" aria-label=${t("Refresh")} title=${t("Refresh")} aria-busy=${loading.value} onClick=${loadUsage}><${Icon} name="retry" /></button>
    <${Menu} label=${t("Download as CSV")} items=${items} className="usage-download"><${Icon} name="download" /><span>CSV</span><//>
  `;
}
