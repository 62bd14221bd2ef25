// One message, with what can be done about it.

import { t, moment } from "../core/i18n.js";
import { complain } from "../core/notices.js";
import { assistants } from "../state/assistants.js";
import { countBehind, isBusy, isWaiting, resend, retry } from "../state/conversation.js";
import { chooseRun } from "../state/inspection.js";
import { confirm } from "../ui/dialog.js";
import { CopyButton } from "../ui/copy.js";
import { classes, html, useEffect, useRef, useState } from "../ui/html.js";
import { Icon } from "../ui/icons.js";
import { MessageContent, textOf } from "./content.js";
import { showPanel } from "./panel.js";

/** `message` is a signal; `isLastOwn`: the last message of the user, after which an answer may be asked for anew. */
export function Message({ message, isLastOwn }) {
  const [isEdited, setEdited] = useState(false);
  const shown = message.value;
  const isUser = shown.role === "user";
  const name = isUser ? t("You") : assistants.value.find((each) => each.id === shown.assistant_id)?.name || t("Assistant");
  return html`<article class=${classes("message", shown.role)} aria-label=${t("{name}, {time}", { name, time: moment(shown.created_at) })} data-id=${shown.id}>
    <p class="who"><span>${name}</span> <time datetime=${new Date(shown.created_at * 1000).toISOString()}>${moment(shown.created_at)}</time></p>
    ${isEdited
      ? html`<${Editor} message=${shown} close=${() => setEdited(false)} />`
      : html`<div class="said"><${MessageContent} message=${shown} /></div>`}
    ${shown.status === "incomplete" && html`<p class="hint">${t("This answer was cut off.")}</p>`}
    ${!isEdited && shown.status !== "in_progress" && html`<${Actions} message=${shown} isLastOwn=${isLastOwn} edit=${() => setEdited(true)} />`}
  </article>`;
}

function Actions({ message, isLastOwn, edit }) {
  const isQuiet = !isBusy.value && !isWaiting.value;
  const isUser = message.role === "user";
  const inspect = () => {
    chooseRun(message.run_id);
    showPanel("run");
  };
  const again = async () => {
    const behind = countBehind(message.id);
    const yes = behind <= 1 || (await confirm({ title: t("Ask again?"), text: t("One later message is removed. | {n} later messages are removed.", { n: behind }), action: t("Ask again") }));
    if (yes) await retry(message.id).catch(complain);
  };
  return html`<div class="message-actions" role="group" aria-label=${t("About this message")}>
    <${CopyButton} text=${() => textOf(message)} />
    ${isUser && isQuiet && html`<button type="button" class="quiet square small" aria-label=${t("Edit and send again")} title=${t("Edit and send again")} onClick=${edit}><${Icon} name="edit" size=${16} /></button>`}
    ${isLastOwn && isQuiet && html`<button type="button" class="quiet square small" aria-label=${t("Ask again")} title=${t("Ask again")} onClick=${again}><${Icon} name="retry" size=${16} /></button>`}
    ${message.run_id && html`<button type="button" class="quiet square small" aria-label=${t("What happened in the run")} title=${t("What happened in the run")} onClick=${inspect}><${Icon} name="timeline" size=${16} /></button>`}
  </div>`;
}

/** Text parts are edited; pictures and attachments stay with the message. */
function Editor({ message, close }) {
  const area = useRef(null);
  const [text, setText] = useState(textOf(message));
  const behind = countBehind(message.id);
  useEffect(() => area.current.focus(), []);
  const submit = async (event) => {
    event?.preventDefault();
    const pictures = message.content.filter((part) => part.type !== "text");
    const content = pictures.length ? [...(text.trim() ? [{ type: "text", text: text.trim() }] : []), ...pictures] : text.trim();
    if (!content.length) return;
    close();
    await resend(message.id, { content, attachments: message.attachments ?? [] }).catch(complain);
  };
  const pressed = (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
  };
  return html`<form class="editor" onSubmit=${submit}>
    <textarea ref=${area} aria-label=${t("Edit the message")} rows=${Math.min(12, text.split("\n").length + 1)} value=${text} onInput=${(event) => setText(event.target.value)} onKeyDown=${pressed}></textarea>
    ${behind > 0 && html`<p class="hint">${t("The message behind it is removed. | The {n} messages behind it are removed.", { n: behind })}</p>`}
    <div class="row end">
      <button type="button" onClick=${close}>${t("Cancel")}</button>
      <button type="submit" class="primary">${t("Send again")}</button>
    </div>
  </form>`;
}
