// The steps of a run as the API lists them, with what each did and used.

import { number, span, t } from "../core/i18n.js";
import { isOver } from "../core/runs.js";
import { runOf, stepsOf } from "../state/inspection.js";
import { CopyButton } from "../ui/copy.js";
import { html } from "../ui/html.js";
import { ToolCall } from "./tool-call.js";

export function RunSteps({ id }) {
  const steps = stepsOf(id);
  const nothing = runOf(id) && isOver(runOf(id)) ? t("It has no steps.") : t("There are no steps yet.");
  if (!steps.length) return html`<p class="hint">${nothing}</p>`;
  return html`<ol class="steps">${steps.map((step) => html`<${Step} key=${step.id} step=${step} />`)}</ol>`;
}

const stepWord = (status) =>
  ({
    in_progress: t("At work"),
    completed: t("Done"),
    failed: t("Failed"),
    cancelled: t("Stopped"),
    expired: t("Expired"),
    incomplete: t("Incomplete"),
  })[status] ?? status;

const TONES = { completed: "good", failed: "bad", expired: "bad" };

function titleOf(step, calls) {
  if (step.type === "tool_calls") return t("Called a tool | Called {n} tools", { n: calls.length || 1 });
  return step.status === "in_progress" ? t("Writes a message") : t("Wrote a message");
}

function Step({ step }) {
  const calls = (step.step_details?.tool_calls ?? []).filter(Boolean);
  const messageId = step.step_details?.message_creation?.message_id;
  const seconds = step.completed_at ? step.completed_at - step.created_at : null;
  const facts = [
    step.usage && t("{n} tokens", { n: number(step.usage.total_tokens) }),
    seconds >= 1 && span(seconds),
  ].filter(Boolean);
  return html`<li>
    <div class="step-head">
      <b>${titleOf(step, calls)}</b>
      ${facts.length > 0 && html`<span class="hint">${facts.join(" · ")}</span>`}
      <span class=${`badge ${TONES[step.status] ?? ""}`}>${stepWord(step.status)}</span>
    </div>
    <p class="step-id">
      <code>${step.id}</code>
      <${CopyButton} text=${() => JSON.stringify(step, null, 2)} label=${t("Copy the step as JSON")} />
    </p>
    ${step.last_error && html`<p class="error">${step.last_error.code}: ${step.last_error.message}</p>`}
    ${messageId &&
    html`<button type="button" class="link" onClick=${() => goTo(messageId)}>${t("Show the message")}</button>`}
    ${calls.length > 0 &&
    html`<ol class="trail">
      ${calls.map((call) => html`<${ToolCall} key=${call.id} step=${step} call=${call} />`)}
    </ol>`}
  </li>`;
}

function goTo(messageId) {
  const message = document.querySelector(`.message[data-id="${CSS.escape(messageId)}"]`);
  if (!message) return;
  message.scrollIntoView({ block: "center", behavior: "smooth" });
  message.animate?.([{ background: "var(--accent-ground)" }, { background: "transparent" }], { duration: 1600 });
}
