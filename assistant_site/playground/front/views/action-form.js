// The run waits for somebody: functions whose outputs are to be given by hand, calls that are to be approved.

import { span, t } from "../core/i18n.js";
import { answerCalls, isWaiting, lookAgain, run, stop } from "../state/conversation.js";
import { answersNow, forgetAnswers, judge, write } from "../state/answers.js";
import { classes, html, useEffect, useId, useRef, useState } from "../ui/html.js";
import { Icon } from "../ui/icons.js";
import { focusComposer } from "./composer.js";
import { readable, Text } from "./tool-body.js";
import { parsed } from "./tool-words.js";

const TALLEST = 18; // lines of an answer box
const SETTLED = 60; // milliseconds, after which the conversation has scrolled to its end
const SHORT = 60; // seconds left, from which on the time is a warning

export function ActionForm() {
  const form = useRef(null);
  const heading = useId();
  const [problem, setProblem] = useState("");
  const [isSending, setSending] = useState(false);
  const action = run.value?.required_action ?? {};
  const calls = action.submit_tool_outputs?.tool_calls ?? [];
  const asked = action.submit_tool_approval?.tool_calls ?? [];
  useEffect(() => comeTo(form.current), []);

  const submit = async (event) => {
    event?.preventDefault();
    if (isSending) return;
    const { outputs, approvals } = answersNow();
    const open = asked.find((call) => approvals[call.id] === undefined);
    if (open) {
      setProblem(t("Approve or refuse each call."));
      form.current.querySelector(`[name="${CSS.escape(open.id)}"]`)?.focus();
      return;
    }
    setProblem("");
    setSending(true);
    try {
      await answerCalls(
        Object.fromEntries(calls.map(({ id }) => [id, outputs[id] ?? ""])),
        asked.map(({ id }) => ({ tool_call_id: id, approve: approvals[id] })),
      );
      forgetAnswers();
      focusComposer();
    } catch (error) {
      setProblem(error.message);
      setSending(false);
      lookAgain().catch(() => {}); // it may have been answered elsewhere, or ended
    }
  };
  const pressed = (event) => {
    if (event.key === "Enter" && (event.metaKey || event.ctrlKey) && !event.isComposing) submit(event);
  };
  return html`<form class="action-form" ref=${form} aria-labelledby=${heading} onSubmit=${submit} onKeyDown=${pressed}>
    <header>
      <h2 id=${heading}>${titleOf(calls, asked)}</h2>
      <${TimeLeft} />
    </header>
    <${Announcement} text=${titleOf(calls, asked)} />
    ${calls.map((call, index) => html`<${Answer} key=${call.id} call=${call} place=${index + 1} of=${calls.length} />`)}
    ${asked.map((call) => html`<${Approval} key=${call.id} call=${call} told=${() => setProblem("")} />`)}
    ${problem && html`<p class="error" role="alert">${problem}</p>`}
    <footer>
      <span class="hint">${t("Ctrl+Enter (⌘+Enter) submits")}</span>
      <button type="button" onClick=${() => stop().then(focusComposer)}>${t("Stop the run")}</button>
      <button type="submit" class="primary" aria-disabled=${isSending}>
        ${isSending ? t("Submitting …") : t("Submit")}
      </button>
    </footer>
  </form>`;
}

function titleOf(calls, asked) {
  const [n, m] = [calls.length, asked.length];
  if (!m) return t("A function waits for your answer | {n} functions wait for your answers", { n });
  if (!n) return t("A call waits for your approval | {n} calls wait for your approval", { n: m });
  return t("The run waits for your answers and approvals");
}

/** Goes to the first thing to be answered, unless somebody is writing elsewhere. */
function comeTo(form) {
  const { activeElement: here } = document;
  const isField = /^(INPUT|TEXTAREA|SELECT)$/.test(here?.tagName) && (here.id !== "message" || here.value);
  if (isField || document.querySelector("dialog[open]")) return;
  form.querySelector("textarea, input")?.focus();
  setTimeout(() => {
    const isTall = form.offsetHeight > (form.closest(".scroll")?.clientHeight ?? 0);
    if (form.isConnected) form.scrollIntoView({ block: isTall ? "start" : "nearest" });
  }, SETTLED);
}

/** What screen readers hear: a region that is filled after it has come into the page. */
function Announcement({ text }) {
  const [said, setSaid] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setSaid(text), 100);
    return () => clearTimeout(timer);
  }, [text]);
  return html`<p class="unseen" role="status">${said}</p>`;
}

function TimeLeft() {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const end = run.value?.expires_at;
  const left = end ? end - now / 1000 : null;
  const isOver = left !== null && left <= 0;
  useEffect(() => {
    if (!isOver || !isWaiting.value) return undefined;
    const look = () => lookAgain().catch(() => {});
    const timer = setInterval(look, 3000);
    look();
    return () => clearInterval(timer);
  }, [isOver]);
  if (left === null) return null;
  const time = span(Math.max(1, Math.floor(left))).replace(".0", "");
  const words = isOver ? t("The run expires …") : t("{time} left", { time });
  return html`<span class=${classes("badge", { warn: left < SHORT })}>${words}</span>`;
}

// --- Functions -------------------------------------------------------------------------------------------------------

const descriptionOf = (name) =>
  run.value?.tools.find((tool) => tool.type === "function" && tool.function.name === name)?.function.description;

function Answer({ call, place, of }) {
  const id = useId();
  const { name, arguments: given } = call.function;
  const text = answersNow().outputs[call.id] ?? "";
  const value = text.length < 200_000 ? parsed(text) : undefined;
  const tidy = isObject(value) ? JSON.stringify(value, null, 2) : "";
  const lines = Math.min(TALLEST, Math.max(3, text.split("\n").length + 1));
  return html`<section class="waiting-call" aria-labelledby=${`${id}n`}>
    <h3 id=${`${id}n`}>
      <${Icon} name="tool" size=${16} /><code>${name}</code>
      ${of > 1 && html`<span class="hint">${t("{place} of {n}", { place, n: of })}</span>`}
    </h3>
    ${descriptionOf(name) && html`<p class="hint">${descriptionOf(name)}</p>`}
    <${Arguments} text=${given} />
    <div class="field">
      <label for=${id}>${t("Answer of {name}", { name })}</label>
      <textarea
        id=${id}
        class="code"
        rows=${lines}
        spellcheck=${false}
        value=${text}
        placeholder=${t("JSON or text, as the function would return it")}
        aria-describedby=${`${id}h`}
        onInput=${(event) => write(call.id, event.target.value)}
      ></textarea>
      <p class="hint row" id=${`${id}h`}>
        <span>${wordsFor(text, value)}</span>
        ${tidy &&
        tidy !== text &&
        html`<button type="button" class="link" onClick=${() => write(call.id, tidy)}>${t("Format")}</button>`}
      </p>
    </div>
  </section>`;
}

function wordsFor(text, value) {
  if (!text.trim()) return t("Left empty, the model gets an empty answer.");
  return value === undefined ? t("No JSON: the model gets it as text.") : t("JSON");
}

/** Arguments: a table where they are plain values under names, else their text. */
export function Arguments({ text }) {
  const given = parsed(text || "{}");
  if (!isFlat(given)) return html`<${Text} label=${t("Arguments")} text=${readable(text)} />`;
  const entries = Object.entries(given);
  if (!entries.length) return html`<p class="hint">${t("Called without arguments.")}</p>`;
  return html`<table class="arguments">
    <caption class="unseen">${t("Arguments")}</caption>
    <tbody>
      ${entries.map(
        ([name, value]) => html`<tr key=${name}>
          <th scope="row">${name}</th>
          <td>${typeof value === "string" ? value : JSON.stringify(value)}</td>
        </tr>`,
      )}
    </tbody>
  </table>`;
}

const isObject = (value) => value !== null && typeof value === "object";
const isFlat = (value) => isObject(value) && !Array.isArray(value) && !Object.values(value).some(isObject);

// --- Approvals -------------------------------------------------------------------------------------------------------

function Approval({ call, told }) {
  const id = useId();
  const chosen = answersNow().approvals[call.id];
  const choice = (value, words, key) => html`<label class=${classes("decision", { chosen: chosen === value })}>
    <input
      type="radio"
      id=${`${id}${key}`}
      name=${call.id}
      checked=${chosen === value}
      onChange=${() => (judge(call.id, value), told())}
    />${words}
  </label>`;
  return html`<fieldset class="waiting-call">
    <legend>
      <${Icon} name="tool" size=${16} /><code>${call.name}</code>
      <span class="hint">${t("on the server {server}", { server: call.server_label })}</span>
    </legend>
    <${Arguments} text=${call.arguments} />
    <div class="decisions">${choice(true, t("Approve"), "y")}${choice(false, t("Refuse"), "n")}</div>
    ${chosen === false &&
    html`<p class="hint">${t("The call is not made, and the model is told that you refused it.")}</p>`}
  </fieldset>`;
}
