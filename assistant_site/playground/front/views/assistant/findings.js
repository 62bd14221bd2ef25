// What is wrong with a schema, as a list; and the one thing that can be mended by itself.

import { t } from "../../core/i18n.js";
import { html } from "../../ui/html.js";

export function Findings({ findings, isStrict, makeStrict }) {
  if (!findings.length) return null;
  const canMend = isStrict && findings.some((each) => each.isError);
  return html`<div class="findings" role="status">
    <ul>
      ${findings.map(
        ({ place, message, isError }) => html`<li key=${place + message} class=${isError ? "error" : "hint"}>${place && html`<code>${place}</code>${" "}`}${message}</li>`,
      )}
    </ul>
    ${canMend && html`<button type="button" class="small" onClick=${makeStrict}>${t("Make it fit “strict”")}</button>`}
  </div>`;
}
