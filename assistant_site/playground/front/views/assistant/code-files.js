// The files that the assistant's code finds in its folder.

import { size, t } from "../../core/i18n.js";
import { complain, notice } from "../../core/notices.js";
import { fileOf } from "../../state/files.js";
import { changeCodeFiles, deleteFile, uploads, uploadToCode } from "../../state/stores.js";
import { html } from "../../ui/html.js";
import { IconButton, Item } from "./parts.js";
import { DropZone, UploadItem } from "./uploads.js";

const MOST = 20;

export function CodeFiles({ assistant }) {
  const ids = assistant.tool_resources.code_interpreter?.file_ids ?? [];
  const going = uploads.value.filter((each) => each.assistantId === assistant.id && !each.storeId);
  const room = MOST - ids.length - going.length;
  const take = (list) => {
    uploadToCode(assistant, list.slice(0, Math.max(0, room)));
    if (list.length > room) notice(t("An assistant's code can have {n} files; the others were not uploaded.", { n: MOST }), { kind: "error" });
  };
  return html`<div class="files-of-tool">
    ${ids.length + going.length > 0 &&
    html`<ul class="items" aria-label=${t("Files for the code")}>
      ${ids.map((id) => html`<${CodeFile} key=${id} id=${id} assistant=${assistant} />`)}
      ${going.map((item) => html`<${UploadItem} key=${item.key} item=${item} />`)}
    </ul>`}
    ${room > 0
      ? html`<${DropZone}
        label=${t("Add files for the code")}
        hint=${t("Choose or drop. They are in /mnt/data, in every thread, from now on.")} take=${take}
      />`
      : html`<p class="hint">${t("There can be {n} files at most.", { n: MOST })}</p>`}
  </div>`;
}

function CodeFile({ id, assistant }) {
  const { file: known, error } = fileOf(id).value;
  const name = known?.filename ?? id;
  const takeAway = async () => {
    try {
      await changeCodeFiles(assistant.id, (ids) => ids.filter((each) => each !== id));
      if (known) notice(t("“{name}” is taken away from the assistant.", { name }), { seconds: 8, action: { label: t("Delete the file too"), act: () => deleteFile(id).catch(complain) } });
    } catch (error) {
      complain(error);
    }
  };
  return html`<${Item} icon="file" title=${name} told=${known ? size(known.bytes) : ""} error=${error?.status === 404 ? t("This file was deleted.") : ""}>
    <${IconButton} icon="close" label=${t("Remove {name}", { name })} act=${takeAway} />
  <//>`;
}
