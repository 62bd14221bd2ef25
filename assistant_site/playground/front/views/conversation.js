// The middle of the page: the messages of the thread, what its run does, and the composer.

import { signal } from "@preact/signals";
import { connection } from "../core/follow.js";
import { t } from "../core/i18n.js";
import { settings } from "../core/settings.js";
import { assistants, choose, chosen } from "../state/assistants.js";
import { failure, hasOlder, isBusy, isWaiting, loading, loadOlder, messages, retry, run, threadId, waitsFor } from "../state/conversation.js";
import { write } from "../state/drafts.js";
import { threads } from "../state/threads.js";
import { dropping } from "../ui/dropping.js";
import { classes, html, useEffect, useLayoutEffect, useRef } from "../ui/html.js";
import { Icon } from "../ui/icons.js";
import { complain } from "../core/notices.js";
import { ActionForm } from "./action-form.js";
import { openCode } from "./code-dialog.js";
import { Composer, focusComposer, take } from "./composer.js";
import { sidebarIsOpen } from "./going.js";
import { Message } from "./message.js";
import { panel, showPanel } from "./panel.js";
import { Trail } from "./trail.js";

const NEAR = 80; // pixels from the end, within which the end is kept in sight

const isDraggedOver = signal(false);

const droppable = dropping({ hover: (isOver) => (isDraggedOver.value = isOver), take });

export function Conversation() {
  return html`<main class=${classes("conversation", { dragged: isDraggedOver.value })} ...${droppable}>
    <${Bar} />
    <${Scroll} />
    <p class="unseen" role="status">${spoken()}</p>
    <div class="conversation-foot">
      <${Connection} />
      <${Composer} />
      ${settings.demo && html`<p class="fine">${t("The built-in demo model answers: it understands nothing and shows that everything works.")}</p>`}
    </div>
    ${isDraggedOver.value && html`<div class="drop-hint"><${Icon} name="upload" size=${32} /><p>${t("Drop the files here")}</p></div>`}
  </main>`;
}

/** What a screen reader is told of the run; its words are read from the messages. */
function spoken() {
  if (isWaiting.value) return t("The run waits for your answer.");
  if (isBusy.value) return t("The assistant answers.");
  return run.value?.status === "completed" ? t("The answer is complete.") : "";
}

function Bar() {
  const thread = threads.value.find((each) => each.id === threadId.value);
  const toggle = (name) => () => showPanel(panel.value === name ? "" : name);
  return html`<header class="bar">
    <button type="button" class="quiet square only-narrow" aria-label=${t("Threads")} onClick=${() => (sidebarIsOpen.value = true)}><${Icon} name="menu" /></button>
    <h1 class="bar-title">${threadId.value ? thread?.title || t("Thread") : t("New thread")}</h1>
    <${AssistantChoice} />
    <button type="button" class="quiet square" aria-label=${t("Show the code for this")} title=${t("Show the code for this")} onClick=${openCode}><${Icon} name="code" /></button>
    <button type="button" class="quiet square" aria-label=${t("Run")} title=${t("What happened in the run")} aria-pressed=${panel.value === "run"} onClick=${toggle("run")}><${Icon} name="timeline" /></button>
    <button type="button" class="quiet square" aria-label=${t("Assistant")} title=${t("Settings of the assistant")} aria-pressed=${panel.value === "assistant"} onClick=${toggle("assistant")}><${Icon} name="panel" /></button>
  </header>`;
}

/** Which assistant answers from now on. */
function AssistantChoice() {
  if (!assistants.value.length) return null;
  return html`<label class="assistant-choice">
    <span class="unseen">${t("Assistant that answers")}</span>
    <select value=${chosen.value?.id} onChange=${(event) => choose(event.target.value)}>
      ${assistants.value.map((each) => html`<option key=${each.id} value=${each.id}>${each.name || t("Unnamed")} · ${each.model}</option>`)}
    </select>
  </label>`;
}

function Scroll() {
  const scroll = useRef(null);
  const content = useRef(null);
  const top = useRef(null);
  const isAtEnd = useRef(true);
  const id = threadId.value;

  // New words keep the end in sight, unless somebody has scrolled away from it.
  useEffect(() => {
    const keep = new ResizeObserver(() => scroll.current && isAtEnd.current && (scroll.current.scrollTop = scroll.current.scrollHeight));
    keep.observe(content.current);
    return () => keep.disconnect();
  }, []);
  useLayoutEffect(() => {
    isAtEnd.current = true;
    scroll.current.scrollTop = scroll.current.scrollHeight;
  }, [id]);
  // One's own message is always shown.
  const lastOwn = messages.value.findLast(({ value }) => value.role === "user")?.value.id;
  useLayoutEffect(() => {
    isAtEnd.current = true;
    scroll.current.scrollTop = scroll.current.scrollHeight;
  }, [lastOwn]);

  useEffect(() => {
    if (!hasOlder.value) return undefined;
    const watch = new IntersectionObserver((seen) => seen.at(-1).isIntersecting && older(), { root: scroll.current, rootMargin: "800px 0px 0px" });
    watch.observe(top.current);
    return () => watch.disconnect();
  }, [hasOlder.value, id, messages.value.length]);
  // What is being read stays where it is when older messages come in above it. Browsers do that by themselves, but not
  // at the very top, and Safari not at all.
  const older = async () => {
    const { scrollHeight, scrollTop } = scroll.current;
    await loadOlder();
    requestAnimationFrame(() => {
      const anchors = CSS.supports("overflow-anchor", "auto") && scrollTop > 0;
      if (scroll.current && !anchors) scroll.current.scrollTop = scrollTop + scroll.current.scrollHeight - scrollHeight;
    });
  };
  const scrolled = ({ target }) => (isAtEnd.current = target.scrollHeight - target.scrollTop - target.clientHeight < NEAR);

  return html`<div class="scroll" ref=${scroll} onScroll=${scrolled} tabindex="0" role="region" aria-label=${t("Messages")}>
    <div class="messages" ref=${content}>
      <div ref=${top} class="top">${hasOlder.value && html`<button type="button" class="quiet small" onClick=${older}>${loading.value ? t("Loading …") : t("Older messages")}</button>`}</div>
      ${failure.value
        ? html`<p class="error-box" role="alert"><${Icon} name="alert" />${failure.value}</p>`
        : !id
          ? html`<${Beginning} />`
          : html`<${Messages} />`}
    </div>
  </div>`;
}

function Messages() {
  const all = messages.value;
  const current = run.value?.id;
  const lastUser = all.findLast(({ value }) => value.role === "user")?.value.id;
  const shown = [];
  let before = null;
  for (const message of all) {
    const { run_id: runId } = message.value;
    if (runId && runId !== before) shown.push(html`<${Trail} key=${`trail${runId}`} runId=${runId} />`);
    before = runId ?? before;
    shown.push(html`<${Message} key=${message.value.id} message=${message} isLastOwn=${message.value.id === lastUser} />`);
  }
  // A run that has not said anything yet has its steps at the end.
  if (current && !all.some(({ value }) => value.run_id === current)) shown.push(html`<${Trail} key=${`trail${current}`} runId=${current} />`);
  return html`
    ${shown}
    ${isWaiting.value && html`<${ActionForm} key=${waitsFor(run.value)} />`}
    <${RunEnd} lastUser=${lastUser} />
  `;
}

/** What a run is doing before its words come, and why it ended if that was not by itself. */
function RunEnd({ lastUser }) {
  const given = run.value;
  if (!given) return null;
  const again = () => retry(lastUser).catch(complain);
  const retryButton = lastUser && html`<button type="button" class="small" onClick=${again}><${Icon} name="retry" size=${16} />${t("Try again")}</button>`;
  const isSpeaking = messages.value.some(({ value }) => value.run_id === given.id && value.status === "in_progress" && value.content.length);
  if (isBusy.value) {
    const word = given.status === "queued" ? t("Waiting for its turn …") : given.status === "cancelling" ? t("Stopping …") : t("Thinking …");
    return isSpeaking ? null : html`<p class="thinking" role="status"><span class="dots" aria-hidden="true"><i></i><i></i><i></i></span>${word}</p>`;
  }
  if (given.status === "failed") {
    return html`<div class="error-box" role="alert">
      <${Icon} name="alert" />
      <div><p>${given.last_error?.message || t("The run failed.")}</p><p class="hint">${adviceFor(given.last_error?.code)}</p></div>
      ${retryButton}
    </div>`;
  }
  const words = {
    cancelled: t("Stopped."),
    expired: t("The run took longer than it may, and was ended."),
    incomplete: given.incomplete_details?.reason === "content_filter" ? t("The provider's content filter ended the answer.") : t("The answer reached its limit of tokens. The limit is in the assistant's settings."),
  }[given.status];
  return words ? html`<div class="run-end"><p>${words}</p>${retryButton}</div>` : null;
}

function adviceFor(code) {
  if (code === "rate_limit_exceeded") return t("The model's provider or your limits refuse more at the moment. Wait a little, or see the usage page.");
  if (code === "invalid_prompt") return t("The provider did not take the request. Check the assistant's model and settings.");
  return t("Try again; if it stays, the operator finds the reason in the admin, under this run.");
}

function Beginning() {
  const examples = settings.demo
    ? [t("Hello, who are you?"), t("Say this back: **bold**, `code`, and a formula, $e^{i\\pi} + 1 = 0$."), "echo:request"]
    : [t("What can you help me with?"), t("Explain a hash table with a small example in Python."), t("Write a haiku about patience.")];
  const begin = (words) => {
    write(words);
    focusComposer();
  };
  return html`<div class="beginning">
    <img src="/static/holdfast/mark.svg" width="48" height="48" alt="" />
    <h2>${chosen.value?.name || t("What shall we talk about?")}</h2>
    <p class="lead">${chosen.value?.description || t("Write a message, drop files here, or paste a picture. Tools and instructions are in the panel.")}</p>
    <div class="examples">${examples.map((words) => html`<button type="button" key=${words} onClick=${() => begin(words)}>${words}</button>`)}</div>
  </div>`;
}

function Connection() {
  if (connection.value !== "lost" || !isBusy.value) return null;
  return html`<p class="connection" role="status"><${Icon} name="alert" size=${16} />${t("The connection is lost. The run goes on; trying to come back …")}</p>`;
}
