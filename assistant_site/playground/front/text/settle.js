// The end of a text that is still coming: what Markdown would not understand yet is put so that it looks as it will.

/** The last block's text, with what is open at its end closed or left out. */
export function settled(text) {
  const kept = text
    .replace(/\n {0,3}(?:-+|=+) *$/, "") // would make a heading of the line above; is a list or a rule to be
    .replace(/!?\[([^[\]\n]*)\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*$/, "$1") // a link without its end
    .replace(/(^|\n)([ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+)?(`{1,2}|~{1,2})$/, "$1$2"); // a fence that begins
  return withTable(closed(kept));
}

/** Code that is still coming, without the beginning of its end. */
export const settledCode = (code) => code.replace(/(^|\n) {0,3}(?:`{1,2}|~{1,2})\n?$/, "$1");

const PAIRS = ["**", "__", "~~"];

/** Closes code and emphasis that are open in the last paragraph. */
function closed(text) {
  const start = lastParagraph(text);
  const head = text.slice(0, start);
  let tail = text.slice(start);
  const ticks = tail.match(/`+/g) ?? [];
  const open = ticks.length % 2 ? ticks.at(-1) : "";
  if (open.length > 2) return text;
  if (open) tail = tail.endsWith(open) ? tail.slice(0, -open.length) : tail + open;
  const words = tail.replace(/(`+)[^`]*\1/g, "");
  for (const pair of PAIRS) {
    if ((words.split(pair).length - 1) % 2 === 0) continue;
    const trimmed = tail.trimEnd();
    if (trimmed.endsWith(pair)) tail = trimmed.slice(0, -pair.length);
    else if (pair !== "__") tail = (trimmed.endsWith(pair[0]) ? trimmed.slice(0, -1) : trimmed) + pair;
  }
  return head + tail;
}

/** Where the last paragraph or item of a list begins. */
function lastParagraph(text) {
  let end = text.length;
  for (;;) {
    const start = text.lastIndexOf("\n", end - 1) + 1;
    const line = text.slice(start, end);
    if (!line.trim()) return end;
    if (start === 0 || /^[ \t>]*(?:[-*+]|\d{1,9}[.)])[ \t]/.test(line)) return start;
    end = start - 1;
  }
}

/** A table whose second line has not come whole. */
function withTable(text) {
  if (/^\s*\|\s*$/.test(text)) return "";
  const lines = text.split("\n");
  if (lines.length > 2 || !/^\s*\|.*\S/.test(lines[0]) || (lines[1] !== undefined && !/^[\s|:-]*$/.test(lines[1]))) return text;
  const head = lines[0].trim().replace(/\|$/, "");
  const columns = head.replace(/\\\|/g, "").split("|").length - 1;
  return columns < 1 ? text : `${head}|\n|${" --- |".repeat(columns)}`;
}
