// The files of a vector store: which are being indexed, which can be searched, which failed and what to do.

import { size, t } from "../../core/i18n.js";
import { complain, notice } from "../../core/notices.js";
import { fileOf } from "../../state/files.js";
import { addFile, deleteFile, filesOf, loadFiles, removeFile } from "../../state/stores.js";
import { classes, html, useState } from "../../ui/html.js";
import { Icon } from "../../ui/icons.js";
import { IconButton } from "./parts.js";

const FEW = 12;

const advice = () => ({
  unsupported_file: t("Save it in another format, such as PDF, DOCX or text, and add that."),
  invalid_file: t("See whether it opens on your computer, has text and no password; then add it again."),
  server_error: t("Try again. If it stays, the operator finds more in the log."),
});

export function StoreFiles({ store }) {
  const [isLong, setLong] = useState(false);
  const { files = [], hasMore = false } = filesOf.value[store.id] ?? {};
  const { in_progress: busy, failed, completed } = store.file_counts;
  // What needs somebody stands first.
  const sorted = [...files.filter((each) => each.status === "failed"), ...files.filter((each) => each.status !== "failed")];
  const shown = isLong ? sorted : sorted.slice(0, FEW);
  const hidden = sorted.length - shown.length;
  const more = () => (isLong ? loadFiles(store.id, { next: true }).catch(complain) : setLong(true));
  const words = [
    completed && t("One file can be searched. | {n} files can be searched.", { n: completed }),
    busy && t("One is being indexed. | {n} are being indexed.", { n: busy }),
    failed && t("One failed. | {n} failed.", { n: failed }),
    store.ranking === "keyword" && files.length > 0 && t("Found by words, not by meaning."),
  ].filter(Boolean);
  return html`
    <p class="hint store-counts" role="status">${words.join(" ") || t("No file yet.")}</p>
    ${shown.length > 0 && html`<ul class="items" aria-label=${t("Files of the store")}>${shown.map((each) => html`<${StoreFile} key=${each.id} file=${each} />`)}</ul>`}
    ${(hidden > 0 || hasMore) && html`<button type="button" class="quiet small" onClick=${more}>${hidden > 0 && !hasMore ? t("Show {n} more", { n: hidden }) : t("Show more")}</button>`}
  `;
}

function StoreFile({ file }) {
  const known = fileOf(file.id).value.file;
  const name = known?.filename ?? file.id;
  const again = () => addFile(file.vector_store_id, file.id).catch(complain);
  const takeOut = async () => {
    try {
      await removeFile(file.vector_store_id, file.id);
      notice(t("“{name}” is out of the store.", { name }), { seconds: 8, action: { label: t("Delete the file too"), act: () => deleteFile(file.id).catch(complain) } });
    } catch (error) {
      complain(error);
    }
  };
  const isBusy = file.status === "in_progress";
  const isOver = file.status === "failed" || file.status === "cancelled";
  return html`<li class=${classes("item", { wrong: isOver })}>
    ${isBusy ? html`<span class="spinner" aria-hidden="true"></span>` : html`<${Icon} name=${isOver ? "alert" : "file"} size=${16} />`}
    <div class="item-words">
      <span class="item-title" title=${name}>${name}</span>
      ${isBusy && html`<span class="hint">${t("Being indexed …")}</span>`}
      ${file.status === "completed" && known && html`<span class="hint">${size(known.bytes)}</span>`}
      ${file.status === "cancelled" && html`<span class="error">${t("Its indexing was called off.")}</span>`}
      ${file.last_error && html`<span class="error">${file.last_error.message}</span><span class="hint">${advice()[file.last_error.code] ?? ""}</span>`}
    </div>
    <div class="item-actions">
      ${isOver && html`<${IconButton} icon="retry" label=${t("Index {name} again", { name })} act=${again} />`}
      <${IconButton} icon="close" label=${t("Remove {name}", { name })} act=${takeOut} />
    </div>
  </li>`;
}
