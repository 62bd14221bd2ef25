// A labelled field with help below it and, when something is wrong, the words for that.

import { classes, html, useId } from "./html.js";

/** `control(props)` draws the control and must spread `props` on it. */
export function Field({ label, hint, error, control, className = "", optional = "" }) {
  const id = useId();
  const described = [hint && `${id}h`, error && `${id}e`].filter(Boolean).join(" ") || undefined;
  return html`<div class=${classes("field", className, { wrong: error })}>
    <label for=${id}>${label}${optional && html`<span class="optional">${optional}</span>`}</label>
    ${control({ id, "aria-describedby": described, "aria-invalid": error ? "true" : undefined })}
    ${hint && html`<p class="hint" id=${`${id}h`}>${hint}</p>`}
    ${error && html`<p class="error" id=${`${id}e`} role="alert">${error}</p>`}
  </div>`;
}

/** A switch with its words. */
export function Switch({ label, hint, checked, set, disabled }) {
  const id = useId();
  return html`<div class="switch">
    <input type="checkbox" role="switch" id=${id} checked=${checked} disabled=${disabled} aria-describedby=${hint ? `${id}h` : undefined} onChange=${(event) => set(event.target.checked)} />
    <label for=${id}>${label}</label>
    ${hint && html`<p class="hint" id=${`${id}h`}>${hint}</p>`}
  </div>`;
}

/** Tabs: `tabs` are `{id, label}`; `children` is the panel of the chosen one. */
export function Tabs({ label, tabs, chosen, choose, children }) {
  const id = useId();
  const keys = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const here = tabs.findIndex((tab) => tab.id === chosen);
    const next = tabs[(here + step + tabs.length) % tabs.length];
    choose(next.id);
    document.getElementById(`${id}${next.id}`)?.focus();
  };
  return html`<div class="tabs">
    <div role="tablist" aria-label=${label} onKeyDown=${keys}>
      ${tabs.map(
        (tab) => html`<button
          type="button"
          role="tab"
          id=${`${id}${tab.id}`}
          aria-selected=${tab.id === chosen}
          aria-controls=${`${id}panel`}
          tabindex=${tab.id === chosen ? 0 : -1}
          onClick=${() => choose(tab.id)}
        >
          ${tab.label}
        </button>`,
      )}
    </div>
    <div role="tabpanel" id=${`${id}panel`} aria-labelledby=${`${id}${chosen}`} class="tabpanel">${children}</div>
  </div>`;
}
