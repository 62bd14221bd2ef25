// What is known of files that messages name: asked for once, when something shows them.

import { signal } from "@preact/signals";
import { get } from "../core/api.js";

const known = new Map();

/** Tells what the API has just said of a file, so that nobody needs to ask. */
export const learn = (file) => known.set(file.id, signal({ file }));

/** A signal of `{file}`, of `{error}` (a `Refused`), or of `{}` until the API has answered. */
export function fileOf(id) {
  if (!known.has(id)) {
    const told = signal({});
    known.set(id, told);
    get(`/files/${encodeURIComponent(id)}`).then(
      (file) => (told.value = { file }),
      (error) => {
        told.value = { error };
        if (error.status !== 404) known.delete(id); // the next one to ask may be luckier
      },
    );
  }
  return known.get(id);
}
