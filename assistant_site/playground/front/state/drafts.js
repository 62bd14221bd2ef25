// What is being written: the text, and files on their way up.

import { computed, signal } from "@preact/signals";
import { remove, upload } from "../core/api.js";
import { t } from "../core/i18n.js";
import { complain } from "../core/notices.js";

const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
const KEY = "holdfast.draft";

export const text = signal(sessionStorage.getItem(KEY) || "");
/** `{key, name, size, isPicture, progress (0 to 1), id, error, preview}` of each file of the message. */
export const files = signal([]);
export const isUploading = computed(() => files.value.some((each) => !each.id && !each.error));

const stops = new Map();
let last = 0;

export function write(value) {
  text.value = value;
  sessionStorage.setItem(KEY, value);
}

/** Uploads files for the message: pictures for the model to see, all others for its tools. */
export function attach(list) {
  for (const file of list) {
    const key = ++last;
    const isPicture = PICTURES.includes(file.type);
    const preview = isPicture ? URL.createObjectURL(file) : "";
    files.value = [...files.value, { key, name: file.name || t("Picture"), size: file.size, isPicture, preview, progress: 0, id: "", error: "", file }];
    begin(key);
  }
}

/** Begins an upload, or begins one again that failed. */
export async function begin(key) {
  const { file, isPicture } = files.value.find((each) => each.key === key);
  const stop = new AbortController();
  stops.set(key, stop);
  change(key, { error: "", progress: 0 });
  try {
    const made = await upload(file, isPicture ? "vision" : "assistants", {
      told: (progress) => change(key, { progress }),
      signal: stop.signal,
    });
    change(key, { id: made.id, progress: 1 });
  } catch (error) {
    if (error.name !== "AbortError") change(key, { error: error.message });
  } finally {
    stops.delete(key);
  }
}

function change(key, changes) {
  files.value = files.value.map((each) => (each.key === key ? { ...each, ...changes } : each));
}

/** Takes a file off the message; one that is up already is deleted. */
export function detach(key) {
  const given = files.value.find((each) => each.key === key);
  stops.get(key)?.abort();
  if (given.preview) URL.revokeObjectURL(given.preview);
  files.value = files.value.filter((each) => each.key !== key);
  if (given.id) remove(`/files/${given.id}`).catch(complain);
}

/** The message as the API takes it: `{content, attachments}`. `tools`: what may read the files that are no pictures. */
export function asMessage(tools) {
  const ready = files.value.filter((each) => each.id);
  const pictures = ready.filter((each) => each.isPicture).map((each) => ({ type: "image_file", image_file: { file_id: each.id } }));
  const said = text.value.trim();
  return {
    content: pictures.length ? [...(said ? [{ type: "text", text: said }] : []), ...pictures] : said,
    attachments: ready.filter((each) => !each.isPicture).map((each) => ({ file_id: each.id, tools: tools.map((type) => ({ type })) })),
  };
}

/** Empties the draft; what it returns puts everything back, before what has been written meanwhile. */
export function clear() {
  const kept = { text: text.value, files: files.value };
  files.value = [];
  write("");
  return () => {
    files.value = [...kept.files, ...files.value];
    write(text.value ? `${kept.text}\n${text.value}` : kept.text);
  };
}
