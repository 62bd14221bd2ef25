// The open thread: its messages, page by page, and its run, event by event.
//
// Each message is a signal of its own, so that a word that comes in draws one message anew and nothing else.

import { batch, computed, signal } from "@preact/signals";
import { get, post, postOnce, remove } from "../core/api.js";
import { follow } from "../core/follow.js";
import { foldMessage, foldStep } from "../core/fold.js";
import { t } from "../core/i18n.js";
import { complain } from "../core/notices.js";
import { go } from "../core/route.js";
import { isAtWork, isOver, isWaitingRun, readSteps, WITH_PASSAGES } from "../core/runs.js";
import { hear, tell } from "../core/tabs.js";
import { anyAssistant } from "./assistants.js";
import { createThread, loadThreads, note } from "./threads.js";

const PAGE = 40;
const EVENTS_KEPT = 5000;

export const threadId = signal("");
/** Signals of messages, oldest first. */
export const messages = signal([]);
export const hasOlder = signal(false);
export const loading = signal(false);
/** What keeps the thread from being shown, in words. */
export const failure = signal("");
/** The thread's latest run, as its events have it; null if there is none. */
export const run = signal(null);
/** Steps of the run, in their order. */
export const steps = signal([]);
/**
 * Raw events of the run, as they came: `{event, position, data, at, number}`, the newest 5,000. Grows in place;
 * `eventCount`, the number of the last one, tells of it.
 */
export const events = [];
export const eventCount = signal(0);
/** Until when the caller waits for the API to take a message. */
export const sending = signal(false);

export const isBusy = computed(() => sending.value || isAtWork(run.value));
export const isWaiting = computed(() => isWaitingRun(run.value));

let stopFollowing = null;
let waitedFor = ""; // while the events of a run that waits are told from the first on, what it waits for in the end
let oldest = "";
let waiting = [];
let counted = 0;

// --- Opening a thread ---------------------------------------------------------------------------------------------

export function close() {
  stopFollowing?.();
  stopFollowing = null;
  waiting = [];
  batch(() => {
    threadId.value = "";
    messages.value = [];
    hasOlder.value = false;
    loading.value = false;
    failure.value = "";
    forgetRun();
  });
}

function forgetRun() {
  run.value = null;
  steps.value = [];
  events.length = 0;
  counted = 0;
  eventCount.value = 0;
}

/** Shows a thread: its newest messages, and its run if one is under way. */
export async function open(id) {
  if (threadId.value === id) return;
  close();
  threadId.value = id;
  loading.value = true;
  try {
    const [page, runs] = await Promise.all([
      get(`/threads/${id}/messages?limit=${PAGE}`),
      get(`/threads/${id}/runs?limit=1`),
    ]);
    if (threadId.value !== id) return;
    batch(() => {
      take(page);
      loading.value = false;
    });
    if (runs.data[0]) await show(runs.data[0]);
  } catch (error) {
    if (threadId.value === id) {
      failure.value = error.message;
      loading.value = false;
    }
  }
}

function take(page, { before = false } = {}) {
  const found = page.data.map((each) => signal(each)).reverse();
  messages.value = before ? [...found, ...messages.value] : found;
  hasOlder.value = page.has_more;
  oldest = page.last_id;
}

export async function loadOlder() {
  if (!hasOlder.value || loading.value) return;
  const id = threadId.value;
  loading.value = true;
  try {
    const page = await get(`/threads/${id}/messages?limit=${PAGE}&after=${oldest}`);
    if (threadId.value === id) batch(() => take(page, { before: true }));
  } catch (error) {
    complain(error);
  } finally {
    loading.value = false;
  }
}

/** Takes what the API has of the newest messages; those that are shown already keep their places. */
async function refresh() {
  const id = threadId.value;
  const page = await get(`/threads/${id}/messages?limit=${PAGE}`);
  if (threadId.value !== id) return;
  batch(() => {
    const there = new Set(page.data.map((each) => each.id));
    const first = page.data.at(-1)?.id ?? "";
    messages.value = messages.value.filter(({ value }) => there.has(value.id) || value.id < first);
    for (const message of [...page.data].reverse()) put(message);
  });
}

function find(id) {
  return messages.value.find(({ value }) => value.id === id);
}

/** Puts a message where it belongs; one that is there is replaced. */
function put(message) {
  const known = find(message.id);
  if (known) known.value = message;
  else messages.value = [...messages.value, signal(message)].sort((a, b) => (a.value.id < b.value.id ? -1 : 1));
}

// --- Runs ---------------------------------------------------------------------------------------------------------

/** Shows a run of the thread: follows one that is under way, from its first event; reads the steps of one that rests. */
export async function show(given) {
  stopFollowing?.();
  stopFollowing = null;
  waiting = [];
  batch(() => {
    forgetRun();
    run.value = given;
  });
  waitedFor = waitsFor(given);
  if (isOver(given)) await loadSteps(given);
  else join(given, 0);
}

async function loadSteps(given) {
  const found = await readSteps(given.thread_id, given.id);
  if (run.value?.id === given.id) steps.value = found;
}

/** The calls that a run waits for, as one word; empty if for none. */
export const waitsFor = (given) =>
  Object.values(given.required_action ?? {})
    .flatMap((asked) => asked?.tool_calls ?? [])
    .map((call) => call.id)
    .join(" ");

function join(given, after) {
  note(given.thread_id, { active_run_id: given.id });
  stopFollowing?.();
  stopFollowing = follow(given.thread_id, given.id, after, (event) => {
    if (run.value?.id !== given.id) return;
    waiting.push(event);
    if (waiting.length === 1) soon(draw);
  });
}

/** Before the next picture; in a tab that nobody sees, where there are none, in a moment. */
function soon(work) {
  if (document.hidden) setTimeout(work, 100);
  else requestAnimationFrame(work);
}

/** Takes all events that came since the last picture. */
function draw() {
  const came = waiting;
  waiting = [];
  batch(() => {
    came.forEach(takeEvent);
    eventCount.value = counted;
  });
}

function takeEvent(event) {
  const { event: name, data } = event;
  if (name !== "connected") {
    events.push({ ...event, number: ++counted });
    if (events.length > EVENTS_KEPT) events.shift();
  }
  if (name === "thread.message.delta") {
    const known = find(data.id);
    if (known) known.value = foldMessage(known.value, data.delta);
  } else if (name.startsWith("thread.message.")) {
    put(data);
  } else if (name === "thread.run.step.delta") {
    steps.value = steps.value.map((each) => (each.id === data.id ? foldStep(each, data.delta) : each));
  } else if (name.startsWith("thread.run.step.")) {
    const known = steps.value.some((each) => each.id === data.id);
    steps.value = known ? steps.value.map((each) => (each.id === data.id ? data : each)) : [...steps.value, data];
  } else if (name.startsWith("thread.run.")) {
    // What is being answered must not go away because its past is told.
    if (isAtWork(data) && waitedFor) return;
    if (!isWaitingRun(data) || waitsFor(data) === waitedFor) waitedFor = "";
    if (!waitedFor) run.value = data;
  } else if (name === "done") {
    ended();
  } else if (name === "error" || name === "lost") {
    complain(new Error(data.message || t("The run's events cannot be followed any more. Reload the page.")));
  }
}

async function ended() {
  const given = run.value;
  if (!given || isWaitingRun(given)) return; // a stream that ends there is taken up after the answer
  note(given.thread_id, { active_run_id: null });
  tell({ type: "ended", thread: given.thread_id });
  // A stream that was no longer kept told the end only.
  if (!events.some((each) => each.event === "thread.run.created")) {
    await Promise.all([refresh(), loadSteps(given)]).catch(complain);
  }
}

hear(({ type, thread, id }) => {
  if (thread !== threadId.value) return;
  if (type === "run" && run.value?.id !== id) {
    Promise.all([refresh(), get(`/threads/${thread}/runs/${id}`).then(show)]).catch(complain);
  }
  if (type === "answered" && run.value?.id === id && isWaiting.value) {
    get(`/threads/${thread}/runs/${id}`).then(goOn).catch(complain);
  }
  if (type === "changed") refresh().catch(complain);
});

/**
 * Sees whether the thread has gone on while nobody looked: in another tab, or by a program. A run that waits here may
 * have been answered there.
 */
export async function lookAgain() {
  const id = threadId.value;
  if (!id || isBusy.value || loading.value) return;
  const [latest] = (await get(`/threads/${id}/runs?limit=1`)).data;
  if (threadId.value !== id || !latest || (latest.id === run.value?.id && latest.status === run.value?.status)) return;
  await Promise.all([refresh(), show(latest)]);
}

// --- What people do -----------------------------------------------------------------------------------------------

/**
 * Sends a message and starts a run. `content` as the API takes it (a text, or parts), `attachments` likewise; `title` is
 * what the list calls a thread that begins here. Throws `Refused` if the message was not taken; of a run that cannot be
 * started people are told here, for their message stands by then.
 */
export async function send({ content, attachments = [], title = "" }) {
  sending.value = true;
  try {
    const assistant = await anyAssistant();
    await say({ role: "user", content, ...(attachments.length ? { attachments } : {}) }, title);
    await start(assistant.id).catch(complain);
  } finally {
    sending.value = false;
  }
}

async function say(message, title) {
  if (threadId.value) {
    put(await postOnce(`/threads/${threadId.value}/messages`, message));
    return;
  }
  const made = await createThread({ messages: [message] }, title);
  const page = await get(`/threads/${made.id}/messages`);
  batch(() => {
    close();
    threadId.value = made.id;
    take(page);
  });
  go("threads", made.id);
}

async function start(assistantId) {
  const id = threadId.value;
  const begun = await postOnce(`/threads/${id}/runs?${WITH_PASSAGES}`, { assistant_id: assistantId });
  tell({ type: "run", thread: begun.thread_id, id: begun.id });
  if (threadId.value === id) await show(begun);
}

/** Cancels the run. What it has said stays. */
export async function stop() {
  const given = run.value;
  if (!given || !isBusy.value && !isWaiting.value) return;
  try {
    const answered = await post(`/threads/${given.thread_id}/runs/${given.id}/cancel`);
    if (run.value?.id === given.id && isWaiting.value) run.value = answered;
  } catch (error) {
    if (error.status !== 400) complain(error); // 400: it ended meanwhile
  }
}

/** Gives the outputs of the functions that the run waits for: `{tool_call_id: output}`, and the approvals. */
export async function answerCalls(outputs, approvals = []) {
  const given = run.value;
  const body = {
    tool_outputs: Object.entries(outputs).map(([tool_call_id, output]) => ({ tool_call_id, output })),
    ...(approvals.length ? { tool_approvals: approvals } : {}),
  };
  const answered = await postOnce(`/threads/${given.thread_id}/runs/${given.id}/submit_tool_outputs`, body);
  tell({ type: "answered", thread: given.thread_id, id: given.id });
  goOn(answered);
}

/** Follows a run on that was answered, from the last event that is known. */
function goOn(answered) {
  if (run.value?.id !== answered.id || !isWaiting.value) return;
  run.value = answered;
  join(answered, events.findLast((each) => each.position)?.position ?? 0);
}

/** Asks again: removes what came after this user's message, and starts a run. */
export async function retry(messageId) {
  await cutBehind(messageId);
  sending.value = true;
  try {
    await start((await anyAssistant()).id);
  } finally {
    sending.value = false;
  }
}

/** Removes a user's message and all behind it, and sends another in its place. */
export async function resend(messageId, { content, attachments = [] }) {
  await cutBehind(messageId, { itself: true });
  await send({ content, attachments });
  if (messages.value[0]?.value.role === "user" && !hasOlder.value) await loadThreads(); // the title may be another
}

/** How many messages stand behind this one. */
export function countBehind(messageId) {
  return messages.value.length - 1 - messages.value.findIndex(({ value }) => value.id === messageId);
}

/** Removes messages from the newest on, so that whatever fails, no message stands without those before it. */
async function cutBehind(messageId, { itself = false } = {}) {
  const behind = messages.value.filter(({ value }) => value.id > messageId || (itself && value.id === messageId));
  for (const { value } of behind.reverse()) {
    await remove(`/threads/${threadId.value}/messages/${value.id}`);
    messages.value = messages.value.filter((each) => each.value.id !== value.id);
  }
  if (behind.length) tell({ type: "changed", thread: threadId.value });
}
