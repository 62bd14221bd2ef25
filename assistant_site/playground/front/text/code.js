// A block of code: its language, a button that copies it, and colours once it is complete.

import { t } from "../core/i18n.js";
import { CopyButton } from "../ui/copy.js";
import { html, useLayoutEffect, useRef } from "../ui/html.js";
import { safeCode } from "./safe.js";

const LONGEST = 60_000; // characters; longer code stays without colours

export function CodeBlock({ code, language, isComplete }) {
  const element = useRef(null);
  useLayoutEffect(() => write(element.current, code), [code]);
  useLayoutEffect(() => {
    if (!isComplete || !language || code.length > LONGEST) return undefined;
    let isWanted = true;
    coloured(code, language).then((nodes) => {
      if (isWanted && nodes) element.current?.replaceChildren(nodes);
    }, console.warn);
    return () => (isWanted = false);
  }, [code, language, isComplete]);
  return html`<div class="code-block">
    <div class="code-head">
      <span class="code-language">${language || t("Code")}</span>
      <${CopyButton} text=${() => code} label=${t("Copy the code")} />
    </div>
    <pre tabindex="0" role="group" aria-label=${language ? t("Code, {language}", { language }) : t("Code")} translate="no"><code ref=${element} dir="ltr"></code></pre>
  </div>`;
}

/** Code that grows keeps its node, and with it what is selected. */
function write(element, code) {
  const node = element.firstChild;
  const before = element.childNodes.length === 1 && node.nodeType === Node.TEXT_NODE ? node.data : null;
  if (before !== null && code.startsWith(before)) node.appendData(code.slice(before.length));
  else element.textContent = code;
}

async function coloured(code, language) {
  const { default: highlight } = await import("highlight.js");
  if (!highlight.getLanguage(language)) return null;
  return safeCode(highlight.highlight(code, { language, ignoreIllegals: true }).value);
}
