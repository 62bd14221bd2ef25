// What the tools of a run did, above the words that came of it: a card for each call.

import { complain } from "../core/notices.js";
import { t } from "../core/i18n.js";
import { isCurrent, loadSteps, recordOf, stepsOf } from "../state/inspection.js";
import { html, useEffect, useRef } from "../ui/html.js";
import { ToolCall } from "./tool-call.js";

const NEAR = "600px 0px"; // so far from sight an older run's steps are loaded

export function Trail({ runId }) {
  const calls = stepsOf(runId).flatMap((step) => (step.step_details?.tool_calls ?? []).map((call) => ({ step, call })));
  if (!calls.length) return isCurrent(runId) ? null : html`<${Unloaded} runId=${runId} />`;
  return html`<ol class="trail" aria-label=${t("Tools")}>
    ${calls.map(({ step, call }, index) => html`<${ToolCall} key=${call?.id ?? index} step=${step} call=${call} />`)}
  </ol>`;
}

/** The place of an older run's tools, of which nothing is known yet: loads them when it comes near. */
function Unloaded({ runId }) {
  const place = useRef(null);
  const isKnown = recordOf(runId).steps.value !== null;
  useEffect(() => {
    if (isKnown) return undefined;
    const watch = new IntersectionObserver(
      ([entry]) => {
        if (!entry.isIntersecting) return;
        watch.disconnect();
        loadSteps(runId).catch(complain);
      },
      { root: place.current.closest(".scroll"), rootMargin: NEAR },
    );
    watch.observe(place.current);
    return () => watch.disconnect();
  }, [isKnown, runId]);
  return isKnown ? null : html`<div ref=${place} class="trail-unloaded"></div>`;
}
