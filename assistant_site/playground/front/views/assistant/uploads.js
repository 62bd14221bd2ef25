// Files that are chosen or dropped, and files on their way.

import { size, t } from "../../core/i18n.js";
import { dropUpload, retryUpload } from "../../state/stores.js";
import { dropping } from "../../ui/dropping.js";
import { classes, html, useState } from "../../ui/html.js";
import { Icon } from "../../ui/icons.js";
import { IconButton } from "./parts.js";

/** A place to drop files on, with a button that does the same. `take(files)`. */
export function DropZone({ label, hint, take, disabled }) {
  const [isOver, setOver] = useState(false);
  const chosen = (event) => {
    take([...event.target.files]);
    event.target.value = "";
  };
  return html`<label class=${classes("drop-zone", { over: isOver, disabled })} ...${dropping({ hover: setOver, take, disabled })}>
    <${Icon} name="upload" />
    <span><strong>${label}</strong><span class="hint">${hint}</span></span>
    <input type="file" multiple class="unseen" disabled=${disabled} onChange=${chosen} />
  </label>`;
}

/** Uploads as lines of a list. */
export function UploadItem({ item }) {
  const percent = Math.round(item.progress * 100);
  return html`<li class=${classes("item", { wrong: item.error })}>
    <${Icon} name="upload" size=${16} />
    <div class="item-words">
      <span class="item-title" title=${item.name}>${item.name}</span>
      ${item.error
        ? html`<span class="error" role="alert">${item.error}</span>`
        : html`<progress max="100" value=${percent} aria-label=${t("Upload of {name}", { name: item.name })}>${percent} %</progress>
            <span class="hint">${item.isGoing ? t("{percent} % of {size}", { percent, size: size(item.size) }) : t("Waiting for the others")}</span>`}
    </div>
    <div class="item-actions">
      ${item.error && html`<${IconButton} icon="retry" label=${t("Upload {name} again", { name: item.name })} act=${() => retryUpload(item.key)} />`}
      <${IconButton}
        icon="close"
        label=${item.error ? t("Remove {name}", { name: item.name }) : t("Cancel the upload of {name}", { name: item.name })}
        act=${() => dropUpload(item.key)}
      />
    </div>
  </li>`;
}
