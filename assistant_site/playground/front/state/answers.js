// Answers to waiting calls while they are being written. They survive a reload of the page.

import { signal } from "@preact/signals";
import { run } from "./conversation.js";

const KEY = "holdfast.answers";

const noneOf = (runId) => ({ run: runId, outputs: {}, approvals: {} });

/** `{run, outputs: {call id: text}, approvals: {call id: true or false}}` */
export const answers = signal(kept());

function kept() {
  try {
    return { ...noneOf(""), ...JSON.parse(sessionStorage.getItem(KEY)) };
  } catch {
    return noneOf("");
  }
}

/** What was written for the run that waits now; nothing if that is another one. */
export const answersNow = () => (answers.value.run === run.value?.id ? answers.value : noneOf(run.value?.id ?? ""));

function keep(given) {
  answers.value = given;
  try {
    sessionStorage.setItem(KEY, JSON.stringify(given));
  } catch {
    // too long to be kept; it stays on the page
  }
}

export function write(callId, text) {
  const now = answersNow();
  keep({ ...now, outputs: { ...now.outputs, [callId]: text } });
}

export function judge(callId, approve) {
  const now = answersNow();
  keep({ ...now, approvals: { ...now.approvals, [callId]: approve } });
}

export function forgetAnswers() {
  keep(noneOf(""));
}
