// Annotations of a text: where their markers stand, and which number each source has.
//
// Before the text is read as Markdown each marker is replaced by a placeholder, so that nothing in a file's name is taken
// for markup. A placeholder begins and ends with brackets, for Markdown asks whether punctuation stands beside emphasis.
// What it has between them is no character and is taken out of the text beforehand: no text can contain a placeholder.

const OPEN = "\uFDD0";
const CLOSE = "\uFDD1";
const OURS = /[\uFDD0\uFDD1]/g;
const PLACEHOLDER = /【\uFDD0(\d+)\uFDD1】/g;
export const PLACEHOLDER_HERE = /【\uFDD0(\d+)\uFDD1】/y;
/** What may become a marker when more text comes. */
const BEGINNING = /【(?:\d{0,4}|\d{1,4}:\d{0,4}|\d{1,4}:\d{1,4}†[^】\n]{0,300})$/;

export const placeholder = (index) => `【${OPEN}${index}${CLOSE}】`;

/** Puts the markers back, where Markdown means every character literally. */
export const restored = (text, marks) => text.replace(PLACEHOLDER, (whole, index) => marks[index]?.text ?? "");

/** The index of the placeholder that an address consists of, or -1. */
export function placeholderIn(address) {
  const found = /^【\uFDD0(\d+)\uFDD1】$/.exec(address);
  return found ? Number(found[1]) : -1;
}

export const withoutBeginning = (text) => text.replace(BEGINNING, "");

/**
 * The text with placeholders, and what each stands for: `{source, marks: [{text, annotation}]}`. Indices count code
 * points; where they do not fit, the marker is looked for.
 */
export function marked(value, annotations) {
  const clean = (text) => text.replace(OURS, "\uFFFD");
  const known = annotations.filter((each) => each?.text);
  if (!known.length) return { source: clean(value), marks: [] };
  const places = placesOf(value, known);
  const marks = [];
  let source = "";
  let at = 0;
  for (const { start, end, annotation } of places) {
    source += clean(value.slice(at, start)) + placeholder(marks.length);
    marks.push({ text: annotation.text, annotation });
    at = end;
  }
  return { source: source + clean(value.slice(at)), marks };
}

/** Where the markers stand, in UTF-16 units, in their order; one that overlaps another or is not there is left out. */
function placesOf(value, annotations) {
  const units = unitsOf(value, annotations);
  const found = [];
  let from = 0;
  for (const annotation of [...annotations].sort((a, b) => (a.start_index ?? 0) - (b.start_index ?? 0))) {
    let start = units.get(annotation.start_index) ?? -1;
    if (start < from || !value.startsWith(annotation.text, start)) start = value.indexOf(annotation.text, from);
    if (start < 0) continue;
    from = start + annotation.text.length;
    found.push({ start, end: from, annotation });
  }
  return found;
}

/** The place in UTF-16 units of each code point that an annotation begins at. */
function unitsOf(value, annotations) {
  const wanted = new Set(annotations.map((each) => each.start_index));
  const units = new Map();
  let points = 0;
  let at = 0;
  const last = Math.max(...[...wanted].filter(Number.isInteger), -1);
  while (at <= value.length && points <= last) {
    if (wanted.has(points)) units.set(points, at);
    at += value.codePointAt(at) > 0xffff ? 2 : 1;
    points += 1;
  }
  return units;
}

/** What an annotation cites, in a form that is equal for the same passage; "" for one that cites nothing. */
export function passageOf(annotation) {
  if (annotation?.type === "url_citation") return `url ${annotation.url_citation?.url}`;
  if (annotation?.type !== "file_citation") return "";
  const { file_id: id, quote = "", page = "", line = "" } = annotation.file_citation ?? {};
  return JSON.stringify([id, page, line, quote || annotation.text]);
}

/** The sources of a whole message, numbered as they are met: a map from `passageOf` to `{number, annotation}`. */
export function sourcesOf(parts) {
  const sources = new Map();
  for (const part of parts) {
    const inOrder = [...(part?.text?.annotations ?? [])].filter(Boolean).sort((a, b) => a.start_index - b.start_index);
    for (const annotation of inOrder) {
      const passage = passageOf(annotation);
      if (passage && !sources.has(passage)) sources.set(passage, { number: sources.size + 1, annotation });
    }
  }
  return sources;
}

/** The file's name as the marker has it: 【1:0†name】. */
export const nameInMarker = (text = "") => /†(.*)】$/s.exec(text)?.[1] ?? "";

/** A text for copying: markers of sources as [1], others as they are. */
export function plainText(value, annotations, sources) {
  const { source, marks } = marked(value, annotations);
  return source.replace(PLACEHOLDER, (whole, index) => {
    const { text, annotation } = marks[index];
    const number = sources.get(passageOf(annotation))?.number;
    return number ? `[${number}]` : text;
  });
}
