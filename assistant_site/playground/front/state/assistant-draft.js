// What has been changed of an assistant and is not saved yet. Each assistant has a draft of its own, so nothing that
// was typed is lost when another one is looked at.
//
// A draft keeps, for each changed field, its value and what was saved when the change began. So only changed fields are
// sent, and a field that somebody else has changed meanwhile is noticed.

import { computed, effect, signal } from "@preact/signals";
import { get } from "../core/api.js";
import { merged, same } from "../core/values.js";
import { assistants, changeAssistant, chosen, keepWhile } from "./assistants.js";

const NONE = Object.freeze({ changes: {}, bases: {}, raw: {} });
const EMPTY = { extra_body: {} }; // what the API leaves out where there is nothing
const ONE_IF_UNSET = ["temperature", "top_p"]; // the API tells 1 where nothing is set

const told = (assistant, field) => (field in assistant ? assistant[field] : EMPTY[field]);

/** `{changes, bases, raw}` by assistant. `raw`: what was typed where a text stands for a value, `{typed, error}`. */
const drafts = signal({});
/** What the server refused: `{id, status, param, message}`. */
export const refused = signal(null);
export const isSaving = signal(false);

const draft = computed(() => drafts.value[chosen.value?.id] ?? NONE);
const isChanged = ({ changes, raw }) => Object.keys(changes).length > 0 || Object.values(raw).some((each) => each.error);

export const isDirty = computed(() => isChanged(draft.value));
keepWhile(() => isDirty.value);
/** The first thing that was typed and cannot be saved, in words; "" if there is none. */
export const obstacle = computed(() => Object.values(draft.value.raw).find((each) => each.error)?.error ?? "");

/** A field as it will be saved. */
export function valueOf(field) {
  return field in draft.value.changes ? draft.value.changes[field] : chosen.value?.[field];
}

/** Whether a sampling setting is left to the model. */
export function isLeftToModel(field) {
  const value = valueOf(field);
  return value === null || value === undefined || (value === 1 && !(field in draft.value.changes));
}

function write(id, change) {
  const next = change(drafts.value[id] ?? NONE);
  const { [id]: _, ...others } = drafts.value;
  drafts.value = isChanged(next) || Object.keys(next.raw).length ? { ...others, [id]: next } : others;
}

/** Changes a field of the draft; a value that is as it was saved is no change. */
export function edit(field, value) {
  const given = chosen.value;
  if (!given) return;
  forgetRefusal(field);
  write(given.id, (before) => {
    const base = field in before.bases ? before.bases[field] : told(given, field);
    const { [field]: _, ...changes } = before.changes;
    const { [field]: __, ...bases } = before.bases;
    const isNone = ONE_IF_UNSET.includes(field) && base === 1 ? value === null : same(value, base);
    return isNone ? { ...before, changes, bases } : { ...before, changes: { ...changes, [field]: value }, bases: { ...bases, [field]: base } };
  });
}

/** What was typed at a place; undefined if nothing was. */
export const typedAt = (place) => draft.value.raw[place];

/** Keeps what was typed where it is not the value itself, with what is wrong with it; null forgets it. */
export function keepTyped(place, typed, error = "") {
  if (!chosen.value) return;
  forgetRefusal(place);
  write(chosen.value.id, (before) => {
    const { [place]: _, ...raw } = before.raw;
    return { ...before, raw: typed === null ? raw : { ...raw, [place]: { typed, error } } };
  });
}

const isAt = (param, place) => param === place || param?.startsWith(`${place}.`) || param?.startsWith(`${place}[`);

function forgetRefusal(place) {
  if (refused.value && (isAt(refused.value.param, place) || isAt(place, refused.value.param))) refused.value = null;
}

/** What the server said of a field, or of something in it; "" if nothing. */
export function refusalAt(place) {
  const { id, param, message } = refused.value ?? {};
  return id === chosen.value?.id && isAt(param, place) ? message : "";
}

/** What a new assistant needs to be like the chosen one, with its unsaved changes. */
export function asNew() {
  const { id, object, created_at: _, ...fields } = { ...chosen.value, ...draft.value.changes };
  for (const field of ONE_IF_UNSET) if (isLeftToModel(field)) fields[field] = null;
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

export function discard(id = chosen.value?.id) {
  const { [id]: _, ...others } = drafts.value;
  drafts.value = others;
  if (refused.value?.id === id) refused.value = null;
}

/**
 * Saves the chosen assistant's changes. `settle(fields)` is asked where somebody else has changed the same meanwhile:
 * "mine", "theirs", or null to save nothing. Resolves to whether all is saved; throws `Refused`.
 */
export async function save(settle) {
  const id = chosen.value?.id;
  if (!id || isSaving.value || obstacle.value || !isDirty.value) return !isDirty.value;
  const { changes, bases } = draft.value;
  isSaving.value = true;
  refused.value = null;
  try {
    const sent = await together(id, changes, bases, settle);
    if (!sent) return false;
    if (Object.keys(sent).length) await changeAssistant(id, sent);
    settled(id, changes);
    return true;
  } catch (error) {
    refused.value = { id, status: error.status, param: error.param, message: error.message };
    throw error;
  } finally {
    isSaving.value = false;
  }
}

async function together(id, changes, bases, settle) {
  const theirs = await get(`/assistants/${id}`);
  const sent = {};
  const clashes = new Set();
  for (const [field, mine] of Object.entries(changes)) {
    sent[field] = merged(bases[field], mine, told(theirs, field), () => clashes.add(field));
  }
  if (!clashes.size) return sent;
  const answer = await settle([...clashes]);
  if (!answer) return null;
  if (answer === "theirs") {
    for (const field of clashes) delete sent[field];
    assistants.value = assistants.value.map((each) => (each.id === id ? theirs : each));
  }
  return sent;
}

/** What was saved is no change any more; what was typed during the saving is. */
function settled(id, saved) {
  const now = assistants.value.find((each) => each.id === id) ?? {};
  write(id, (before) => {
    const left = Object.keys(before.changes).filter((field) => before.changes[field] !== saved[field]);
    return {
      changes: Object.fromEntries(left.map((field) => [field, before.changes[field]])),
      bases: Object.fromEntries(left.map((field) => [field, told(now, field)])),
      raw: Object.fromEntries(Object.entries(before.raw).filter(([place, { error }]) => error || left.includes(place.split(".")[0]))),
    };
  });
}

// Who closes the page with something unsaved is asked by the browser.
const hold = (event) => event.preventDefault();
effect(() => {
  if (Object.values(drafts.value).some(isChanged)) addEventListener("beforeunload", hold);
  else removeEventListener("beforeunload", hold);
});
