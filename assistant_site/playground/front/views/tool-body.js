// All that went into a tool call and came out of it. Whatever it is, it is shown as text, and pictures if they are some.

import { contentOf } from "../core/api.js";
import { number, t } from "../core/i18n.js";
import { complain } from "../core/notices.js";
import { asPicture } from "../core/pictures.js";
import { loadSteps, loadTrace, recordOf } from "../state/inspection.js";
import { CopyButton } from "../ui/copy.js";
import { html, useEffect, useState } from "../ui/html.js";
import { parsed } from "./tool-words.js";

const MOST = 4000; // characters shown at first

export function CallBody({ step, call, kind, state }) {
  const drawn =
    kind.kind === "code"
      ? html`<${Code} details=${call.code_interpreter ?? {}} state=${state} />`
      : kind.kind === "files"
        ? html`<${Search} step=${step} call=${call} state=${state} />`
        : html`<${FunctionCall} details=${call.function ?? {}} kind=${kind} state=${state} />`;
  return html`<div class="call-body">${drawn}</div>`;
}

function FunctionCall({ details, kind, state }) {
  const { arguments: given = "", output } = details;
  const nothing = state === "waiting" ? t("Nobody has answered yet.") : t("There is no output yet.");
  return html`
    <${Text} label=${t("Arguments")} text=${readable(given)} />
    ${typeof output === "string"
      ? html`<${Text} label=${kind.kind === "function" ? t("Output") : t("Answer")} text=${readable(output)} />`
      : html`<p class="hint">${nothing}</p>`}
  `;
}

/** JSON with line ends and indents; any other text as it is. */
export function readable(text) {
  const value = text.length < 200_000 ? parsed(text) : undefined;
  return value !== null && typeof value === "object" ? JSON.stringify(value, null, 2) : text;
}

/** A text under its name, cut until one asks for all of it. */
export function Text({ label, text, empty = t("Empty") }) {
  const [isWhole, setWhole] = useState(false);
  const isCut = !isWhole && text.length > MOST * 1.2;
  const copyLabel = t("Copy “{label}”", { label });
  const more = t("Show all {n} characters", { n: number(text.length) });
  return html`<figure class="given">
    <figcaption>
      <span>${label}</span>
      ${text && html`<${CopyButton} text=${() => text} label=${copyLabel} />`}
    </figcaption>
    ${text
      ? html`<pre tabindex="0" role="region" aria-label=${label}>${isCut ? text.slice(0, MOST) : text}</pre>`
      : html`<p class="hint">${empty}</p>`}
    ${isCut && html`<button type="button" class="quiet small" onClick=${() => setWhole(true)}>${more}</button>`}
  </figure>`;
}

// --- Code ----------------------------------------------------------------------------------------------------------

function Code({ details, state }) {
  const outputs = (details.outputs ?? []).filter(Boolean);
  return html`
    <${Text} label=${t("Python")} text=${details.input ?? ""} />
    ${outputs.map((output, index) =>
      output.type === "image"
        ? html`<${Picture} key=${output.image?.file_id ?? index} fileId=${output.image?.file_id} />`
        : html`<${Text} key=${index} label=${t("Printed")} text=${output.logs ?? ""} />`,
    )}
    ${!outputs.length && state !== "working" && html`<p class="hint">${t("It printed nothing.")}</p>`}
  `;
}

/** A picture that code has drawn. What is not one by its first bytes is not shown. */
export function Picture({ fileId }) {
  const [url, setUrl] = useState("");
  const [problem, setProblem] = useState("");
  useEffect(() => {
    if (!fileId) return undefined;
    let made = "";
    let isGone = false;
    contentOf(fileId)
      .then(asPicture)
      .then((blob) => !isGone && setUrl((made = URL.createObjectURL(blob))))
      .catch((error) => setProblem(error.message));
    return () => {
      isGone = true;
      URL.revokeObjectURL(made);
    };
  }, [fileId]);
  if (problem) return html`<p class="error" role="alert">${problem}</p>`;
  return html`<figure class="given picture">
    <figcaption><span>${t("Picture")}</span></figcaption>
    ${url
      ? html`<img src=${url} alt=${t("Picture that the code has drawn")} />`
      : html`<p class="hint">${t("Loading …")}</p>`}
  </figure>`;
}

// --- File search ---------------------------------------------------------------------------------------------------

/** The events of a run tell which files were found; what stands in them is loaded when one looks. */
function Search({ step, call, state }) {
  const record = recordOf(step.run_id);
  const isDone = state !== "working";
  useEffect(() => {
    if (!isDone) return;
    loadTrace(step.run_id).catch(() => {});
    if (!call.file_search?.results?.every((result) => result.content)) loadSteps(step.run_id).catch(complain);
  }, [isDone]);
  const whole = find(record.steps.value, call.id) ?? call;
  const results = whole.file_search?.results ?? [];
  const queries = queriesIn(record.trace.value, call.id);
  return html`
    ${queries && html`<${Text} label=${t("Query")} text=${queries} />`}
    ${results.length > 0 &&
    html`<ol class="found">
      ${results.map((result, index) => html`<${Found} key=${index} result=${result} />`)}
    </ol>`}
    ${isDone && !results.length && html`<p class="hint">${t("Nothing was found.")}</p>`}
  `;
}

const find = (steps, callId) =>
  steps?.flatMap((step) => step.step_details?.tool_calls ?? []).find((call) => call.id === callId);

function queriesIn(trace, callId) {
  const call = trace?.turns.flatMap((turn) => turn.calls ?? []).find((each) => each.id === callId);
  const given = typeof call?.arguments === "string" ? parsed(call.arguments) : call?.arguments;
  return [given?.queries ?? given?.query ?? []].flat().join("\n");
}

function Found({ result }) {
  const passage = (result.content ?? []).map((part) => part.text).join("\n");
  const score = number(result.score ?? 0, { maximumFractionDigits: 2, minimumFractionDigits: 2 });
  return html`<li>
    <p class="found-file">
      <b>${result.file_name ?? result.file_id}</b>
      <span class="hint">${t("Score {score}", { score })}</span>
    </p>
    ${passage && html`<blockquote>${passage}</blockquote>`}
  </li>`;
}
