// A button that opens a short list of things to do.

import { classes, html, useEffect, useId } from "./html.js";
import { Icon } from "./icons.js";
import { useOpening } from "./opening.js";

/**
 * `items`: `{label, icon, act, danger, checked, href}`, `{heading}`, or null (left out). `label` names the button for those who do not
 * see its icon; `children` is what it shows.
 */
export function Menu({ label, items, children, className = "quiet square", align = "end", above = false }) {
  const { isOpen, setOpen, root, shut } = useOpening();
  const id = useId();
  const shown = items.filter(Boolean);

  useEffect(() => {
    if (isOpen) root.current.querySelector("[role^=menuitem]")?.focus();
  }, [isOpen]);

  const keys = (event) => {
    const all = [...root.current.querySelectorAll("[role^=menuitem]")];
    const here = all.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) all[(here + step + all.length) % all.length].focus();
    else if (event.key === "Home") all[0].focus();
    else if (event.key === "End") all.at(-1).focus();
    else if (event.key === "Escape") shut();
    else if (event.key === "Tab") setOpen(false);
    if (step || ["Home", "End", "Escape"].includes(event.key)) {
      event.preventDefault();
      event.stopPropagation();
    }
  };
  const pick = (item) => {
    shut();
    item.act?.();
  };

  return html`<div class="menu" ref=${root}>
    <button
      type="button"
      class=${className}
      aria-label=${label}
      aria-haspopup="menu"
      aria-expanded=${isOpen}
      aria-controls=${isOpen ? id : undefined}
      onClick=${() => setOpen(!isOpen)}
    >
      ${children}
    </button>
    ${isOpen &&
    html`<div id=${id} role="menu" aria-label=${label} class=${classes("menu-list", align, { above })} onKeyDown=${keys}>
      ${shown.map((item) => html`<${Item} item=${item} pick=${pick} />`)}
    </div>`}
  </div>`;
}

function Item({ item, pick }) {
  if (item.heading) return html`<h3 role="presentation">${item.heading}</h3>`;
  const shown = html`
    ${item.icon && html`<${Icon} name=${item.icon} />`}<span>${item.label}</span>
    ${item.checked && html`<${Icon} name="check" />`}
  `;
  if (item.href) {
    return html`<a role="menuitem" tabindex="-1" href=${item.href} target="_blank" rel="noreferrer" onClick=${() => pick(item)}>${shown}</a>`;
  }
  return html`<button
    type="button"
    role=${item.checked === undefined ? "menuitem" : "menuitemradio"}
    aria-checked=${item.checked}
    tabindex="-1"
    class=${classes({ danger: item.danger })}
    onClick=${() => pick(item)}
  >
    ${shown}
  </button>`;
}
