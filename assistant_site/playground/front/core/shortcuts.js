// Keys that work everywhere on the page.

import { t } from "./i18n.js";

const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
const COMMAND = isMac ? "⌘" : "Ctrl";

/** What the help lists: the keys, and what they do. */
export const shortcuts = () => [
  [["Enter"], t("Send the message")],
  [["Shift", "Enter"], t("New line")],
  [["Esc"], t("Stop the answer")],
  [[COMMAND, "K"], t("Search threads")],
  [[COMMAND, "Shift", "O"], t("New thread")],
  [[COMMAND, "Shift", "P"], t("Show or hide the panel")],
  [[COMMAND, "S"], t("Save the assistant, while the panel shows it")],
  [["/"], t("Write a message")],
  [["?"], t("These shortcuts")],
];

/** Calls `on[name]` for a key that was pressed; returns what ends that. Names: search, create, panel, write, help, stop. */
export function listen(on) {
  const pressed = (event) => {
    const command = isMac ? event.metaKey : event.ctrlKey;
    const writes = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || event.target.isContentEditable;
    const name = nameOf(event, command, writes);
    if (!name || (document.querySelector("dialog[open]") && name !== "search")) return;
    if (on[name]?.(event) !== false) event.preventDefault();
  };
  addEventListener("keydown", pressed);
  return () => removeEventListener("keydown", pressed);
}

function nameOf(event, command, writes) {
  if (event.isComposing) return "";
  const key = event.key.toLowerCase();
  if (command && !event.shiftKey && key === "k") return "search";
  if (command && event.shiftKey && key === "o") return "create";
  if (command && event.shiftKey && key === "p") return "panel";
  if (key === "escape") return "stop";
  if (writes || command || event.altKey) return "";
  return { "/": "write", "?": "help" }[event.key] ?? "";
}
