// What a message says: its texts, pictures, refusals, attachments and sources, in their order.

import { t } from "../core/i18n.js";
import { marked, passageOf, plainText, sourcesOf } from "../text/marks.js";
import { Markdown } from "../text/markdown.js";
import { html, useMemo } from "../ui/html.js";
import { Attachments } from "./attachments.js";
import { markNode, placeOf, Sources } from "./passage.js";
import { PictureFile, PictureUrl } from "./pictures.js";

/** The parts that are there; of a message that streams in, one may come before another. */
const partsOf = (message) => (message.content ?? []).filter(Boolean);

/** The text of a message in one string, for copying; its sources as [1]. */
export function textOf(message) {
  const parts = partsOf(message);
  const sources = sourcesOf(parts);
  return parts
    .filter((part) => part.type === "text" || part.type === "refusal")
    .map((part) => {
      if (part.type === "refusal") return part.refusal;
      return plainText(part.text.value ?? part.text, part.text.annotations ?? [], sources);
    })
    .join("\n\n");
}

export function MessageContent({ message }) {
  const parts = partsOf(message);
  const sources = sourcesOf(parts);
  return html`<div class="content">
    ${parts.map((part, index) => html`<${Part} key=${index} part=${part} message=${message} sources=${sources} />`)}
    ${message.attachments?.length > 0 && html`<${Attachments} message=${message} />`}
    ${sources.size > 0 && html`<${Sources} sources=${sources} message=${message} />`}
  </div>`;
}

function Part({ part, message, sources }) {
  if (part.type === "text") return html`<${Text} text=${part.text} message=${message} sources=${sources} />`;
  if (part.type === "image_file") return html`<${PictureFile} fileId=${part.image_file.file_id} isByPeople=${message.role === "user"} />`;
  if (part.type === "image_url") return html`<${PictureUrl} url=${part.image_url.url} />`;
  if (part.type === "refusal") return html`<p class="refusal" dir="auto"><strong>${t("The model declined:")}</strong> ${part.refusal}</p>`;
  return html`<p class="hint">${t("This part of the message cannot be shown here.")}</p>`;
}

function Text({ text, message, sources }) {
  const value = text.value ?? text;
  const annotations = text.annotations;
  const { source, marks } = useMemo(() => marked(value, annotations ?? []), [value, annotations]);
  for (const mark of marks) {
    const cited = sources.get(passageOf(mark.annotation));
    mark.number = cited?.number;
    mark.shown = cited ? `${cited.number} ${placeOf(mark.annotation)}` : mark.text;
  }
  const drawMark = (index, inside) => markNode(marks[index], inside, message);
  return html`<${Markdown}
    key=${message.id}
    source=${source}
    marks=${marks}
    drawMark=${drawMark}
    isStreaming=${message.status === "in_progress"}
    isByPeople=${message.role === "user"}
  />`;
}
