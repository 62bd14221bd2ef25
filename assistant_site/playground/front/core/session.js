// Who uses the page: an API token, kept in this tab's session storage and nowhere else. Other tabs of the page may ask
// for it while this one is open, so that a second tab need not sign in again.

import { batch, effect, signal } from "@preact/signals";
import { settings } from "./settings.js";
import { t } from "./i18n.js";

const KEY = "holdfast.token";
const TENANT = "holdfast.tenant";
const WAIT = 150; // milliseconds for another tab to answer

export const token = signal("");
/** `{id, name}` of the tenant, where known. */
export const tenant = signal(null);
/** Why the session ended, if it did not end by itself. */
export const farewell = signal("");
export const isIn = signal(false);

/** Calls `forget` whenever nobody is in: whoever signs in next sees nothing of whoever was here before. */
export const whenOut = (forget) => effect(() => void (isIn.value || batch(forget)));

const tabs = new BroadcastChannel("holdfast.session");
tabs.onmessage = ({ data }) => {
  if (data === "ask" && token.value) tabs.postMessage({ token: token.value, tenant: tenant.value });
  if (data === "leave" && token.value) forget();
};

/** Begins a session with a token that was taken. */
export function enter(value, whose = null) {
  token.value = value;
  tenant.value = whose;
  farewell.value = "";
  sessionStorage.setItem(KEY, value);
  sessionStorage.setItem(TENANT, JSON.stringify(whose));
  isIn.value = true;
}

function forget() {
  sessionStorage.removeItem(KEY);
  sessionStorage.removeItem(TENANT);
  token.value = "";
  tenant.value = null;
  isIn.value = false;
}

/** Ends the session of this tab; `why` is shown. */
export function leave(why = "") {
  if (!settings.auth) return;
  farewell.value = why;
  forget();
}

/** Ends the session of every tab, and gives a token that was made for the page back. */
export async function signOut() {
  const given = token.value;
  const wasMadeForUs = tenant.value !== null; // a token that somebody typed is theirs
  tabs.postMessage("leave");
  leave();
  if (wasMadeForUs) await fetch("/playground/leave", { method: "POST", headers: { Authorization: `Bearer ${given}` } }).catch(() => {});
}

async function fromAnotherTab() {
  return new Promise((resolve) => {
    const asking = new BroadcastChannel("holdfast.session");
    const done = (found) => {
      asking.close();
      resolve(found);
    };
    asking.onmessage = ({ data }) => data?.token && done(data);
    asking.postMessage("ask");
    setTimeout(() => done(null), WAIT);
  });
}

/** What the server answered, parsed; an error with its words if it refused. */
export async function answerOf(response) {
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error?.message || t("The server answered {status}.", { status: response.status }));
  return answer;
}

/** A token for the key of the link that `make run` prints. */
export async function enterWithKey(key) {
  const response = await fetch("/playground/enter", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ key }),
  });
  const answer = await answerOf(response);
  enter(answer.token, answer.tenant);
}

/** Begins a session with a token that somebody typed, if the API takes it. */
export async function enterWithToken(value) {
  const response = await fetch("/v1/threads?limit=1", { headers: { Authorization: `Bearer ${value}` } });
  await answerOf(response);
  enter(value);
}

/** Goes on with the session of this tab, of another tab, or of the link that the page was opened with. */
export async function resume() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (key) {
    history.replaceState(null, "", location.pathname);
    try {
      await enterWithKey(key);
    } catch (error) {
      farewell.value = error.message;
    }
    if (isIn.value) return;
  }
  if (!settings.auth) {
    isIn.value = true;
    return;
  }
  const kept = sessionStorage.getItem(KEY);
  if (kept) enter(kept, JSON.parse(sessionStorage.getItem(TENANT) || "null"));
  else {
    const found = await fromAnotherTab();
    if (found) enter(found.token, found.tenant);
  }
}
