// Sources of an answer: the small numbers in its text, the list below it, and the passage that a number stands for.

import { download } from "../core/api.js";
import { t } from "../core/i18n.js";
import { complain } from "../core/notices.js";
import { readSteps } from "../core/runs.js";
import { run, steps } from "../state/conversation.js";
import { fileOf } from "../state/files.js";
import { hostOf, outwards } from "../text/decorate.js";
import { nameInMarker } from "../text/marks.js";
import { Dialog, openDialog } from "../ui/dialog.js";
import { html, useEffect, useState } from "../ui/html.js";
import { Icon } from "../ui/icons.js";

/** Where in its file a passage begins, in words; "" where files of this type have no places. */
export function placeOf({ file_citation: cited }) {
  if (cited?.page) return t("page {page}", { page: cited.page });
  return cited?.line ? t("line {line}", { line: cited.line }) : "";
}

function nameOf(annotation) {
  if (annotation.type === "url_citation") {
    return annotation.url_citation.title || hostOf(annotation.url_citation.url) || t("Web page");
  }
  return fileOf(annotation.file_citation.file_id).value.file?.filename || nameInMarker(annotation.text) || t("File");
}

// --- In the text --------------------------------------------------------------------------------------------------

/** The node for a mark in the text; `inside` are the nodes of the link that it was the address of. */
export function markNode(mark, inside, message) {
  const { annotation } = mark;
  if (annotation.type === "file_path") return fileLink(mark, inside);
  if (!mark.number) return document.createTextNode(mark.text);
  const small = Object.assign(document.createElement("sup"), { className: "cite" });
  small.append(annotation.type === "url_citation" ? pageLink(mark) : passageButton(mark, message));
  if (!inside.length) return small;
  const all = document.createElement("span");
  all.append(...inside, small);
  return all;
}

function passageButton({ annotation, number }, message) {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: number });
  const words = [nameInMarker(annotation.text), placeOf(annotation)].filter(Boolean).join(", ");
  button.title = words;
  button.setAttribute("aria-label", t("Source {number}: {words}", { number, words }));
  button.onclick = () => openPassage(annotation, message);
  return button;
}

function pageLink({ annotation, number }) {
  const { url, title } = annotation.url_citation;
  const host = hostOf(url);
  const link = Object.assign(document.createElement("a"), { textContent: number });
  link.setAttribute("aria-label", t("Source {number}: {words}", { number, words: [title, host].filter(Boolean).join(", ") }));
  if (!host) return link;
  link.href = url;
  return outwards(link);
}

/** What code has written: a link that saves it. */
function fileLink({ text, annotation }, inside) {
  const name = fileNameIn(text);
  const button = Object.assign(document.createElement("button"), { type: "button", className: "link file-link" });
  button.title = t("Download {name}", { name });
  const words = inside.map((node) => node.textContent).join("").trim() || name;
  button.append(Object.assign(document.createElement("bdi"), { textContent: words }));
  button.onclick = () => download(annotation.file_path.file_id, name).catch(complain);
  return button;
}

function fileNameIn(text) {
  const last = text.split("/").at(-1);
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
}

// --- Below the text -----------------------------------------------------------------------------------------------

export function Sources({ sources, message }) {
  return html`<ol class="sources" aria-label=${t("Sources")}>
    ${[...sources.values()].map(({ number, annotation }) => html`<li key=${number}><${Source} ...${{ number, annotation, message }} /></li>`)}
  </ol>`;
}

function Source({ number, annotation, message }) {
  const name = nameOf(annotation);
  const host = annotation.type === "url_citation" ? hostOf(annotation.url_citation.url) : "";
  const place = annotation.type === "url_citation" ? host : placeOf(annotation);
  const words = html`
    <span class="number">${number}</span><bdi class="name">${name}</bdi>${place && place !== name && html`<span class=${host ? "place host" : "place"}>${place}</span>`}
  `;
  if (host) return html`<a class="source" href=${annotation.url_citation.url} target="_blank" rel="noopener noreferrer nofollow" title=${annotation.url_citation.url}>${words}</a>`;
  if (annotation.type === "url_citation") return html`<span class="source">${words}</span>`;
  return html`<button type="button" class="source" title=${name} onClick=${() => openPassage(annotation, message)}>${words}</button>`;
}

// --- The passage --------------------------------------------------------------------------------------------------

const openPassage = (annotation, message) =>
  openDialog((close) => html`<${Passage} annotation=${annotation} message=${message} close=${close} />`);

function Passage({ annotation, message, close }) {
  const { file_id: fileId, quote } = annotation.file_citation;
  const [found, setFound] = useState(quote ? [quote] : null);
  const [error, setError] = useState("");
  useEffect(() => {
    if (!quote) passagesOf(annotation, message).then(setFound, (failure) => setError(failure.message));
  }, []);
  const known = fileOf(fileId).value;
  const name = nameOf(annotation);
  const save = () => download(fileId, name).catch(complain);
  const footer = known.error?.status === 404
    ? html`<p class="hint">${t("The file has been deleted.")}</p>`
    : html`<button type="button" onClick=${save}><${Icon} name="download" />${t("Download the file")}</button>`;
  return html`<${Dialog} title=${name} close=${close} footer=${footer}>
    <p class="hint passage-place">${placeOf(annotation) ? t("The passage begins at {place}.", { place: placeOf(annotation) }) : t("The passage that the answer cites:")}</p>
    ${error && html`<p class="error" role="alert">${error}</p>`}
    ${!error && !found && html`<p class="hint" role="status">${t("Loading …")}</p>`}
    ${found?.map((text, index) => html`<blockquote key=${index} class="passage" dir="auto" tabindex="0">${text}</blockquote>`)}
    ${found?.length === 0 && html`<p>${t("The passage is not kept any more. The file itself can be downloaded.")}</p>`}
  <//>`;
}

/** The texts that the run's searches found in the file, where the annotation itself has none. */
async function passagesOf(annotation, message) {
  let known = run.value?.id === message.run_id ? textsIn(steps.value, annotation) : [];
  if (!known.length && message.run_id) {
    known = textsIn(await readSteps(message.thread_id, message.run_id), annotation);
  }
  return known;
}

function textsIn(given, annotation) {
  return given
    .flatMap((step) => step.step_details?.tool_calls ?? [])
    .flatMap((call) => call.file_search?.results ?? [])
    .filter((result) => result.file_id === annotation.file_citation.file_id)
    .map((result) => (result.content ?? []).map((part) => part.text).join("\n"))
    .filter(Boolean);
}
