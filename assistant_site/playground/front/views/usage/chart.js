// Bars for the days: one can be pointed at or walked along with the arrow keys; behind them is a table.

import { number, t } from "../../core/i18n.js";
import { blocks } from "../../state/usage.js";
import { classes, html, useLayoutEffect, useMemo, useRef, useState } from "../../ui/html.js";
import { compact, cost, days, hasCosts, money } from "./figures.js";

const HEIGHT = 200;
const LEFT = 46;
const BOTTOM = 24;
const TOP = 10;
const LABEL_WIDTH = 72;

/** What the bars may show: `{id, label, parts}`; a part is a piece of a bar, from below. */
function measures(sums) {
  const money = Object.keys(sums.costs).filter((currency) => Number(sums.costs[currency]) !== 0);
  return [
    {
      id: "tokens",
      label: t("Tokens"),
      parts: [
        { name: "prompt", label: t("Prompt"), of: (block) => block.prompt_tokens },
        { name: "completion", label: t("Completion"), of: (block) => block.completion_tokens },
      ],
    },
    { id: "requests", label: t("Requests"), parts: [{ name: "completion", of: (block) => block.requests }] },
    ...money.map((currency) => ({
      id: currency,
      label: money.length > 1 ? t("Cost ({currency})", { currency }) : t("Cost"),
      currency,
      parts: [{ name: "completion", of: (block) => Number(block.costs[currency] ?? 0) }],
    })),
  ];
}

export function Chart({ usage }) {
  const all = measures(usage.sums);
  const [chosen, choose] = useState("tokens");
  const measure = all.find((each) => each.id === chosen) ?? all[0];
  const bars = useMemo(() => blocks(usage), [usage]);
  const isByDay = bars.every((bar) => bar.start === bar.end);
  return html`<section class="usage-chart" aria-labelledby="usage-chart-title">
    <div class="usage-head">
      <h2 id="usage-chart-title">${isByDay ? t("Day by day") : t("Over time")}</h2>
      <div class="segments" role="group" aria-label=${t("What the bars show")}>
        ${all.map((each) => html`<button type="button" key=${each.id} class="quiet small" aria-pressed=${each === measure} onClick=${() => choose(each.id)}>${each.label}</button>`)}
      </div>
    </div>
    <${Bars} bars=${bars} measure=${measure} />
    <details>
      <summary>${t("As a table")}</summary>
      <div class="table-scroll" tabindex="0" role="region" aria-label=${t("Day by day")}>
        <table>
          <thead>
            <tr>
              <th scope="col">${t("Day")}</th>
              <th scope="col">${t("Requests")}</th>
              <th scope="col">${t("Prompt")}</th>
              <th scope="col">${t("Completion")}</th>
              ${hasCosts(usage.sums.costs) && html`<th scope="col">${t("Cost")}</th>`}
            </tr>
          </thead>
          <tbody>
            ${[...bars].reverse().map((bar) => html`<tr key=${bar.start}>
              <th scope="row">${days(bar.start, bar.end)}</th>
              <td>${number(bar.requests)}</td>
              <td>${number(bar.prompt_tokens)}</td>
              <td>${number(bar.completion_tokens)}</td>
              ${hasCosts(usage.sums.costs) && html`<td>${cost(bar.costs)}</td>`}
            </tr>`)}
          </tbody>
        </table>
      </div>
    </details>
  </section>`;
}

function useWidth(element) {
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    setWidth(element.current.clientWidth);
    const watch = new ResizeObserver(([entry]) => setWidth(Math.round(entry.contentRect.width)));
    watch.observe(element.current);
    return () => watch.disconnect();
  }, []);
  return width;
}

/** A round number that is not below `value`, so that the axis has four equal steps with round figures. */
function roundUp(value, isWhole) {
  if (value <= 0) return isWhole ? 4 : 1;
  const step = 10 ** Math.floor(Math.log10(value / 4));
  const nice = [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((each) => each * step * 4).find((each) => each >= value * 0.9999);
  return isWhole ? Math.max(4, Math.ceil(nice / 4) * 4) : nice;
}

/** What is said of a bar. */
function figuresOf(bar, measure) {
  const day = days(bar.start, bar.end);
  if (measure.currency) return t("{day}: {cost}", { day, cost: money(bar.costs[measure.currency] ?? "0", measure.currency) });
  if (measure.id === "requests") return t("{day}: one request | {day}: {count} requests", { day, n: bar.requests, count: number(bar.requests) });
  return t("{day}: {prompt} prompt and {completion} completion tokens", { day, prompt: number(bar.prompt_tokens), completion: number(bar.completion_tokens) });
}

function Bars({ bars, measure }) {
  const frame = useRef(null);
  const width = useWidth(frame);
  const [pointed, point] = useState(-1);
  const [walked, walk] = useState(bars.length - 1);
  const here = Math.min(walked, bars.length - 1);
  const total = (bar) => measure.parts.reduce((sum, part) => sum + part.of(bar), 0);
  const most = roundUp(Math.max(...bars.map(total)), !measure.currency);
  const axis = measure.currency ? (value) => money(String(value), measure.currency) : compact;
  const left = measure.currency ? LEFT + 20 : LEFT;
  const slot = Math.max(0, (width - left) / bars.length);
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / most);
  const shown = bars[pointed];

  const keys = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -here, End: bars.length - 1 - here }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(bars.length - 1, here + step));
    walk(next);
    frame.current.querySelectorAll(".bar-slot")[next].focus();
  };

  return html`<figure>
    <figcaption class="usage-figures">${shown ? figuresOf(shown, measure) : html`<${Legend} parts=${measure.parts} />`}</figcaption>
    <div class="usage-frame" ref=${frame} onMouseLeave=${() => point(-1)}>
      ${width > 0 && html`<svg width=${width} height=${HEIGHT} role="group" aria-label=${t("{what} over time", { what: measure.label })} onKeyDown=${keys}>
        ${[0, 1, 2, 3, 4].map((step) => html`<g key=${step} aria-hidden="true">
          <line class="grid" x1=${left} x2=${width} y1=${y((most / 4) * step)} y2=${y((most / 4) * step)} />
          <text x=${left - 8} y=${y((most / 4) * step) + 4} text-anchor="end">${axis((most / 4) * step)}</text>
        </g>`)}
        ${bars.map((bar, index) => html`<${Bar}
          key=${bar.start} bar=${bar} measure=${measure} slot=${slot} x=${left + index * slot} y=${y}
          isPointed=${index === pointed} isTabStop=${index === here}
          point=${() => point(index)} take=${() => (walk(index), point(index))} leave=${() => point(-1)}
        />`)}
        <${Days} bars=${bars} left=${left} slot=${slot} width=${width} />
      </svg>`}
    </div>
  </figure>`;
}

function Legend({ parts }) {
  if (parts.length === 1) return t("Point at a bar, or walk along with the arrow keys.");
  return html`<span class="legend">
    ${parts.map((part) => html`<span key=${part.name}><i class=${`swatch ${part.name}`}></i>${part.label}</span>`)}
  </span>`;
}

function Bar({ bar, measure, slot, x, y, isPointed, isTabStop, point, take, leave }) {
  const gap = Math.min(slot * 0.28, 10);
  const width = Math.min(Math.max(1, slot - gap), 44);
  let below = 0;
  const pieces = measure.parts.map((part) => {
    const value = part.of(bar);
    const from = below;
    below += value;
    const height = value ? Math.max(1, y(from) - y(below)) : 0;
    return html`<rect key=${part.name} class=${part.name} x=${x + (slot - width) / 2} y=${y(from) - height} width=${width} height=${height} rx=${Math.min(2, width / 4)} />`;
  });
  return html`<g class=${classes("bar-slot", { pointed: isPointed })} role="img" aria-label=${figuresOf(bar, measure)} tabindex=${isTabStop ? 0 : -1} onMouseEnter=${point} onFocus=${take} onBlur=${leave}>
    <rect class="ground" x=${x} y=${TOP} width=${slot} height=${HEIGHT - TOP - BOTTOM} />
    ${pieces}
  </g>`;
}

/** As many days below the bars as there is room for. */
function Days({ bars, left, slot, width }) {
  const every = Math.max(1, Math.ceil(LABEL_WIDTH / Math.max(1, slot)));
  return bars
    .map((bar, index) => ({ bar, index, x: left + (index + 0.5) * slot }))
    .filter(({ index }) => (bars.length - 1 - index) % every === 0)
    .map(({ bar, x }) => {
      const anchor = x + LABEL_WIDTH / 2 > width ? "end" : x - LABEL_WIDTH / 2 < 0 ? "start" : "middle";
      const place = anchor === "end" ? Math.min(width, x + slot / 2) : x;
      return html`<text key=${bar.start} x=${place} y=${HEIGHT - 6} text-anchor=${anchor} aria-hidden="true">${days(bar.start, bar.start, { short: true })}</text>`;
    });
}
