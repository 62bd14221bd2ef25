// A text in Markdown, drawn block by block: while it streams in, what is complete stays as it is in the page.

import { language } from "../core/i18n.js";
import { classes, html, useEffect, useLayoutEffect, useRef, useState } from "../ui/html.js";
import { blocksOf, codeOf, htmlOf } from "./blocks.js";
import { CodeBlock } from "./code.js";
import { decorate } from "./decorate.js";
import { safeText } from "./safe.js";

const CHEAP = 8; // milliseconds; a text that takes longer is drawn less often while it grows
const LONG = 20_000; // characters
const REST = 4; // times as long as it took, until it is drawn again
/** So many brackets in a row that browsers take seconds to set them close together. */
const CROWDED = /[\u2018\u201C\u3008-\u301B\uFF08\uFF3B\uFF5B\uFF5F]{200}/;

/**
 * `source` with the placeholders of `marks` (see marks.js); `drawMark(index, inside)` makes a mark's node. `isByPeople`:
 * every line break counts.
 */
export function Markdown({ source, marks = [], drawMark, isStreaming = false, isByPeople = false }) {
  const paced = usePaced({ source, marks }, isStreaming);
  const known = useRef({});
  if (known.current.paced !== paced || known.current.isStreaming !== isStreaming) {
    const began = performance.now();
    const before = known.current.isStreaming ? known.current.found : null;
    const found = blocksOf(paced.source, { isStreaming, isByPeople, marks: paced.marks }, before);
    known.current = { paced, isStreaming, found, began };
  }
  const root = useRef(null);
  useLayoutEffect(() => {
    if (isStreaming && paced.source.length > LONG) root.current.getBoundingClientRect(); // laying it out counts too
    paced.took(performance.now() - known.current.began);
  }, [paced]);
  const { blocks } = known.current.found;
  return html`<div class=${isByPeople ? "text by-people" : "text"} ref=${root}>
    ${blocks.map((block, index) => html`<${Block} key=${index} block=${block} drawMark=${drawMark} isByPeople=${isByPeople} />`)}
  </div>`;
}

function Block({ block, drawMark, isByPeople }) {
  const code = codeOf(block);
  // Empty lines that people wrote are kept: one lies between two blocks anyway.
  const style = isByPeople && block.gap > 1 ? { marginTop: `${block.gap * 1.5}em` } : undefined;
  if (code) return html`<div class="block" style=${style}><${CodeBlock} ...${code} isComplete=${!block.isOpen} /></div>`;
  return html`<${Prose} block=${block} drawMark=${drawMark} style=${style} />`;
}

function Prose({ block, drawMark, style }) {
  const element = useRef(null);
  const draw = useRef(drawMark);
  draw.current = drawMark;
  // Formulas and code tell by themselves whether they are complete; colours wait for the end of the block.
  useLayoutEffect(() => {
    element.current.replaceChildren(safeText(htmlOf(block)));
    return decorate(element.current, { drawMark: (...given) => draw.current(...given), isComplete: !block.isOpen });
  }, [block.text, block.references, Boolean(block.isOpen) && /```|~~~/.test(block.text), language.value, markedAs(block)]);
  return html`<div class=${classes("block", { crowded: CROWDED.test(block.text) })} dir="auto" style=${style} ref=${element}></div>`;
}

/** What the marks in a block show, in a form that is equal if they show the same. */
function markedAs(block) {
  if (!block.text.includes("\uFDD0")) return "";
  return block.env.marks.map((mark) => mark.shown ?? mark.text).join("\n");
}

/** What is to be drawn: at once, unless the text grows and is so long that drawing takes the time of others. */
function usePaced(given, isStreaming) {
  const [, again] = useState(0);
  const shown = useRef(null);
  const rest = useRef(0);
  const took = (milliseconds) => {
    rest.current = milliseconds > CHEAP ? performance.now() + milliseconds * REST : 0;
  };
  const before = shown.current;
  const isNew = before?.source !== given.source || signatureOf(before.marks) !== signatureOf(given.marks);
  const wait = isStreaming && isNew ? rest.current - performance.now() : 0;
  if (isNew && wait <= 0) shown.current = { ...given, took };
  useEffect(() => {
    if (wait <= 0) return undefined;
    const timer = setTimeout(() => again((count) => count + 1), wait);
    return () => clearTimeout(timer);
  });
  return shown.current;
}

const signatureOf = (marks) => marks.map((mark) => `${mark.shown}${mark.text}`).join("\n");
