// What the assistant may use. Each tool is a row; what belongs to it stands below it while it is on.

import { t } from "../../core/i18n.js";
import { settings } from "../../core/settings.js";
import { refusalAt } from "../../state/assistant-draft.js";
import { Switch } from "../../ui/field.js";
import { html } from "../../ui/html.js";
import { Actions } from "./actions.js";
import { CodeFiles } from "./code-files.js";
import { FileSearch } from "./file-search.js";
import { Functions } from "./functions.js";
import { Servers } from "./servers.js";
import { IconButton, Item, refusalOfTool, replaceTool, switchTool, toolOf, tools } from "./parts.js";
import { isWebSearch, WebSearch } from "./web-search.js";

const KNOWN = ["file_search", "code_interpreter", "function", "action", "mcp"];

export function Tools({ assistant }) {
  const others = tools().filter((tool) => !KNOWN.includes(tool.type) && !isWebSearch(tool));
  const search = toolOf("file_search");
  const error = refusalAt("tools");
  const isPlaced = tools().some((tool) => refusalOfTool(tool));
  return html`<section class="tools" aria-label=${t("Tools")}>
    <h3>${t("Tools")}</h3>
    ${error && !isPlaced && html`<p class="error" role="alert">${error}</p>`}
    <${Tool} type="file_search" label=${t("File search")} hint=${t("Finds passages in your files and cites them.")}>
      <${FileSearch} assistant=${assistant} tool=${search} />
    <//>
    <${Tool} type="code_interpreter" label=${t("Code interpreter")} hint=${t("Writes Python and runs it: calculates, draws, reads and makes files.")}>
      <${Sandbox} />
      <${CodeFiles} assistant=${assistant} />
    <//>
    <${WebSearch} />
    <${Functions} />
    <${Actions} />
    <${Servers} />
    ${others.length > 0 &&
    html`<ul class="items">
      ${others.map((tool, at) => html`<${Item}
        key=${at} icon="tool" title=${tool.type} told=${t("A tool of this installation. It stays as it is.")}
        error=${refusalOfTool(tool)}
      >
        <${IconButton} icon="close" label=${t("Remove {name}", { name: tool.type })} act=${() => replaceTool(tool, null)} />
      <//>`)}
    </ul>`}
  </section>`;
}

/** A tool that is on or off. */
function Tool({ type, label, hint, children }) {
  const tool = toolOf(type);
  const error = tool && refusalOfTool(tool);
  return html`<div class="tool">
    <${Switch} label=${label} hint=${hint} checked=${Boolean(tool)} set=${(isOn) => switchTool(type, isOn)} />
    ${error && html`<p class="error" role="alert">${error}</p>`}
    ${tool && html`<div class="tool-body fields">${children}</div>`}
  </div>`;
}

/** Says so where code cannot be run here now. */
function Sandbox() {
  const { word, sentence } = settings.code ?? {};
  if (word === "available" || !word) return null;
  const words = word === "preparing" ? t("The sandbox is being prepared. Code can be run in some minutes.") : t("Code cannot be run here now: the sandbox is off. Its operator can turn it on.");
  return html`<p class="warning" role="note">${words}${sentence && html`<span class="hint">${sentence}</span>`}</p>`;
}
