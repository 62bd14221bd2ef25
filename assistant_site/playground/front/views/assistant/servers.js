// MCP servers whose tools the assistant may call: the list of them.

import { t } from "../../core/i18n.js";
import { openDialog } from "../../ui/dialog.js";
import { html } from "../../ui/html.js";
import { Icon } from "../../ui/icons.js";
import { IconButton, Item, refusalOfTool, replaceTool, tools } from "./parts.js";
import { ServerEditor } from "./server-editor.js";

function open(tool = null) {
  const others = tools().filter((each) => each.type === "mcp" && each !== tool).map((each) => each.server_label);
  const keep = (next) => replaceTool(tool, next);
  openDialog((close) => html`<${ServerEditor} given=${tool} others=${others} keep=${keep} close=${close} />`);
}

export function Servers() {
  const servers = tools().filter((tool) => tool.type === "mcp");
  return html`<div class="tool" role="group" aria-label=${t("MCP servers")}>
    <div class="tool-head">
      <div><p class="label">${t("MCP servers")}</p><p class="hint">${t("Tools of other servers, by the Model Context Protocol.")}</p></div>
      <button type="button" class="small" onClick=${() => open()}><${Icon} name="add" size=${16} />${t("Add a server")}</button>
    </div>
    ${servers.length > 0 &&
    html`<ul class="items">
      ${servers.map((tool) => {
        const name = tool.server_label;
        return html`<${Item}
          key=${name} icon="tool" title=${name} told=${tool.server_url ?? t("registered here by the operator")}
          error=${refusalOfTool(tool)} open=${() => open(tool)}
        >
          <${IconButton} icon="edit" label=${t("Edit {name}", { name })} act=${() => open(tool)} />
          <${IconButton} icon="close" label=${t("Remove {name}", { name })} act=${() => replaceTool(tool, null)} />
        <//>`;
      })}
    </ul>`}
  </div>`;
}
