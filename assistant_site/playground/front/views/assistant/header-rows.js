// Headers and their values, which are secrets: typed once, never shown again.

import { t } from "../../core/i18n.js";
import { html } from "../../ui/html.js";
import { Icon } from "../../ui/icons.js";
import { IconButton } from "./parts.js";

/** `rows`: pairs of name and value; `write(rows)` takes them changed. */
export function HeaderRows({ rows, write }) {
  const change = (at, column) => (event) => write(rows.map((row, index) => (index === at ? row.with(column, event.target.value) : row)));
  return html`<div class="pairs" role="group" aria-label=${t("Headers")}>
    ${rows.map(
      ([name, value], at) => html`<div class="pair-row" key=${at}>
        <input
          class="code" aria-label=${t("Header {n}", { n: at + 1 })} placeholder="X-Api-Key" autocomplete="off"
          spellcheck=${false} value=${name} onInput=${change(at, 0)}
        />
        <input
          type="password" aria-label=${t("Value {n}", { n: at + 1 })} placeholder=${t("value")} autocomplete="off"
          value=${value} onInput=${change(at, 1)}
        />
        <${IconButton} icon="close" label=${t("Remove header {n}", { n: at + 1 })} act=${() => write(rows.toSpliced(at, 1))} />
      </div>`,
    )}
    <button type="button" class="quiet small" onClick=${() => write([...rows, ["", ""]])}><${Icon} name="add" size=${16} />${t("Add a header")}</button>
  </div>`;
}
