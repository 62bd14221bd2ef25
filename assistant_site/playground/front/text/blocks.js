// A text taken apart into its top-level blocks. While it grows only its last blocks are read anew.

import { restored, withoutBeginning } from "./marks.js";
import { languageOf, parser, parserForPeople } from "./parser.js";
import { settled, settledCode } from "./settle.js";

/**
 * The blocks of a text: `{blocks, source, isStreaming, …}`; `known` is what this gave for the text as it was before. A
 * block has its `text`, which tells it from others, `gap`, the empty lines before it, and `isOpen`, whether it may grow.
 */
export function blocksOf(source, { isStreaming, isByPeople, marks }, known = null) {
  const md = isByPeople ? parserForPeople : parser;
  const text = (isStreaming ? withoutBeginning(source) : source).replace(/\r\n?/g, "\n").replaceAll("\0", "\uFFFD");
  // A definition of a link may concern any block.
  const goesOn = isStreaming && known && !text.includes("]:") && text.startsWith(known.stable);
  const stable = goesOn ? known.stable : "";
  const env = { isStreaming, marks, references: {} };
  let tail = parsed(md, text.slice(stable.length), env);
  if (isStreaming && tail.length) tail = withSettledEnd(md, text.slice(stable.length), tail, env);
  const before = goesOn ? known.settledBlocks : [];
  const blocks = [...before, ...tail];
  // A list goes on behind a paragraph that turns out to be its next item: so the last two may change.
  const growing = tail.slice(-2);
  return {
    blocks,
    settledBlocks: blocks.slice(0, blocks.length - growing.length),
    stable: isStreaming && growing.length ? text.slice(0, stable.length + growing[0].start) : "",
  };
}

function parsed(md, text, env) {
  const tokens = [];
  md.block.parse(text, md, env, tokens);
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  const placeOf = (line) => (line < starts.length ? starts[line] : text.length);
  const blocks = [];
  let first = 0;
  let lineBefore = 0;
  const references = Object.keys(env.references).length ? JSON.stringify(env.references) : "";
  for (const [index, token] of tokens.entries()) {
    if (token.level > 0 || token.nesting > 0) continue;
    const of = tokens.slice(first, index + 1);
    first = index + 1;
    if (token.type === "reference_definition" || !of[0].map) continue;
    const [from, to] = of[0].map;
    const [start, end] = [placeOf(from), placeOf(to)];
    blocks.push({ md, env, tokens: of, start, text: text.slice(start, end), references, gap: from - lineBefore });
    lineBefore = lineAfter(text, starts, to);
  }
  return blocks;
}

/** The line behind a block's last line that is not empty. */
function lineAfter(text, starts, to) {
  let line = to;
  while (line > 0 && !text.slice(starts[line - 1], starts[line] ?? text.length).trim()) line -= 1;
  return line;
}

const isFence = (block) => block.tokens.length === 1 && block.tokens[0].type === "fence";

function withSettledEnd(md, text, blocks, env) {
  const last = blocks.at(-1);
  if (isFence(last)) {
    last.isOpen = !/\n {0,3}(?:`{3,}|~{3,})\s*$/.test(last.text);
    return blocks;
  }
  const end = settled(last.text.trimEnd());
  const anew = end === last.text.trimEnd() ? blocks : parsed(md, text.slice(0, last.start) + end, env);
  if (anew.length) anew.at(-1).isOpen = true;
  return anew;
}

/** `{language, code}` of a block that is code and nothing else, or null. */
export function codeOf(block) {
  const [token] = block.tokens;
  if (block.tokens.length !== 1 || (token.type !== "fence" && token.type !== "code_block")) return null;
  const isNamed = !block.isOpen || block.text.includes("\n"); // its name may still be coming
  const code = restored(token.content, block.env.marks).replace(/\n$/, "");
  return { language: isNamed ? languageOf(token.info) : "", code: block.isOpen ? settledCode(code) : code };
}

/** The block as HTML, which still has to be cleaned. Made once. */
export function htmlOf(block) {
  if (block.html === undefined) {
    const { md, env } = block;
    const state = new md.core.State("", md, env);
    state.tokens = block.tokens;
    md.core.process(state);
    block.html = md.renderer.render(state.tokens, md.options, env);
  }
  return block.html;
}
