// The notices at the edge of the page.

import { t } from "../core/i18n.js";
import { dismiss, notices } from "../core/notices.js";
import { html } from "../ui/html.js";
import { Icon } from "../ui/icons.js";

export function Notices() {
  return html`<div class="notices" role="status" aria-live="polite">
    ${notices.value.map(
      (each) => html`<div key=${each.id} class="notice ${each.kind}">
        <${Icon} name=${each.kind === "error" ? "alert" : "check"} />
        <p>${each.text}</p>
        ${each.action && html`<button type="button" class="small" onClick=${() => (dismiss(each.id), each.action.act())}>${each.action.label}</button>`}
        <button type="button" class="quiet square small" aria-label=${t("Close")} onClick=${() => dismiss(each.id)}>
          <${Icon} name="close" size=${16} />
        </button>
      </div>`,
    )}
  </div>`;
}
