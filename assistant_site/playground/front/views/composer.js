// Where a message is written: text, files, send and stop.

import { t, size } from "../core/i18n.js";
import { complain, notice } from "../core/notices.js";
import { anyAssistant, changeAssistant, chosen } from "../state/assistants.js";
import { isBusy, isWaiting, send, stop } from "../state/conversation.js";
import { asMessage, attach, begin, clear, detach, files, isUploading, text, write } from "../state/drafts.js";
import { classes, html, useEffect, useLayoutEffect, useRef } from "../ui/html.js";
import { Icon } from "../ui/icons.js";

const READERS = ["file_search", "code_interpreter"];
const TALLEST = 260; // pixels
const TITLE = 80;

export const focusComposer = () => setTimeout(() => document.getElementById("message")?.focus());

let turningOn = null; // a tool that a message which is sent at once must wait for

/** The tools of the assistant that read files. */
const readers = () => READERS.filter((type) => chosen.value?.tools.some((tool) => tool.type === type));

/** Takes files that were chosen, dropped or pasted. */
export function take(list) {
  attach(list);
  if ([...list].some((file) => !file.type.startsWith("image/"))) offerAReader();
  focusComposer();
}

/** An assistant without a tool that reads files can do nothing with one: says so, and offers file search. */
function offerAReader() {
  const assistant = chosen.value;
  if (!assistant || readers().length) return;
  const act = () => {
    turningOn = changeAssistant(assistant.id, { tools: [...assistant.tools, { type: "file_search" }] }).catch(complain);
  };
  notice(t("This assistant has no tool that reads files."), { kind: "error", action: { label: t("Turn on file search"), act } });
}

async function submit() {
  await turningOn;
  try {
    if (files.value.length) await anyAssistant(); // whose tools say who reads them
  } catch (error) {
    return complain(error);
  }
  if (isBusy.value || isWaiting.value || isUploading.value) return;
  const message = asMessage(readers());
  if (!message.content.length && !message.attachments.length) return;
  if (message.attachments.length && !readers().length) return offerAReader();
  if (!message.content.length) message.content = t("Please look at this.");
  const title = text.value.trim().split("\n")[0].slice(0, TITLE);
  const putBack = clear();
  try {
    await send({ ...message, title });
  } catch (error) {
    putBack();
    complain(error);
  }
}

export function Composer() {
  const area = useRef(null);
  useLayoutEffect(() => {
    const { style } = area.current;
    style.height = "auto";
    style.height = `${Math.min(area.current.scrollHeight, TALLEST)}px`;
  }, [text.value]);
  useEffect(() => focusComposer(), []);

  const pressed = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    submit();
  };
  const pasted = (event) => {
    const pictures = [...event.clipboardData.files];
    if (!pictures.length) return;
    event.preventDefault();
    take(pictures);
  };
  const canSend = !isUploading.value && !isWaiting.value && (text.value.trim() || files.value.some((each) => each.id));
  return html`<form class="composer" onSubmit=${(event) => (event.preventDefault(), submit())}>
    ${files.value.length > 0 &&
    html`<ul class="draft-files" aria-label=${t("Files of this message")}>
      ${files.value.map((each) => html`<${DraftFile} key=${each.key} file=${each} />`)}
    </ul>`}
    <textarea
      id="message"
      ref=${area}
      rows="1"
      aria-label=${t("Message")}
      placeholder=${isWaiting.value ? t("The run waits for your answer above") : t("Write a message …")}
      value=${text.value}
      onInput=${(event) => write(event.target.value)}
      onKeyDown=${pressed}
      onPaste=${pasted}
    ></textarea>
    <div class="composer-bar">
      <label class="quiet square attach" title=${t("Add files")}>
        <${Icon} name="attach" />
        <input type="file" multiple aria-label=${t("Add files")} onChange=${(event) => (take(event.target.files), (event.target.value = ""))} />
      </label>
      <span class="composer-hint">${t("Enter sends, Shift+Enter begins a line")}</span>
      ${isBusy.value || isWaiting.value
        ? html`<button type="button" class="round stop" aria-label=${t("Stop")} title=${t("Stop")} onClick=${stop}><${Icon} name="stop" /></button>`
        : html`<button type="submit" class="round send" aria-label=${t("Send")} title=${t("Send")} disabled=${!canSend}><${Icon} name="send" /></button>`}
    </div>
  </form>`;
}

function DraftFile({ file }) {
  const percent = Math.round(file.progress * 100);
  return html`<li class=${classes("draft-file", { failed: file.error })}>
    ${file.preview ? html`<img src=${file.preview} alt="" width="36" height="36" />` : html`<${Icon} name="file" />`}
    <div>
      <span class="name">${file.name}</span>
      ${file.error
        ? html`<span class="error" role="alert">${file.error} <button type="button" class="link" onClick=${() => begin(file.key)}>${t("Try again")}</button></span>`
        : file.id
          ? html`<span class="hint">${size(file.size)}</span>`
          : html`<progress max="100" value=${percent} aria-label=${t("Upload of {name}", { name: file.name })}>${percent} %</progress>`}
    </div>
    <button type="button" class="quiet square small" aria-label=${t("Remove {name}", { name: file.name })} onClick=${() => detach(file.key)}><${Icon} name="close" size=${16} /></button>
  </li>`;
}
