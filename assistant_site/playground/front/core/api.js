// Requests to the API, and what its refusals say.

import { settings } from "./settings.js";
import { leave, token } from "./session.js";
import { t } from "./i18n.js";

/** A request that was refused (`status`) or never got there (`status` 0). `message` is for people. */
export class Refused extends Error {
  constructor(status, error = {}) {
    super(error.message || t("The server answered {status}.", { status }));
    this.status = status;
    this.code = error.code ?? null;
    this.type = error.type ?? null;
    this.param = error.param ?? null;
  }
}

/** The address of a path below /v1, on the server that this page came from. */
export const address = (path) => `/v1${path}`;

const headers = () => ({
  ...(settings.auth && token.value ? { Authorization: `Bearer ${token.value}` } : {}),
  "OpenAI-Beta": "assistants=v2",
});

/** A refusal made from what the server answered; a token that is not taken any more ends the session. */
export async function refusal(response) {
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch {
    error = { message: t("The server answered {status}.", { status: response.status }) };
  }
  if (response.status === 401) leave(error.message);
  return new Refused(response.status, error);
}

/** The response to a request, whatever it says; `Refused` with status 0 if there was none. */
export async function ask(method, path, { body, form, signal, more } = {}) {
  const sent = { ...headers(), ...more };
  if (body !== undefined) sent["Content-Type"] = "application/json";
  try {
    return await fetch(address(path), {
      method,
      headers: sent,
      body: body === undefined ? form : JSON.stringify(body),
      signal,
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { message: t("The server cannot be reached. Check the connection, then try again.") });
  }
}

/** What the API answers to a request, parsed. Throws `Refused`. */
export async function request(method, path, options) {
  const response = await ask(method, path, options);
  if (!response.ok) throw await refusal(response);
  return response.json();
}

export const get = (path, options) => request("GET", path, options);
export const post = (path, body = {}, options = {}) => request("POST", path, { ...options, body });
export const remove = (path, options) => request("DELETE", path, options);

/** A POST that may be sent again without making a second one of anything. */
export function postOnce(path, body = {}, options = {}) {
  return post(path, body, { ...options, more: { ...options.more, "Idempotency-Key": crypto.randomUUID() } });
}

/** Every item of a list, page after page, up to `most`. */
export async function all(path, most = 500) {
  const found = [];
  const join = path.includes("?") ? "&" : "?";
  let after = "";
  while (found.length < most) {
    const page = await get(`${path}${join}limit=100${after && `&after=${encodeURIComponent(after)}`}`);
    found.push(...page.data);
    if (!page.has_more) break;
    after = page.last_id;
  }
  return found;
}

/** The content of a file as a blob: through the server, for the page may not ask the bucket that it could point to. */
export async function contentOf(fileId) {
  const response = await ask("GET", `/files/${fileId}/content`, { more: { "X-Holdfast-Download": "through" } });
  if (!response.ok) throw await refusal(response);
  return response.blob();
}

/** Saves a file of the API under a name. */
export async function download(fileId, name) {
  const url = URL.createObjectURL(await contentOf(fileId));
  const link = Object.assign(document.createElement("a"), { href: url, download: name || fileId });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/**
 * Uploads a file. `told` hears how much of it is there, from 0 to 1; `signal` stops it. XMLHttpRequest, because fetch
 * does not tell how far an upload is.
 */
export function upload(file, purpose, { told = () => {}, signal } = {}) {
  return new Promise((resolve, reject) => {
    const going = new XMLHttpRequest();
    going.open("POST", address("/files"));
    for (const [name, value] of Object.entries(headers())) going.setRequestHeader(name, value);
    going.upload.onprogress = (event) => event.lengthComputable && told(event.loaded / event.total);
    going.onerror = () => reject(new Refused(0, { message: t("The upload was cut off. Try again.") }));
    going.onabort = () => reject(new DOMException("", "AbortError"));
    going.onload = () => {
      let answer = {};
      try {
        answer = JSON.parse(going.responseText);
      } catch {
        // the status tells enough
      }
      if (going.status === 200) resolve(answer);
      else {
        if (going.status === 401) leave(answer.error?.message);
        reject(new Refused(going.status, answer.error));
      }
    };
    signal?.addEventListener("abort", () => going.abort());
    const form = new FormData();
    form.append("purpose", purpose);
    form.append("file", file, file.name || "file");
    going.send(form);
  });
}
