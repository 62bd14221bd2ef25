// Beside the conversation: the assistant that answers, and what happened in its run. Both are fetched when they are first
// shown, so that one can write before they are there.

import { signal } from "@preact/signals";
import { t } from "../core/i18n.js";
import { Tabs } from "../ui/field.js";
import { html } from "../ui/html.js";
import { Icon } from "../ui/icons.js";
import { didNotCome, later } from "../ui/later.js";

const KEY = "holdfast.panel";
const WIDE = "(min-width: 72rem)";

/** Whether the panel has a place beside the conversation; else it lies over it. */
export function isWide() {
  return matchMedia(WIDE).matches;
}

/** What the panel shows: "assistant", "run", or "" for nothing. A narrow page begins without it. */
export const panel = signal(isWide() ? (localStorage.getItem(KEY) ?? "assistant") : "");

export function showPanel(name) {
  panel.value = name;
  if (isWide()) localStorage.setItem(KEY, name);
}

const places = {
  Waiting: () => html`<p class="hint" role="status">${t("Loading …")}</p>`,
  Failed: () => html`<p class="error" role="alert">${didNotCome()}</p>`,
};
const AssistantPanel = later(async () => (await import("./assistant-panel.js")).AssistantPanel, places);
const RunPanel = later(async () => (await import("./run-panel.js")).RunPanel, places);

export function Panel() {
  const tabs = [
    { id: "assistant", label: t("Assistant") },
    { id: "run", label: t("Run") },
  ];
  return html`<aside class="panel" aria-label=${t("Details")}>
    <button type="button" class="quiet square panel-close" aria-label=${t("Close the panel")} onClick=${() => showPanel("")}><${Icon} name="close" /></button>
    <${Tabs} label=${t("Details")} tabs=${tabs} chosen=${panel.value} choose=${showPanel}>
      ${panel.value === "run" ? html`<${RunPanel} />` : html`<${AssistantPanel} />`}
    <//>
  </aside>`;
}
