// What is known of the thread's runs beyond the conversation: their steps with all results, their traces, and which of
// them the inspector shows. Each is asked for once and kept until another thread is opened.

import { computed, effect, signal } from "@preact/signals";
import { ask, get, refusal } from "../core/api.js";
import { frames } from "../core/follow.js";
import { isOver, readSteps } from "../core/runs.js";
import { eventCount, events, run, steps, threadId } from "./conversation.js";
import { fromSeconds, fromTrace, note, unknown } from "./timing.js";

const AT_ONCE = 2; // requests that load the steps of older runs
const LATE = 3; // seconds after its beginning, behind which a run's first event is one that is told again
const WELL_ON = ["thread.run.step.completed", "thread.run.requires_action"]; // at the beginning tell the same
const PAUSE = 120; // milliseconds between two drawings of the timeline

const chosenId = signal("");
/** The run that the inspector shows: the one that was chosen, else the thread's latest. */
export const inspectedId = computed(() => chosenId.value || run.value?.id || "");
export const isCurrent = (runId) => run.value?.id === runId;
export const chooseRun = (runId) => (chosenId.value = runId === run.value?.id ? "" : runId);

/** The timeline of the current run by the arrival of its events. It grows in place; `drawnAgain` tells of it. */
let timeline = unknown();
const drawnAgain = signal(0);
/** Whether the current run was joined so late that the arrival of its events tells nothing. */
export const isLate = signal(false);
/** The timeline by arrival as it is now, for what is drawn anew by itself; null if it tells nothing. */
export const timelineNow = () => (isLate.peek() ? null : timeline);

// --- Records -------------------------------------------------------------------------------------------------------

let records = new Map();

/** What is known of a run: signals of `run`, `steps`, `trace` and `events`, null before they are loaded. */
export function recordOf(runId) {
  if (!records.has(runId)) {
    const known = { run: signal(null), steps: signal(null), trace: signal(null), events: signal(null) };
    records.set(runId, { id: runId, thread: threadId.peek(), ...known, isWhole: false, asked: new Map() });
  }
  return records.get(runId);
}

/** The steps of a run as far as they are known: live ones of the current run, loaded ones of others. */
export function stepsOf(runId) {
  const record = recordOf(runId);
  const loaded = record.steps.value ?? [];
  return isCurrent(runId) && !record.isWhole ? steps.value : loaded;
}

export const runOf = (runId) => (isCurrent(runId) ? run.value : recordOf(runId).run.value);

/** One request for one thing at a time; a failed one may be made again. */
function once(record, what, load) {
  if (!record.asked.has(what)) record.asked.set(what, load().finally(() => record.asked.delete(what)));
  return record.asked.get(what);
}

const path = (record) => `/threads/${record.thread}/runs/${record.id}`;

/** Loads a run's steps with the texts that were found. */
export function loadSteps(runId) {
  const record = recordOf(runId);
  if (record.isWhole) return Promise.resolve();
  return once(record, "steps", async () => {
    const found = await inTurn(() => readSteps(record.thread, record.id));
    record.isWhole = run.peek()?.id !== runId || isOver(run.peek());
    record.steps.value = found;
  });
}

export function loadRun(runId) {
  const record = recordOf(runId);
  return once(record, "run", async () => (record.run.value = await get(path(record))));
}

/** Loads when what happened; a server that tells no traces is asked once. */
let hasTraces = true;
export function loadTrace(runId) {
  const record = recordOf(runId);
  if (!hasTraces || record.trace.peek()?.ended_at) return Promise.resolve();
  return once(record, "trace", async () => {
    try {
      record.trace.value = await get(`${path(record)}/trace`);
    } catch (error) {
      if (error.status !== 404) throw error;
      hasTraces = false;
    }
  });
}

/** Reads the events of a run that rests, if the server still keeps them. */
export function loadEvents(runId) {
  const record = recordOf(runId);
  return once(record, "events", async () => {
    const response = await ask("GET", `${path(record)}/events?after=0`);
    if (!response.ok) throw await refusal(response);
    const found = [];
    for await (const frame of frames(response.body)) found.push({ ...frame, number: found.length + 1 });
    record.events.value = found;
  });
}

let going = 0;
const lined = [];

/** Begins some work when fewer than `AT_ONCE` others are under way. */
async function inTurn(work) {
  if (going >= AT_ONCE) await new Promise((resolve) => lined.push(resolve));
  going += 1;
  try {
    return await work();
  } finally {
    going -= 1;
    lined.shift()?.();
  }
}

/** The timeline of a run, from the best source there is. */
export function timelineOf(runId) {
  const trace = recordOf(runId).trace.value;
  const known = runOf(runId);
  const isLive = isCurrent(runId) && !isLate.value && drawnAgain.value > 0;
  if (trace && (!isLive || (trace.status === known.status && known.status !== "in_progress"))) return fromTrace(trace);
  if (isLive) return timeline;
  return known ? fromSeconds(known, stepsOf(runId)) : unknown();
}

// --- What the events of the current run tell ------------------------------------------------------------------------

let counted = 0;
let watched = "";
let timer = 0;

effect(() => {
  const count = eventCount.value;
  const id = run.value?.id ?? "";
  if (id !== watched || count < counted) begin(id);
  if (count === counted) return;
  const came = events.slice(-Math.min(count - counted, events.length));
  if (counted === 0) {
    const waited = timeOf(came[0]) - run.peek().created_at;
    isLate.value = waited > LATE || came.some(({ event }) => WELL_ON.includes(event));
  }
  for (const event of came) note(timeline, event, timeOf(event));
  counted = count;
  timer ||= setTimeout(tellOfIt, PAUSE);
});

function begin(id) {
  counted = 0;
  watched = id;
  timeline = unknown();
  isLate.value = false;
  drawnAgain.value = 0;
}

/** A few times a second is enough for the bars, and leaves the time to what the run says. */
function tellOfIt() {
  timer = 0;
  if (counted) drawnAgain.value += 1;
}

/** When an event arrived, in seconds since the epoch; null for one that was loaded later. */
export const timeOf = (event) => (event.at ? (performance.timeOrigin + event.at) / 1000 : null);

/** A run that has ended keeps its steps when another one follows it. */
effect(() => {
  const [given, known] = [run.value, steps.value];
  if (!given || !known.length || !isOver(given)) return;
  const record = recordOf(given.id);
  record.run.value = given;
  if (!record.isWhole) record.steps.value = known;
});

effect(() => {
  if (threadId.value) chosenId.value = "";
  records = new Map();
});

let latest = "";
effect(() => {
  const id = run.value?.id ?? "";
  if (id !== latest) chosenId.value = ""; // a run that begins is what one wants to see
  latest = id;
});
