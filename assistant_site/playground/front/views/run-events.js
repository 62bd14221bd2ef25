// The raw events of a run as they arrive: the newest few hundred are drawn, a few times a second at most, so that
// thousands of them do not slow down what the run says.

import { effect } from "@preact/signals";
import { size, span, t } from "../core/i18n.js";
import { complain, notice } from "../core/notices.js";
import { isOver } from "../core/runs.js";
import { eventCount, events } from "../state/conversation.js";
import { isCurrent, loadEvents, recordOf, runOf, timelineNow, timeOf } from "../state/inspection.js";
import { copy } from "../ui/copy.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../ui/html.js";
import { Icon } from "../ui/icons.js";

const DRAWN = 200; // rows, and as many more for each wish
const PAUSE = 300; // milliseconds between two drawings
const NEAR = 30; // pixels from the end of the list, within which it follows the newest

/** JSON of events, made when it is first needed. */
const texts = new WeakMap();
function textOf(event) {
  if (!texts.has(event)) texts.set(event, JSON.stringify(event.data));
  return texts.get(event);
}

export function RunEvents({ id }) {
  const [filter, setFilter] = useState("");
  const [paused, setPaused] = useState(null); // the events that stood there when it was paused
  const [most, setMost] = useState(DRAWN);
  const isLive = isCurrent(id);
  const count = useCount(isLive);
  const loaded = recordOf(id).events.value;
  const there = paused ?? (isLive && events.length ? events : (loaded ?? []));
  const wanted = filter.trim().toLowerCase();
  const chosen = wanted ? there.filter((each) => each.event.toLowerCase().includes(wanted)) : there;
  const given = runOf(id);
  if (!there.length) return html`<${NoEvents} id=${id} isOver=${given && isOver(given)} />`;
  const pause = () => setPaused(paused ? null : [...there]);
  const copyAll = async () => {
    const lines = chosen.map(({ event, position, data }) => JSON.stringify({ event, position, data })).join("\n");
    if (await copy(lines)) notice(t("One event is copied. | {n} events are copied.", { n: chosen.length }));
  };
  return html`<div class="events" data-count=${count}>
    <div class="events-bar">
      <input
        type="search"
        aria-label=${t("Filter the events by name")}
        placeholder=${t("Filter by name")}
        value=${filter}
        onInput=${(event) => setFilter(event.target.value)}
      />
      ${isLive &&
      (paused || !isOver(given)) &&
      html`<button type="button" class="small" onClick=${pause}>${paused ? t("Go on") : t("Pause")}</button>`}
      <button
        type="button"
        class="quiet square small"
        aria-label=${t("Copy all as JSON lines")}
        title=${t("Copy all as JSON lines")}
        onClick=${copyAll}
      >
        <${Icon} name="copy" size=${16} />
      </button>
    </div>
    <${Rows} chosen=${chosen} most=${most} more=${() => setMost(most + DRAWN)} />
    <p class="hint">${t("One event | {n} events", { n: chosen.length })}${paused && ` · ${t("paused")}`}</p>
  </div>`;
}

/** Events of a run that ended before the page was opened are read on demand. */
function NoEvents({ id, isOver }) {
  if (!isOver) return html`<p class="hint">${t("No event has come yet.")}</p>`;
  const load = async () => {
    try {
      await loadEvents(id);
      const found = recordOf(id).events.peek();
      if (found.length < 2) notice(t("The server keeps the events of this run no longer.")); // it told the end only
    } catch (error) {
      complain(error);
    }
  };
  return html`<button type="button" class="small" onClick=${load}>${t("Load the events")}</button>
    <p class="hint">${t("They are kept for a while after a run has ended.")}</p>`;
}

/** The number of the last event, told a few times a second at most. */
function useCount(isLive) {
  const [count, setCount] = useState(eventCount.peek());
  useEffect(() => {
    if (!isLive) return undefined;
    let timer = 0;
    const end = effect(() => {
      eventCount.value;
      timer ||= setTimeout(() => {
        timer = 0;
        setCount(eventCount.peek());
      }, PAUSE);
    });
    return () => (end(), clearTimeout(timer));
  }, [isLive]);
  return count;
}

function Rows({ chosen, most, more }) {
  const list = useRef(null);
  const isAtEnd = useRef(true);
  const drawn = useRef(new WeakMap());
  const [opened, setOpened] = useState(new Set());
  const shown = chosen.slice(-most);
  useLayoutEffect(() => {
    if (isAtEnd.current) list.current.scrollTop = list.current.scrollHeight;
  });
  const toggle = (event) => {
    isAtEnd.current = false;
    drawn.current.delete(event);
    setOpened((before) => {
      const after = new Set(before);
      if (!after.delete(event)) after.add(event);
      return after;
    });
  };
  // A row that has not changed is the same object, which the drawing passes over.
  const row = (event) => {
    if (!drawn.current.has(event)) {
      const isOpen = opened.has(event);
      drawn.current.set(event, html`<${Row} key=${event.number} event=${event} isOpen=${isOpen} toggle=${toggle} />`);
    }
    return drawn.current.get(event);
  };
  const scrolled = ({ target: { scrollHeight, scrollTop, clientHeight } }) =>
    (isAtEnd.current = scrollHeight - scrollTop - clientHeight < NEAR);
  const older = html`<button type="button" class="quiet small" onClick=${more}>${t("Older events")}</button>`;
  return html`<div
    class="event-list"
    ref=${list}
    onScroll=${scrolled}
    tabindex="0"
    role="region"
    aria-label=${t("Events")}
  >
    ${chosen.length > most && older}
    <ol>
      ${shown.map(row)}
    </ol>
  </div>`;
}

function Row({ event, isOpen, toggle }) {
  const begun = timelineNow()?.created;
  const since = event.at && begun ? `+${span(timeOf(event) - begun)}` : "";
  return html`<li>
    <button type="button" aria-expanded=${isOpen} onClick=${() => toggle(event)}>
      <span class="event-position">${event.position || "·"}</span>
      <span class="event-name">${event.event}</span>
      <span class="event-time">${since}</span>
      <span class="event-size">${size(textOf(event).length)}</span>
    </button>
    ${isOpen && html`<pre tabindex="0">${JSON.stringify(event.data, null, 2)}</pre>`}
  </li>`;
}
