// Copying, and saying so.

import { t } from "../core/i18n.js";
import { notice } from "../core/notices.js";
import { html, useState } from "./html.js";
import { Icon } from "./icons.js";

/** Copies a text; where the browser forbids it (a page that is not on HTTPS or this machine), says so. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    notice(t("The browser does not let this page copy. Select the text and copy it by hand."), { kind: "error" });
    return false;
  }
}

/** A button that copies what `text()` gives. `words`: shown beside the icon. */
export function CopyButton({ text, label = t("Copy"), words = false, className = "quiet square small" }) {
  const [isDone, setDone] = useState(false);
  const act = async () => {
    if (!(await copy(text()))) return;
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return html`<button type="button" class=${className} aria-label=${words ? undefined : label} title=${label} onClick=${act}>
    <${Icon} name=${isDone ? "check" : "copy"} size=${16} />${words && html`<span>${isDone ? t("Copied") : label}</span>`}
  </button>`;
}
