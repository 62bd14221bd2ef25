// The actions that the assistant may call: the list of them.

import { t } from "../../core/i18n.js";
import { complain } from "../../core/notices.js";
import { actions, loadActions } from "../../state/actions.js";
import { openDialog } from "../../ui/dialog.js";
import { html, useEffect } from "../../ui/html.js";
import { Icon } from "../../ui/icons.js";
import { ActionCredentials } from "./action-credentials.js";
import { ActionDialog } from "./action-dialog.js";
import { IconButton, Item, refusalOfTool, replaceTool, tools } from "./parts.js";

export const toldOf = (action) => `${action.method.toUpperCase()} ${action.url}`;

export function Actions() {
  const used = tools().filter((tool) => tool.type === "action");
  useEffect(() => {
    if (used.length && !actions.value) loadActions().catch(complain);
  }, [used.length]);
  return html`<div class="tool" role="group" aria-label=${t("Actions")}>
    <div class="tool-head">
      <div><p class="label">${t("Actions")}</p><p class="hint">${t("Services that an OpenAPI document describes. The server calls them.")}</p></div>
      <button
        type="button" class="small" onClick=${() => openDialog((close) => html`<${ActionDialog} close=${close} />`)}
      ><${Icon} name="add" size=${16} />${t("Add actions")}</button>
    </div>
    ${used.length > 0 && html`<ul class="items">${used.map((tool) => html`<${UsedAction} key=${tool.id} tool=${tool} />`)}</ul>`}
  </div>`;
}

function UsedAction({ tool }) {
  const action = actions.value?.find((each) => each.id === tool.id);
  const isGone = actions.value && !action;
  const name = action?.name ?? tool.id;
  const credentials = () => openDialog((close) => html`<${ActionCredentials} action=${action} close=${close} />`);
  const error = refusalOfTool(tool) || (isGone ? t("This action was deleted, or belongs to somebody else.") : "");
  return html`<${Item} icon="play" title=${name} told=${action ? toldOf(action) : ""} error=${error}>
    ${action && html`<${IconButton} icon="key" label=${t("Credentials of {name}", { name })} act=${credentials} />`}
    <${IconButton} icon="close" label=${t("Remove {name}", { name })} act=${() => replaceTool(tool, null)} />
  <//>`;
}
