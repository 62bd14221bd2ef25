// Choosing among actions, with a search where there are many.

import { t } from "../../core/i18n.js";
import { deleteAction } from "../../state/actions.js";
import { html, useState } from "../../ui/html.js";
import { IconButton } from "./parts.js";
import { toldOf } from "./actions.js";

const MANY = 8;
const SHOWN = 200;

/** `choose(ids)` takes the ids of those that are ticked. `canDelete`: for good, after a second press. */
export function ActionChoice({ actions, chosen, choose, canDelete = false }) {
  const [search, setSearch] = useState("");
  const [doomed, setDoomed] = useState("");
  const [error, setError] = useState("");
  const words = search.trim().toLowerCase();
  const fitting = actions.filter((each) => `${each.name} ${each.description} ${toldOf(each)}`.toLowerCase().includes(words));
  const shown = fitting.slice(0, SHOWN);
  const ids = fitting.map((each) => each.id);
  const hasAll = ids.length > 0 && ids.every((id) => chosen.includes(id));
  const turn = (id) => (event) => choose(event.target.checked ? [...chosen, id] : chosen.filter((each) => each !== id));
  const turnAll = (event) => choose(event.target.checked ? [...new Set([...chosen, ...ids])] : chosen.filter((id) => !ids.includes(id)));
  const destroy = async (id) => {
    setError("");
    try {
      await deleteAction(id);
      choose(chosen.filter((each) => each !== id));
    } catch (problem) {
      setError(problem.message);
    }
    setDoomed("");
  };
  return html`<div class="action-choice">
    ${actions.length > MANY && html`<input
      type="search" aria-label=${t("Search actions")} placeholder=${t("Search actions")} value=${search}
      onInput=${(event) => setSearch(event.target.value)}
    />`}
    ${fitting.length > 1 && html`<label class="check all"><input type="checkbox" checked=${hasAll} onChange=${turnAll} />${t("All {n}", { n: fitting.length })}</label>`}
    ${error && html`<p class="error" role="alert">${error}</p>`}
    <ul class="items">
      ${shown.map(
        (action) => html`<li key=${action.id} class="item">
          <label class="check grow">
            <input type="checkbox" checked=${chosen.includes(action.id)} onChange=${turn(action.id)} />
            <span class="item-words"><span class="item-title">${action.name}</span><span class="hint">${action.description}</span><code class="hint">${toldOf(action)}</code></span>
          </label>
          ${canDelete &&
          (doomed === action.id
            ? html`<span class="row"><button type="button" class="small" onClick=${() => setDoomed("")}>${t("Keep it")}</button><button type="button" class="small danger" autofocus onClick=${() => destroy(action.id)}>${t("Delete for good")}</button></span>`
            : html`<${IconButton} icon="trash" label=${t("Delete {name}", { name: action.name })} act=${() => setDoomed(action.id)} />`)}
        </li>`,
      )}
    </ul>
    ${!fitting.length && html`<p class="hint" role="status">${t("No action has these words.")}</p>`}
    ${fitting.length > SHOWN && html`<p class="hint">${t("{n} more: search for them.", { n: fitting.length - SHOWN })}</p>`}
  </div>`;
}
