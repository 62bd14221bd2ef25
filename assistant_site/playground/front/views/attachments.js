// Files that were sent with a message: what may read them, and how far file search is with them.

import { download } from "../core/api.js";
import { size, t } from "../core/i18n.js";
import { complain } from "../core/notices.js";
import { fileOf } from "../state/files.js";
import { indexing, watchIndexing } from "../state/indexing.js";
import { html, useEffect } from "../ui/html.js";
import { Icon } from "../ui/icons.js";

const isSearched = (attachment) => !attachment.tools?.length || attachment.tools.some((tool) => tool.type === "file_search");

export function Attachments({ message }) {
  const searches = message.attachments.some(isSearched);
  useEffect(() => (searches ? watchIndexing(message.thread_id) : undefined), [message.thread_id, searches]);
  return html`<ul class="attachments" aria-label=${t("Attached files")}>
    ${message.attachments.map((each, index) => html`<${Attachment} key=${`${each.file_id}${index}`} attachment=${each} />`)}
  </ul>`;
}

function Attachment({ attachment }) {
  const { file_id: id } = attachment;
  const { file, error } = fileOf(id).value;
  const name = file?.filename ?? id;
  const isGone = error?.status === 404;
  return html`<li class="attachment">
    <${Icon} name="file" />
    <div class="attachment-words">
      <bdi class="name" title=${name}>${isGone ? t("A file that has been deleted") : name}</bdi>
      <span class="hint">${[file && size(file.bytes), ...readersOf(attachment)].filter(Boolean).join(" · ")}</span>
      ${isSearched(attachment) && !isGone && html`<${State} id=${id} />`}
    </div>
    ${!isGone && html`<button type="button" class="quiet square small" aria-label=${t("Download {name}", { name })} title=${t("Download")} onClick=${() => download(id, name).catch(complain)}><${Icon} name="download" size=${16} /></button>`}
  </li>`;
}

function readersOf({ tools = [] }) {
  const names = { file_search: t("File search"), code_interpreter: t("Code interpreter") };
  return (tools ?? []).map((tool) => names[tool.type] ?? tool.type);
}

/** How far file search is with the file. The element is there from the beginning, so that changes are read out. */
function State({ id }) {
  const known = indexing.value[id];
  return html`<span class="attachment-state" role="status">${known && html`<${StateWords} known=${known} />`}</span>`;
}

function StateWords({ known }) {
  if (known.status === "in_progress") return html`<span class="going"><i class="spinner" aria-hidden="true"></i>${t("Being indexed …")}</span>`;
  if (known.status === "completed") return html`<span class="good"><${Icon} name="check" size=${14} />${t("Ready to be searched")}</span>`;
  if (known.status === "cancelled") return html`<span>${t("Indexing was cancelled.")}</span>`;
  const { code, message } = known.last_error ?? {};
  return html`<span class="bad"><${Icon} name="alert" size=${14} /><span>${t("Could not be read.")} ${message} ${adviceFor(code)}</span></span>`;
}

function adviceFor(code) {
  if (code === "unsupported_file") return t("Save it as PDF, DOCX or text, and attach that.");
  if (code === "invalid_file") return t("See whether it opens without a password, and attach it again.");
  return t("Attach it again; if that does not help, ask the operator.");
}
