// What the usage page shows: what was used in some days, by whom, and what is left.

import { span, number, t } from "../../core/i18n.js";
import { go } from "../../core/route.js";
import { failure, lookAgain, limits, loading, loadUsage, usage } from "../../state/usage.js";
import { threadId } from "../../state/conversation.js";
import { html, useEffect } from "../../ui/html.js";
import { Icon } from "../../ui/icons.js";
import { sidebarIsOpen } from "../going.js";
import { Chart } from "./chart.js";
import { cost, hasCosts } from "./figures.js";
import { Limits } from "./limits.js";
import { Period, Tools } from "./period.js";
import { Tables } from "./tables.js";

const back = () => (threadId.value ? go("threads", threadId.value) : go());

export function Page() {
  useEffect(() => {
    loadUsage();
    const seen = () => document.hidden || lookAgain();
    document.addEventListener("visibilitychange", seen);
    addEventListener("focus", seen);
    return () => {
      document.removeEventListener("visibilitychange", seen);
      removeEventListener("focus", seen);
    };
  }, []);
  return html`<main class="page usage">
    <header class="bar">
      <button type="button" class="quiet square only-narrow" aria-label=${t("Threads")} onClick=${() => (sidebarIsOpen.value = true)}><${Icon} name="menu" /></button>
      <button type="button" class="quiet square" aria-label=${t("Back to the conversation")} title=${t("Back to the conversation")} onClick=${back}><${Icon} name="back" /></button>
      <h1 class="bar-title">${t("Usage")}</h1>
      ${failure.value?.status !== 403 && html`<${Tools} />`}
    </header>
    <div class="usage-scroll" tabindex="0" role="region" aria-label=${t("Usage")}>
      <div class="usage-inside"><${Figures} /></div>
    </div>
  </main>`;
}

function Figures() {
  const found = usage.value;
  if (failure.value?.status === 403) return html`<${Closed} />`;
  return html`
    <${Period} />
    ${failure.value && html`<${Failed} />`}
    ${found
      ? found.sums
        ? html`<${Cards} sums=${found.sums} /><${Chart} usage=${found} /><${Tables} usage=${found} />`
        : html`<${Nothing} />`
      : !failure.value && html`<p class="hint" role="status">${t("Loading …")}</p>`}
    ${limits.value && html`<${Limits} />`}
  `;
}

function Cards({ sums }) {
  const cards = [
    [t("Requests"), number(sums.requests), t("Calls of a model")],
    [t("Runs"), number(sums.runs), ""],
    [t("Prompt tokens"), number(sums.prompt_tokens), t("{count} of them cached", { count: number(sums.cached_tokens) })],
    [t("Completion tokens"), number(sums.completion_tokens), ""],
    [t("Tool calls"), number(sums.tool_calls), sums.code_seconds > 0 ? t("{span} of running code", { span: span(sums.code_seconds) }) : ""],
    [t("Cost"), cost(sums.costs), hasCosts(sums.costs) ? "" : t("No prices are set for these models.")],
  ];
  return html`<dl class="usage-cards" aria-busy=${loading.value}>
    ${cards.map(([name, value, note]) => html`<div key=${name}><dt>${name}</dt><dd><strong>${value}</strong>${note && html`<span class="hint">${note}</span>`}</dd></div>`)}
  </dl>`;
}

function Nothing() {
  return html`<div class="usage-empty"><${Icon} name="usage" size=${32} />
    <h2>${t("Nothing was used in these days")}</h2>
    <p class="hint">${t("As soon as a model is asked, here or by a program, it is counted: at once and to the token.")}</p>
  </div>`;
}

function Failed() {
  return html`<div class="error-box" role="alert"><${Icon} name="alert" />
    <div><p>${failure.value.message}</p>${usage.value && html`<p class="hint">${t("Shown are the figures from before.")}</p>`}</div>
    <button type="button" class="small" onClick=${loadUsage}>${t("Try again")}</button>
  </div>`;
}

function Closed() {
  return html`<div class="usage-empty" role="alert"><${Icon} name="key" size=${32} />
    <h2>${t("This token may not see the usage")}</h2>
    <p class="hint">${t("It needs the scope usage.read. Your operator can add it, or give you a token that has it.")}</p>
    <button type="button" onClick=${loadUsage}>${t("Try again")}</button>
  </div>`;
}
