// One tool call: a line that says what it is and how it stands, and, opened, all that went in and came out.

import { span, t } from "../core/i18n.js";
import { recordOf, timelineNow } from "../state/inspection.js";
import { fromTrace, secondsOf } from "../state/timing.js";
import { html, useState } from "../ui/html.js";
import { Icon } from "../ui/icons.js";
import { CallBody } from "./tool-body.js";
import { kindOf, previewOf, sentenceOf, stateOf, stateWord } from "./tool-words.js";

const TONES = { failed: "bad", waiting: "warn" };

/** `call` stands in `step`, a step of `tool_calls`. */
export function ToolCall({ step, call }) {
  const [isOpen, setOpen] = useState(false);
  if (!call) return null;
  const state = stateOf(step, call);
  const kind = kindOf(step, call);
  return html`<li class="call ${state}">
    <details onToggle=${(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <span class="call-icon"><${Icon} name=${kind.icon} size=${16} /></span>
        <span class="call-words">
          <b>${sentenceOf(kind, state)}</b> <span class="call-preview">${previewOf(kind, call)}</span>
        </span>
        <${State} state=${state} seconds=${secondsFor(step, call, state)} />
        <${Icon} name="chevron" size=${16} />
      </summary>
      ${isOpen && html`<${CallBody} step=${step} call=${call} kind=${kind} state=${state} />`}
    </details>
  </li>`;
}

/** How long a call took, where that is known more exactly than in whole seconds, or was long. */
function secondsFor(step, call, state) {
  if (state === "working" || state === "waiting") return null;
  const { trace } = recordOf(step.run_id);
  if (trace.value) return secondsOf(fromTrace(trace.value), call.id);
  const exact = secondsOf(timelineNow(), call.id);
  if (exact !== null) return exact;
  const whole = (step.completed_at ?? step.failed_at ?? 0) - step.created_at;
  return whole >= 2 ? whole : null;
}

function State({ state, seconds }) {
  const time = seconds !== null && html`<span class="call-time">${span(seconds)}</span>`;
  if (state === "working") return html`<span class="spinner" role="img" aria-label=${stateWord(state)}></span>`;
  if (state === "done") return html`${time}<span class="unseen">${stateWord(state)}</span>`;
  return html`${time}<span class=${`badge ${TONES[state] ?? ""}`}>${stateWord(state)}</span>`;
}
