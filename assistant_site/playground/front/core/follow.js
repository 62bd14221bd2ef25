// Follows a run's events: over the WebSocket, and where that does not come about, as a server-sent event stream. A
// connection that drops is made again from the last position, so nothing is missed and nothing told twice.

import { signal } from "@preact/signals";
import { address, ask, Refused } from "./api.js";
import { leave, token } from "./session.js";
import { settings } from "./settings.js";

const FIRST_PAUSE = 300; // milliseconds before the next attempt; doubled each time
const LONGEST_PAUSE = 8000;
const SOCKETS_TRIED = 2; // that never opened, before the other way is taken for the rest of the visit

/** Whether events come in: "idle", "live" or "lost" (and being sought again). */
export const connection = signal("idle");
/** How they come: "websocket" or "sse". */
export const transport = signal("websocket");

let attempts = 0; // at a socket, since the page was loaded, before one opened; then endless

/**
 * Follows a run from a position on. Calls `hear({event, position, data, at})` for each event, with `at` in milliseconds of
 * `performance.now()`, and `hear({event: "done"})` at its end. Returns what ends the following.
 */
export function follow(threadId, runId, after, hear) {
  const stopped = new AbortController();
  goOn(threadId, runId, after, hear, stopped.signal);
  return () => {
    stopped.abort();
    connection.value = "idle";
  };
}

async function goOn(threadId, runId, after, hear, signal) {
  const place = { position: after };
  const listen = (event) => {
    if (signal.aborted) return;
    connection.value = "live";
    if (event.position) place.position = event.position;
    hear({ ...event, at: performance.now() });
  };
  let pause = FIRST_PAUSE;
  while (!signal.aborted) {
    const before = place.position;
    let end;
    try {
      end = await (transport.value === "websocket" ? overSocket : overStream)(threadId, runId, place, listen, signal);
    } catch (error) {
      if (signal.aborted) break;
      end = { error };
    }
    if (signal.aborted || end.done) break;
    if (end.final) {
      hear({ event: "lost", data: { message: end.final }, at: performance.now() });
      break;
    }
    connection.value = "lost";
    pause = place.position > before ? FIRST_PAUSE : Math.min(pause * 2, LONGEST_PAUSE);
    await untilWorthTrying(navigator.onLine ? pause : LONGEST_PAUSE, signal);
  }
  if (!signal.aborted) connection.value = "idle";
}

/** Waits, but no longer than until the network is back or the page is looked at again. */
function untilWorthTrying(milliseconds, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      document.removeEventListener("visibilitychange", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    addEventListener("online", done);
    document.addEventListener("visibilitychange", done);
    signal.addEventListener("abort", done);
  });
}

function overSocket(threadId, runId, place, listen, signal) {
  return new Promise((resolve) => {
    const url = new URL(address(`/threads/${threadId}/runs/${runId}/ws?after=${place.position}`), location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const offered = settings.auth ? ["holdfast", `holdfast-token.${token.value}`] : ["holdfast"];
    const socket = new WebSocket(url, offered);
    let refused = null;
    let opened = false;
    const finish = (end) => {
      signal.removeEventListener("abort", drop);
      removeEventListener("offline", drop);
      socket.onclose = socket.onmessage = null;
      socket.close();
      resolve(end);
    };
    const drop = () => finish({});
    signal.addEventListener("abort", drop);
    addEventListener("offline", drop);
    socket.onmessage = ({ data }) => {
      opened = true;
      attempts = -Infinity;
      const message = JSON.parse(data);
      if (message.type === "error") refused = message;
      if (message.type === "authenticated") listen({ event: "connected" });
      if (message.type !== "event") return;
      listen({ event: message.event, position: message.position, data: message.data });
      if (message.event === "done") finish({ done: true });
    };
    socket.onclose = ({ code }) => {
      if (!opened && navigator.onLine && ++attempts >= SOCKETS_TRIED) transport.value = "sse";
      if (refused?.code === 4401) leave(refused.message);
      finish([4401, 4403, 4404].includes(code) ? { final: refused?.message ?? "" } : {});
    };
  });
}

async function overStream(threadId, runId, place, listen, signal) {
  const going = new AbortController();
  const stop = () => going.abort();
  signal.addEventListener("abort", stop);
  addEventListener("offline", stop);
  try {
    const response = await ask("GET", `/threads/${threadId}/runs/${runId}/events?after=${place.position}`, {
      signal: going.signal,
    });
    if (!response.ok) {
      if (response.status >= 500 || response.status === 429) return {};
      throw new Refused(response.status, (await response.json()).error);
    }
    listen({ event: "connected" });
    let done = false;
    for await (const frame of frames(response.body)) {
      if (frame.event === "done") done = true;
      listen(frame);
    }
    return { done };
  } catch (error) {
    return error.status >= 400 ? { final: error.message } : {};
  } finally {
    signal.removeEventListener("abort", stop);
    removeEventListener("offline", stop);
  }
}

/** The frames of a server-sent event stream, in the form of the socket's events. */
export async function* frames(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let kept = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    kept += value;
    for (let end = kept.indexOf("\n\n"); end >= 0; end = kept.indexOf("\n\n")) {
      const frame = { event: "message", position: 0, data: "" };
      for (const line of kept.slice(0, end).split("\n")) {
        const colon = line.indexOf(": ");
        const [name, said] = [line.slice(0, colon), line.slice(colon + 2)];
        if (name === "event") frame.event = said;
        if (name === "id") frame.position = Number(said);
        if (name === "data") frame.data = said;
      }
      kept = kept.slice(end + 2);
      if (!frame.data) continue;
      yield frame.data === "[DONE]" ? { event: "done", data: "[DONE]" } : { ...frame, data: JSON.parse(frame.data) };
    }
  }
}
