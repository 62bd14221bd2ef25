// When what happened in a run: from its events as they arrive, from its trace, or from the seconds that run and steps
// tell. All three make the same timeline; its times are seconds since the epoch, null where something has not happened.

const FINAL = /^thread\.run\.(completed|failed|cancelled|expired|incomplete)$/;

const turn = (number, began) => ({ number, began, spoke: null, settled: null, ended: null, calls: [] });

/** A timeline of which nothing is known yet. */
export const unknown = () => ({ created: null, started: null, firstWord: null, ended: null, turns: [] });

// --- From events ---------------------------------------------------------------------------------------------------

/** Writes into a timeline what an event tells that arrived at `now`. */
export function note(timeline, { event, data }, now) {
  if (event === "thread.run.created") timeline.created = now;
  else if (event === "thread.run.queued") forgetSilentTurn(timeline);
  else if (event === "thread.run.in_progress") noteStart(timeline, now);
  else if (FINAL.test(event)) noteEnd(timeline, now);
  else if (event === "thread.run.step.created") noteWord(timeline, now);
  else if (/^thread\.message\.(delta|completed)$/.test(event)) openTurn(timeline, now).settled = now;
  else if (event === "thread.run.step.delta") noteCalls(timeline, data.delta.step_details?.tool_calls ?? [], now);
  else if (event === "thread.run.step.completed") noteStep(timeline, data, now);
}

/** The turn that is under way; one begins if there is none. */
function openTurn(timeline, now) {
  const last = timeline.turns.at(-1);
  if (last && last.ended === null) return last;
  timeline.turns.push(turn(timeline.turns.length + 1, now));
  return timeline.turns.at(-1);
}

/** A run that is answered waits in the queue before its next turn begins. */
function forgetSilentTurn(timeline) {
  const last = timeline.turns.at(-1);
  if (last && last.ended === null && last.spoke === null) timeline.turns.pop();
}

function noteStart(timeline, now) {
  timeline.started ??= now;
  openTurn(timeline, now);
}

function noteWord(timeline, now) {
  timeline.firstWord ??= now;
  openTurn(timeline, now).spoke ??= now;
}

function noteCalls(timeline, calls, now) {
  const current = openTurn(timeline, now);
  current.spoke ??= now;
  for (const { index, id, type, ...given } of calls) {
    const call = (current.calls[index] ??= begunCall(id, type, given.function?.name ?? type));
    const { output, outputs, results, ...asked } = given[type] ?? {};
    if (typeof output === "string" || outputs?.length || results?.length) finish(call, current, now);
    else if (call.ended === null && Object.keys(asked).length) current.settled = now;
  }
}

const begunCall = (id, type, name) => ({ id, type, name, began: null, ended: null });

function finish(call, current, now) {
  call.began ??= current.settled ?? current.spoke ?? now;
  call.ended = now;
}

function noteStep(timeline, step, now) {
  const current = openTurn(timeline, now);
  if (step.type !== "tool_calls") {
    current.settled ??= now;
    return;
  }
  step.step_details.tool_calls.forEach((call, index) => {
    const known = (current.calls[index] ??= begunCall(call.id, call.type, nameOf(call)));
    if (known.ended === null) finish(known, current, now);
  });
  current.ended = now;
  openTurn(timeline, now); // the model is asked again
}

function noteEnd(timeline, now) {
  timeline.ended = now;
  const last = timeline.turns.at(-1);
  if (!last || last.ended !== null) return;
  last.ended = now;
  for (const call of last.calls) if (call.ended === null) finish(call, last, now);
}

const nameOf = (call) => call.function?.name ?? call.type;

// --- From the trace ------------------------------------------------------------------------------------------------

export function fromTrace(trace) {
  return {
    created: trace.created_at,
    started: firstStart(trace),
    firstWord: trace.first_word_at,
    ended: trace.ended_at,
    turns: (trace.turns ?? []).map((each) => ({
      number: each.number,
      began: each.began_at,
      spoke: each.spoke_at,
      settled: each.settled_at,
      ended: each.ended_at,
      calls: (each.calls ?? []).map((call) => tracedCall(call, each)),
    })),
  };
}

/** `started_at` is the last beginning: of a run that waited for its caller the first one is not known. */
function firstStart({ created_at, started_at, turns: [first] = [] }) {
  if (!first || started_at === null || started_at <= (first.spoke_at ?? started_at)) return started_at;
  return first.began_at > created_at ? first.began_at : null;
}

/** Of the caller's functions the trace has no times: they take what is left of the turn when the model has spoken. */
function tracedCall({ id, type, name, began_at, ended_at }, { settled_at, ended_at: end }) {
  return { id, type, name: name || type, began: began_at ?? settled_at, ended: ended_at ?? end };
}

// --- From whole seconds --------------------------------------------------------------------------------------------

export const endOf = (run) => run.completed_at ?? run.failed_at ?? run.cancelled_at ?? null;

/** `isRough`: its times are whole seconds. `started_at` is the last beginning, for a run that waited in between. */
export function fromSeconds(run, steps) {
  const firstWord = steps[0]?.created_at ?? null;
  const started = run.started_at === null ? null : Math.min(run.started_at, firstWord ?? Infinity);
  const timeline = { ...unknown(), created: run.created_at, started, firstWord, ended: endOf(run), isRough: true };
  let before = started;
  for (const step of steps) {
    const end = step.completed_at ?? step.failed_at ?? step.cancelled_at ?? step.expired_at ?? null;
    const made = { ...turn(timeline.turns.length + 1, before), spoke: step.created_at, ended: end };
    made.settled = step.type === "tool_calls" ? step.created_at : end;
    for (const call of step.step_details?.tool_calls ?? []) {
      made.calls.push({ id: call.id, type: call.type, name: nameOf(call), began: step.created_at, ended: end });
    }
    timeline.turns.push(made);
    before = end ?? before;
  }
  return timeline;
}

// --- What is read from a timeline ----------------------------------------------------------------------------------

/** The seconds a call took; null while it is under way or unknown. */
export function secondsOf(timeline, callId) {
  for (const { calls } of timeline?.turns ?? []) {
    const call = calls.find((each) => each?.id === callId);
    if (call?.began != null && call.ended != null) return Math.max(0, call.ended - call.began);
  }
  return null;
}
