// The page of who is signed in: threads, the conversation or the usage, and the panel beside it.

import { effect } from "@preact/signals";
import { t } from "../core/i18n.js";
import { complain } from "../core/notices.js";
import { route } from "../core/route.js";
import { hear } from "../core/tabs.js";
import { listen } from "../core/shortcuts.js";
import { loadAssistants, loadModels } from "../state/assistants.js";
import { close, isBusy, lookAgain, open, stop, threadId } from "../state/conversation.js";
import { loadThreads, threads } from "../state/threads.js";
import { classes, html, useEffect } from "../ui/html.js";
import { Conversation } from "./conversation.js";
import { newThread, showShortcuts, sidebarIsOpen } from "./going.js";
import { Panel, panel, showPanel } from "./panel.js";
import { focusSearch, Sidebar } from "./sidebar.js";
import { focusComposer } from "./composer.js";
import { UsagePage } from "./usage.js";

export function Workplace() {
  useEffect(() => {
    loadThreads().catch(complain);
    loadAssistants().catch(complain);
    loadModels().catch(() => {}); // a provider need not tell them; names can be typed
    const ends = [
      effect(openWhatTheAddressSays),
      effect(nameThePage),
      hear(({ type }) => type === "threads" && loadThreads().catch(complain)),
      listen({
        search: () => ((sidebarIsOpen.value = true), focusSearch()),
        create: newThread,
        panel: () => showPanel(panel.value ? "" : "assistant"),
        write: focusComposer,
        help: showShortcuts,
        stop: escape,
      }),
    ];
    const seen = () => document.hidden || lookAgain().catch(() => {});
    document.addEventListener("visibilitychange", seen);
    return () => {
      ends.forEach((end) => end());
      document.removeEventListener("visibilitychange", seen);
      close();
    };
  }, []);
  const { view } = route.value;
  return html`<div class=${classes("workplace", { "with-panel": panel.value && view !== "usage", "with-sidebar": sidebarIsOpen.value })}>
    <a class="skip" href="#message" onClick=${(event) => (event.preventDefault(), focusComposer())}>${t("Skip to the message")}</a>
    <${Sidebar} close=${() => (sidebarIsOpen.value = false)} />
    <div class="scrim" onClick=${() => ((sidebarIsOpen.value = false), showPanel(""))}></div>
    ${view === "usage" ? html`<${UsagePage} />` : html`<${Conversation} />`}
    ${view !== "usage" && panel.value && html`<${Panel} />`}
  </div>`;
}

function openWhatTheAddressSays() {
  const { view, id } = route.value;
  sidebarIsOpen.value = false;
  if (view === "threads" && id) open(id);
  else if (!view) close();
}

/** The browser's tab says which thread is open. */
function nameThePage() {
  const title = threads.value.find((each) => each.id === threadId.value)?.title;
  document.title = title ? `${title} · Holdfast` : "Holdfast";
}

/** Escape closes what lies over the conversation, and else stops the answer. */
function escape() {
  if (sidebarIsOpen.value) sidebarIsOpen.value = false;
  else if (isBusy.value) stop();
  else return false;
  return true;
}
