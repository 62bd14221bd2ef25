// Bars on a common scale of time: for each turn of the model how long its first word took and how long it spoke, and
// for each call of a tool how long that took.

import { span, t } from "../core/i18n.js";
import { timelineOf } from "../state/inspection.js";
import { html, useEffect, useState } from "../ui/html.js";

const TICK = 250; // milliseconds, in which the bars of a live run grow

export function RunTiming({ id, isLive }) {
  const now = useNow(isLive);
  const timeline = timelineOf(id);
  const rows = rowsOf(timeline, isLive ? now : (timeline.ended ?? now));
  if (!rows.length) return html`<p class="hint">${t("Nothing has happened yet.")}</p>`;
  const zero = timeline.created ?? rows[0].bars[0].from;
  const end = Math.max(zero + 0.001, ...rows.flatMap(({ bars }) => bars.map((bar) => bar.to)));
  const scale = { zero, length: end - zero };
  return html`
    <ul class="timing">
      ${rows.map((row) => html`<${Row} key=${row.key} row=${row} scale=${scale} />`)}
    </ul>
    <div class="timing-scale" aria-hidden="true">
      <span>0</span><span>${span(scale.length / 2)}</span><span>${span(scale.length)}</span>
    </div>
    <ul class="timing-legend" aria-label=${t("Colours")}>
      <li class="wait">${t("Waiting")}</li>
      <li class="speak">${t("Speaking")}</li>
      <li class="tools">${t("Tools")}</li>
    </ul>
    ${timeline.isRough && html`<p class="hint">${t("Of this run only whole seconds are known.")}</p>`}
  `;
}

/** The time in seconds, that goes on while something is under way. */
function useNow(isLive) {
  const [now, setNow] = useState(Date.now() / 1000);
  useEffect(() => {
    if (!isLive) return undefined;
    const timer = setInterval(() => document.hidden || setNow(Date.now() / 1000), TICK);
    return () => clearInterval(timer);
  }, [isLive]);
  return isLive ? Math.max(now, Date.now() / 1000) : now;
}

function rowsOf({ created, started, turns, ended }, now) {
  const rows = [];
  const row = (key, label, bars, isCall = false) => {
    const drawn = bars
      .filter(({ from, to }) => from != null && to != null)
      .map((bar) => ({ ...bar, to: Math.max(bar.from, bar.to) }));
    if (drawn.length) rows.push({ key, label, bars: drawn, isCall });
  };
  row("queue", t("Queue"), [{ kind: "wait", from: created, to: started ?? (turns.length ? null : (ended ?? now)) }]);
  if (!turns.length) row("silence", t("Turn {n}", { n: 1 }), [{ kind: "wait", from: started, to: ended ?? now }]);
  for (const turn of turns) {
    const isOpen = turn.ended == null;
    const spoken = turn.settled ?? turn.ended ?? (isOpen ? now : null);
    row(`turn${turn.number}`, t("Turn {n}", { n: turn.number }), [
      { kind: "wait", from: turn.began, to: turn.spoke ?? turn.ended ?? now },
      { kind: "speak", from: turn.spoke, to: spoken },
    ]);
    for (const call of turn.calls.filter(Boolean)) {
      const isAtWork = call.ended == null && turn.ended == null;
      const from = call.began ?? (isAtWork ? turn.settled : null);
      row(call.id, call.name, [{ kind: "tools", from, to: call.ended ?? turn.ended ?? now }], true);
    }
  }
  return rows;
}

const WORDS = {
  wait: (time) => t("waited {time}", { time }),
  speak: (time) => t("spoke {time}", { time }),
  tools: (time) => t("took {time}", { time }),
};

function Row({ row, scale }) {
  const whole = Math.max(0, row.bars.at(-1).to - row.bars[0].from);
  const told = row.bars.map(({ kind, from, to }) => WORDS[kind](span(to - from))).join(", ");
  const percent = (seconds) => `${Math.min(100, Math.max(0, (seconds / scale.length) * 100))}%`;
  const placeOf = ({ from, to }) => ({ left: percent(from - scale.zero), width: percent(to - from) });
  return html`<li class=${row.isCall ? "of-call" : ""} title=${told}>
    <span class="timing-name">${row.label}</span>
    <span class="timing-time" aria-hidden="true">${span(whole)}</span>
    <span class="unseen">${told}</span>
    <span class="track" aria-hidden="true">
      ${row.bars.map((bar) => html`<i key=${bar.kind} class=${bar.kind} style=${placeOf(bar)}></i>`)}
    </span>
  </li>`;
}
