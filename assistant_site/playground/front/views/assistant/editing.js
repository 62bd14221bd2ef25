// A dialog in which something is typed: closing it by mistake asks first, in the dialog itself.

import { t } from "../../core/i18n.js";
import { Dialog } from "../../ui/dialog.js";
import { html, useState } from "../../ui/html.js";

/** `footer`: buttons; `isChanged`: whether closing would lose something. `tell`: what stands beside the buttons. */
export function EditingDialog({ title, close, isChanged, footer, tell = "", children }) {
  const [isAsking, setAsking] = useState(false);
  const shut = () => (isChanged && !isAsking ? setAsking(true) : close());
  const asking = html`
    <p class="error grow" role="alert">${t("What you typed here would be lost.")}</p>
    <button type="button" onClick=${close}>${t("Discard it")}</button>
    <button type="button" class="primary" onClick=${() => setAsking(false)}>${t("Go on editing")}</button>
  `;
  const usual = html`${tell && html`<p class="error grow" role="status">${tell}</p>`}<button type="button" onClick=${shut}>${t("Cancel")}</button>${footer}`;
  return html`<${Dialog}
    wide title=${title} close=${shut} footer=${isAsking && isChanged ? asking : usual}
  ><div class="fields editing">${children}</div><//>`;
}
