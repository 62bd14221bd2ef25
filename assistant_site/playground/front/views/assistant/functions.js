// Functions that the caller carries out: the list of them.

import { t } from "../../core/i18n.js";
import { openDialog } from "../../ui/dialog.js";
import { html } from "../../ui/html.js";
import { Icon } from "../../ui/icons.js";
import { FunctionEditor } from "./function-editor.js";
import { IconButton, Item, refusalOfTool, replaceTool, tools } from "./parts.js";

/** Opens the editor on a function of the draft, or on a new one. */
function open(tool = null) {
  const others = tools().filter((each) => each.type === "function" && each !== tool).map((each) => each.function.name);
  const keep = (definition) => replaceTool(tool, { type: "function", function: definition });
  openDialog((close) => html`<${FunctionEditor} given=${tool?.function} others=${others} keep=${keep} close=${close} />`);
}

export function Functions() {
  const functions = tools().filter((tool) => tool.type === "function");
  return html`<div class="tool" role="group" aria-label=${t("Functions")}>
    <div class="tool-head">
      <div><p class="label">${t("Functions")}</p><p class="hint">${t("Your program carries them out; here you answer by hand.")}</p></div>
      <button type="button" class="small" onClick=${() => open()}><${Icon} name="add" size=${16} />${t("Add a function")}</button>
    </div>
    ${functions.length > 0 &&
    html`<ul class="items">
      ${functions.map((tool) => {
        const { name, description } = tool.function;
        return html`<${Item} key=${name} icon="code" title=${name} told=${description} error=${refusalOfTool(tool)} open=${() => open(tool)}>
          <${IconButton} icon="edit" label=${t("Edit {name}", { name })} act=${() => open(tool)} />
          <${IconButton} icon="close" label=${t("Remove {name}", { name })} act=${() => replaceTool(tool, null)} />
        <//>`;
      })}
    </ul>`}
  </div>`;
}
