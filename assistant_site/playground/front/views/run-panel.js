// The run inspector: what one run is, how long each part took, what it cost, its steps and its events.

import { moment, number, span, t } from "../core/i18n.js";
import { all } from "../core/api.js";
import { complain } from "../core/notices.js";
import { isAtWork, isOver } from "../core/runs.js";
import { assistants } from "../state/assistants.js";
import { events, messages, run, threadId } from "../state/conversation.js";
import { chooseRun, inspectedId, isCurrent, isLate, loadRun, loadSteps, loadTrace } from "../state/inspection.js";
import { recordOf, runOf, stepsOf, timelineOf } from "../state/inspection.js";
import { CopyButton } from "../ui/copy.js";
import { html, useEffect, useId, useState } from "../ui/html.js";
import { Icon } from "../ui/icons.js";
import { openCode } from "./code-dialog.js";
import { RunEvents } from "./run-events.js";
import { RunSteps } from "./run-steps.js";
import { RunTiming } from "./run-timing.js";

const LATE_PAUSE = 2000; // milliseconds between looks at the trace of a run that was joined late
const LISTED = 100; // runs of a thread that can be chosen

export function RunPanel() {
  const id = inspectedId.value;
  if (!id) {
    return html`<div class="run-empty">
      <${Icon} name="usage" size=${32} />
      <p>${t("Here you see what happens in a run: its steps, how long each takes, its tokens and its events.")}</p>
    </div>`;
  }
  return html`<div class="run"><${RunChoice} /><${Inspected} key=${id} id=${id} /></div>`;
}

function Inspected({ id }) {
  const given = runOf(id);
  const [problem, setProblem] = useState("");
  const isOld = !isCurrent(id);
  const status = given?.status;
  const fail = (error) => setProblem(error.message);
  useEffect(() => {
    if (!isOld) return;
    Promise.all([loadRun(id), loadSteps(id)]).catch(fail);
  }, [id, isOld]);
  useTrace(id, given, fail);
  if (!given && problem) return html`<p class="error-box" role="alert"><${Icon} name="alert" />${problem}</p>`;
  if (!given) return html`<p class="hint">${t("Loading …")}</p>`;
  return html`
    <${Head} given=${given} />
    ${problem && html`<p class="error" role="alert">${problem}</p>`}
    ${given.last_error && html`<${Failure} error=${given.last_error} />`}
    <${Figures} id=${id} given=${given} />
    <${Section} name="timing" title=${t("Timing")}><${RunTiming} id=${id} isLive=${!isOver(given)} /><//>
    <${Section} name="steps" title=${t("Steps")} count=${stepsOf(id).length}><${RunSteps} id=${id} /><//>
    <${Section} name="events" title=${t("Events")}><${RunEvents} id=${id} /><//>
    <${Foot} id=${id} />
  `;
}

function Failure({ error }) {
  return html`<div class="error-box">
    <${Icon} name="alert" />
    <div>
      <p><b>${error.code}</b></p>
      <p>${error.message}</p>
    </div>
  </div>`;
}

/** Reads the trace when the run rests, and again and again while a run is under way whose beginning was missed. */
function useTrace(id, given, fail) {
  const status = given?.status;
  const missed = isCurrent(id) && isLate.value;
  useEffect(() => {
    if (!status) return undefined;
    const look = () => loadTrace(id).catch(fail);
    const rests = !isAtWork(given);
    if (rests || missed) look();
    if (rests || !missed) return undefined;
    const timer = setInterval(look, LATE_PAUSE);
    return () => clearInterval(timer);
  }, [id, status, missed]);
}

// --- Which run -------------------------------------------------------------------------------------------------------

function RunChoice() {
  const [runs, setRuns] = useState([]);
  const id = useId();
  const thread = threadId.value;
  const newest = run.value?.id;
  useEffect(() => {
    let isGone = false;
    const take = (found) => isGone || setRuns(found);
    if (thread) all(`/threads/${thread}/runs?order=desc`, LISTED).then(take).catch(complain);
    return () => (isGone = true);
  }, [thread, newest]);
  const known = runs.some((each) => each.id === newest) || !run.value ? runs : [run.value, ...runs];
  if (known.length < 2) return null;
  const words = (each, index) =>
    [
      index === 0 ? t("Latest run") : t("Run {number}", { number: known.length - index }),
      moment(each.created_at),
      statusWord((each.id === newest ? run.value : each).status),
    ].join(" · ");
  return html`<div class="run-choice">
    <label class="unseen" for=${id}>${t("Run of this thread")}</label>
    <select id=${id} value=${inspectedId.value} onChange=${(event) => chooseRun(event.target.value)}>
      ${known.map((each, index) => html`<option key=${each.id} value=${each.id}>${words(each, index)}</option>`)}
    </select>
  </div>`;
}

export const statusWord = (status) =>
  ({
    queued: t("Queued"),
    in_progress: t("At work"),
    requires_action: t("Waits for you"),
    cancelling: t("Stopping"),
    cancelled: t("Stopped"),
    failed: t("Failed"),
    completed: t("Completed"),
    incomplete: t("Incomplete"),
    expired: t("Expired"),
  })[status] ?? status;

const TONES = { completed: "good", failed: "bad", expired: "bad", incomplete: "warn", requires_action: "warn" };

function Head({ given }) {
  const name = assistants.value.find((each) => each.id === given.assistant_id)?.name;
  const isFiltered = given.incomplete_details?.reason === "content_filter";
  return html`<div class="run-head">
    <div class="row">
      <span class=${`badge ${TONES[given.status] ?? ""}`} role="status">
        ${isAtWork(given) && html`<span class="spinner" aria-hidden="true"></span>`}${statusWord(given.status)}
      </span>
      <code class="run-id" title=${given.id}>${given.id}</code>
      <${CopyButton} text=${() => given.id} label=${t("Copy the run's id")} />
    </div>
    <p class="run-who"><b>${name || t("Assistant")}</b> · <code>${given.model}</code></p>
    ${given.incomplete_details &&
    html`<p class="hint">
      ${isFiltered ? t("Ended by the provider's content filter.") : t("Ended at its limit of tokens.")}
    </p>`}
  </div>`;
}

// --- Figures ---------------------------------------------------------------------------------------------------------

function Figures({ id, given }) {
  const { created, started, firstWord, ended } = timelineOf(id);
  const trace = recordOf(id).trace.value;
  const between = (from, to) => (from != null && to != null ? span(Math.max(0, to - from)) : "–");
  const usage = given.usage ?? trace?.usage ?? stepsUsage(stepsOf(id));
  const cached = usage?.prompt_tokens_details?.cached_tokens;
  const reasoning = usage?.completion_tokens_details?.reasoning_tokens;
  const cachedWords = cached > 0 && t("{n} of them cached", { n: number(cached) });
  const thoughtWords = reasoning > 0 && t("{n} of them thoughts", { n: number(reasoning) });
  const tile = (name, value, title) => html`<div title=${title}><dt>${name}</dt><dd>${value}</dd></div>`;
  const beside = (value, note) => html`${value}${note && html` <span class="hint">${note}</span>`}`;
  return html`
    <dl class="tiles">
      ${tile(t("In the queue"), between(created, started), t("From its creation until a worker took it up"))}
      ${tile(t("First word"), between(created, firstWord), t("From its creation until the model's first word"))}
      ${tile(t("Whole run"), between(created, ended), t("From its creation to its end"))}
    </dl>
    <dl class="figures">
      ${usage && tile(t("Prompt tokens"), beside(number(usage.prompt_tokens), cachedWords))}
      ${usage && tile(t("Completion tokens"), beside(number(usage.completion_tokens), thoughtWords))}
      ${usage && tile(t("Tokens together"), number(usage.total_tokens))}
      ${trace?.costs?.length > 0 && tile(t("Cost"), trace.costs.map(cost).join(" + "))}
      ${trace?.attempts > 1 && tile(t("Attempts"), number(trace.attempts), t("How often workers took the run up"))}
    </dl>
  `;
}

function cost({ amount, currency }) {
  try {
    return number(Number(amount), { style: "currency", currency, maximumSignificantDigits: 3 });
  } catch {
    return `${amount} ${currency}`; // not a currency that browsers know
  }
}

/** What the steps so far have used, while the run does not tell. */
function stepsUsage(steps) {
  const told = steps.map((step) => step.usage).filter(Boolean);
  if (!told.length) return null;
  const sum = (name) => told.reduce((total, usage) => total + (usage[name] ?? 0), 0);
  return Object.fromEntries(["prompt_tokens", "completion_tokens", "total_tokens"].map((name) => [name, sum(name)]));
}

// --- Sections and foot ----------------------------------------------------------------------------------------------

const KEY = "holdfast.inspector";
const closed = new Set((localStorage.getItem(KEY) ?? "").split(",").filter(Boolean));

/** A part of the inspector that can be closed, and stays so. */
function Section({ name, title, count, children }) {
  const [isOpen, setOpen] = useState(!closed.has(name));
  const toggled = (event) => {
    if (event.target !== event.currentTarget) return;
    const { open } = event.currentTarget;
    setOpen(open);
    closed[open ? "delete" : "add"](name);
    localStorage.setItem(KEY, [...closed].join(","));
  };
  return html`<details class="run-section" open=${isOpen} onToggle=${toggled}>
    <summary>
      <${Icon} name="chevron" size=${16} />
      <h2>${title}</h2>
      ${count > 0 && html`<span class="hint">${count}</span>`}
    </summary>
    ${isOpen && children}
  </details>`;
}

function Foot({ id }) {
  const save = async () => {
    try {
      await Promise.all([loadSteps(id), loadTrace(id)]);
      const record = recordOf(id);
      const told = isCurrent(id) && events.length ? events : (record.events.value ?? []);
      const known = {
        run: runOf(id),
        steps: record.steps.value ?? stepsOf(id),
        trace: record.trace.value,
        messages: messages.value.map(({ value }) => value).filter((message) => message.run_id === id),
        events: told.map(({ event, position, data }) => ({ event, position, data })),
      };
      saveJson(known, `${id}.json`);
    } catch (error) {
      complain(error);
    }
  };
  return html`<div class="run-foot">
    <button type="button" onClick=${save}><${Icon} name="download" size=${16} />${t("Download as JSON")}</button>
    <button type="button" onClick=${openCode}><${Icon} name="code" size=${16} />${t("Show the code for this")}</button>
  </div>`;
}

function saveJson(value, name) {
  const url = URL.createObjectURL(new Blob([JSON.stringify(value, null, 2)], { type: "application/json" }));
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
