// What several views offer: a new thread, the list on a narrow page, the help.

import { signal } from "@preact/signals";
import { t } from "../core/i18n.js";
import { go } from "../core/route.js";
import { shortcuts } from "../core/shortcuts.js";
import { close } from "../state/conversation.js";
import { Dialog, openDialog } from "../ui/dialog.js";
import { html } from "../ui/html.js";
import { focusComposer } from "./composer.js";

/** Whether the list of threads is open; only a narrow page can close it. */
export const sidebarIsOpen = signal(false);

export function newThread() {
  go();
  close();
  sidebarIsOpen.value = false;
  focusComposer();
}

export function showShortcuts() {
  openDialog(
    (shut) => html`<${Dialog} title=${t("Keyboard shortcuts")} close=${shut}>
      <dl class="shortcuts">
        ${shortcuts().map(([keys, what]) => html`<div><dt>${what}</dt><dd>${keys.map((key) => html`<kbd>${key}</kbd>`)}</dd></div>`)}
      </dl>
    <//>`,
  );
}
