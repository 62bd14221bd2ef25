// Who and what used how much: by model, assistant, end user and kind.

import { number, t } from "../../core/i18n.js";
import { assistants } from "../../state/assistants.js";
import { Tabs } from "../../ui/field.js";
import { html, useState } from "../../ui/html.js";
import { cost, hasCosts, KINDS } from "./figures.js";

const AT_FIRST = 10;
const MOST = 500;
const SMALLEST_SHARE = 0.001; // below it, that it is less is all that is told

const groups = () => [
  { id: "model", label: t("Models"), one: t("Model"), nameOf: (key) => key || t("No model") },
  { id: "assistant", label: t("Assistants"), one: t("Assistant"), nameOf: assistantName, none: t("Without an assistant") },
  { id: "end_user", label: t("End users"), one: t("End user"), nameOf: (key) => key || t("No end user named") },
  { id: "kind", label: t("Kinds"), one: t("Kind"), nameOf: (key) => KINDS()[key] ?? key },
];

function assistantName(id) {
  if (!id) return t("Without an assistant");
  const known = assistants.value.find((each) => each.id === id);
  return known ? known.name || t("Unnamed") : t("Deleted: {id}", { id });
}

export function Tables({ usage }) {
  const [chosen, choose] = useState("model");
  const group = groups().find((each) => each.id === chosen);
  return html`<section class="usage-tables" aria-label=${t("Who used what")}>
    <${Tabs} label=${t("Who used what")} tabs=${groups()} chosen=${chosen} choose=${choose}>
      <${Table} key=${chosen} group=${group} rows=${usage.rows[chosen]} sums=${usage.sums} />
    <//>
  </section>`;
}

function Table({ group, rows, sums }) {
  const [most, setMost] = useState(AT_FIRST);
  const withCosts = hasCosts(sums.costs);
  return html`<div class="table-scroll" tabindex="0" role="region" aria-label=${group.label}>
      <table>
        <thead>
          <tr>
            <th scope="col">${group.one}</th>
            <th scope="col">${t("Requests")}</th>
            <th scope="col">${t("Prompt")}</th>
            <th scope="col">${t("Cached")}</th>
            <th scope="col">${t("Completion")}</th>
            ${withCosts && html`<th scope="col">${t("Cost")}</th>`}
            <th scope="col">${t("Share of tokens")}</th>
          </tr>
        </thead>
        <tbody>
          ${rows.slice(0, most).map((row) => html`<${Row} key=${row.key} row=${row} name=${group.nameOf(row.key)} sums=${sums} withCosts=${withCosts} />`)}
        </tbody>
      </table>
    </div>
    ${rows.length > most && most < MOST && html`<button type="button" class="quiet small" onClick=${() => setMost(MOST)}>${t("Show all {n}", { n: Math.min(rows.length, MOST) })}</button>`}
    ${rows.length > MOST && most === MOST && html`<p class="hint">${t("The {n} with the most tokens. All of them are in the CSV.", { n: MOST })}</p>`}`;
}

function Row({ row, name, sums, withCosts }) {
  const share = sums.tokens ? row.tokens / sums.tokens : 0;
  const isTiny = share > 0 && share < SMALLEST_SHARE;
  const percent = number(isTiny ? SMALLEST_SHARE : share, { style: "percent", maximumFractionDigits: share < 0.1 ? 1 : 0 });
  return html`<tr>
    <th scope="row" title=${row.key}><bdi>${name}</bdi></th>
    <td>${number(row.requests)}</td>
    <td>${number(row.prompt_tokens)}</td>
    <td>${number(row.cached_tokens)}</td>
    <td>${number(row.completion_tokens)}</td>
    ${withCosts && html`<td>${cost(row.costs)}</td>`}
    <td class="share"><span>${isTiny ? `< ${percent}` : percent}</span><i style=${{ "--share": share }} aria-hidden="true"></i></td>
  </tr>`;
}
