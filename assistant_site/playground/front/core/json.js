// Reading JSON that people type: where it is wrong, by line and column, and why, in words.

import { t } from "./i18n.js";

/** What is wrong with a text: `line` and `column` count from 1. */
class Wrong extends Error {
  constructor(message, text, at) {
    super(message);
    const before = text.slice(0, at).split("\n");
    this.line = before.length;
    this.column = before.at(-1).length + 1;
  }
}

/** `{value}`, or `{error: {message, line, column}}`. */
export function readJson(text) {
  try {
    return { value: JSON.parse(text) };
  } catch (problem) {
    const error = faultOf(text) ?? { message: problem.message, line: 1, column: 1 };
    return { error };
  }
}

/** The error as a sentence with its place. */
export const placed = ({ message, line, column }) => t("Line {line}, column {column}: {message}", { line, column, message });

export const pretty = (value) => JSON.stringify(value, null, 2);

function faultOf(text) {
  try {
    const end = afterValue(text, 0);
    if (end < text.length) throw new Wrong(t("nothing may follow here."), text, end);
  } catch (error) {
    if (error instanceof Wrong) return error;
  }
  return null;
}

function skipSpace(text, at) {
  while (" \t\n\r".includes(text[at] ?? "x")) at += 1;
  return at;
}

/** The place behind the value that begins at `at`, and the space around it. */
function afterValue(text, at) {
  at = skipSpace(text, at);
  const first = text[at];
  if (first === undefined) throw new Wrong(t("the text ends, but a value is missing."), text, at);
  if (first === "{") return skipSpace(text, afterObject(text, at));
  if (first === "[") return skipSpace(text, afterArray(text, at));
  if (first === '"') return skipSpace(text, afterString(text, at));
  const word = /^(true|false|null|-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?)(?![\w.])/.exec(text.slice(at, at + 400));
  if (word) return skipSpace(text, at + word[0].length);
  if (first === "'") throw new Wrong(t("texts stand in double quotes."), text, at);
  throw new Wrong(t("a value is expected here, not “{found}”.", { found: text.slice(at, at + 12).split(/[\s,}\]]/)[0] || first }), text, at);
}

function afterObject(text, start) {
  let at = skipSpace(text, start + 1);
  if (text[at] === "}") return at + 1;
  for (;;) {
    if (text[at] === "}") throw new Wrong(t("no comma may stand before the closing bracket."), text, at);
    if (text[at] !== '"') throw new Wrong(at < text.length ? t("a name in double quotes is expected here.") : t("the bracket is not closed."), text, at);
    at = skipSpace(text, afterString(text, at));
    if (text[at] !== ":") throw new Wrong(t("a colon is expected here."), text, at);
    at = afterValue(text, at + 1);
    if (text[at] === "}") return at + 1;
    if (text[at] !== ",") throw new Wrong(at < text.length ? t("a comma or a closing bracket is expected here.") : t("the bracket is not closed."), text, at);
    at = skipSpace(text, at + 1);
  }
}

function afterArray(text, start) {
  let at = skipSpace(text, start + 1);
  if (text[at] === "]") return at + 1;
  for (;;) {
    if (text[at] === "]") throw new Wrong(t("no comma may stand before the closing bracket."), text, at);
    at = afterValue(text, at);
    if (text[at] === "]") return at + 1;
    if (text[at] !== ",") throw new Wrong(at < text.length ? t("a comma or a closing bracket is expected here.") : t("the bracket is not closed."), text, at);
    at = skipSpace(text, at + 1);
  }
}

function afterString(text, start) {
  for (let at = start + 1; at < text.length; at += 1) {
    const sign = text[at];
    if (sign === '"') return at + 1;
    if (sign === "\\") {
      if (!/^(["\\/bfnrt]|u[0-9a-fA-F]{4})/.test(text.slice(at + 1, at + 6))) throw new Wrong(t("a backslash begins nothing known here; write two."), text, at);
      at += 1;
    } else if (sign < " ") throw new Wrong(t("the text is not closed on its line."), text, at);
  }
  throw new Wrong(t("the quotes are not closed."), text, start);
}
