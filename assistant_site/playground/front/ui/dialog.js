// Dialogs: the browser's own <dialog>, so focus stays inside, Escape closes and the page behind is inert.

import { signal } from "@preact/signals";
import { t } from "../core/i18n.js";
import { html, useEffect, useId, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";

/** The dialog that is open: a function that draws it, or null. One at a time. */
export const dialog = signal(null);

/** Opens a dialog. `draw` gets `close`. */
export const openDialog = (draw) => (dialog.value = draw);
export const closeDialog = () => (dialog.value = null);

/** Draws the dialog that is open; stands once in the page. */
export function Dialogs() {
  return dialog.value ? dialog.value(closeDialog) : null;
}

/** `wide`: for code and forms. `footer`: its buttons. */
export function Dialog({ title, close, footer, wide, children }) {
  const element = useRef(null);
  const heading = useId();
  useEffect(() => {
    const shown = element.current;
    const before = document.activeElement;
    shown.showModal();
    return () => {
      shown.close();
      before?.focus?.();
    };
  }, []);
  const pressed = (event) => event.target === element.current && close(); // the backdrop is the dialog itself
  return html`<dialog
    ref=${element}
    class=${wide ? "dialog wide" : "dialog"}
    aria-labelledby=${heading}
    onCancel=${(event) => (event.preventDefault(), close())}
    onMouseDown=${pressed}
  >
    <div class="dialog-inside">
      <header>
        <h2 id=${heading}>${title}</h2>
        <button type="button" class="quiet square" aria-label=${t("Close")} onClick=${close}><${Icon} name="close" /></button>
      </header>
      <div class="dialog-body">${children}</div>
      ${footer && html`<footer>${footer}</footer>`}
    </div>
  </dialog>`;
}

/** Asks before something that cannot be undone. Resolves to whether it shall be done. */
export function confirm({ title, text, action, danger = true }) {
  return new Promise((resolve) => {
    openDialog((close) => {
      const answer = (yes) => (close(), resolve(yes));
      const footer = html`
        <button type="button" onClick=${() => answer(false)}>${t("Keep it")}</button>
        <button type="button" class=${danger ? "danger" : "primary"} autofocus onClick=${() => answer(true)}>${action}</button>
      `;
      return html`<${Dialog} title=${title} close=${() => answer(false)} footer=${footer}><p>${text}</p><//>`;
    });
  });
}

/** Asks for a line of text. Resolves to it, or to null. */
export function askFor({ title, label, value = "", action, most = 200, hint = "" }) {
  return new Promise((resolve) => {
    openDialog((close) => html`<${Asking} ...${{ title, label, value, action, most, hint }} answer=${(given) => (close(), resolve(given))} />`);
  });
}

function Asking({ title, label, value, action, most, hint, answer }) {
  const [text, setText] = useState(value);
  const id = useId();
  const submit = (event) => (event.preventDefault(), answer(text.trim()));
  const footer = html`
    <button type="button" onClick=${() => answer(null)}>${t("Cancel")}</button>
    <button type="submit" class="primary" form=${`${id}f`}>${action}</button>
  `;
  return html`<${Dialog} title=${title} close=${() => answer(null)} footer=${footer}>
    <form id=${`${id}f`} onSubmit=${submit} class="field">
      <label for=${id}>${label}</label>
      <input id=${id} value=${text} maxlength=${most} autofocus onInput=${(event) => setText(event.target.value)} />
      ${hint && html`<p class="hint">${hint}</p>`}
    </form>
  <//>`;
}
