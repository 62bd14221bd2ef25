// Formulas: how they are found in Markdown, and KaTeX, which draws them and is loaded with the first one.

import { t } from "../core/i18n.js";
import { settings } from "../core/settings.js";

// A formula beyond these is shown as it is written.
const LONGEST = 10_000; // characters
const MOST_LINES = 200;
const DEEPEST = 300; // elements within each other
const FOLDER = `${settings.assets}vendor/katex/`;

// --- Finding them -------------------------------------------------------------------------------------------------

/** Teaches a markdown-it parser `$…$`, `$$…$$`, `\(…\)` and `\[…\]`. */
export function math(md) {
  md.inline.ruler.before("escape", "math", inline);
  md.block.ruler.before("fence", "math", block, { alt: ["paragraph", "reference", "blockquote", "list"] });
  const element = (token) => {
    const tex = md.utils.escapeHtml(token.content);
    return `<span class="math${token.block ? " display" : ""}" data-math="${token.meta}">${tex}</span>`;
  };
  md.renderer.rules.math_inline = (tokens, index) => element(tokens[index]);
  md.renderer.rules.math_block = (tokens, index) => `<p>${element(tokens[index])}</p>`;
}

const WAYS = [
  ["$$", "$$", "display"],
  ["\\[", "\\]", "display"],
  ["\\(", "\\)", "inline"],
];

function inline(state, silent) {
  const { src, pos, posMax } = state;
  for (const [open, close, meta] of WAYS) {
    if (!src.startsWith(open, pos)) continue;
    const end = src.indexOf(close, pos + open.length);
    if (end < 0 || end >= posMax) return false;
    return found(state, silent, src.slice(pos + open.length, end), end + close.length, meta);
  }
  if (src[pos] !== "$") return false;
  const end = endOfDollars(src, pos, posMax);
  return end > 0 && found(state, silent, src.slice(pos + 1, end), end + 1, "inline");
}

function found(state, silent, tex, end, meta) {
  if (!tex.trim() || tex.length > LONGEST) return false;
  if (!silent) Object.assign(state.push("math_inline", "", 0), { content: tex, meta, block: meta === "display" });
  state.pos = end;
  return true;
}

/**
 * Where the formula ends that `$` begins, or -1. Between two prices stands no formula: the first dollar has no letter or
 * digit before it and no space behind it, the last one no space before it and no letter or digit behind it (but `$n$th`),
 * and what is between them is not a number with words.
 */
function endOfDollars(src, pos, most) {
  if (/[\s$]/.test(src[pos + 1] ?? " ") || /[A-Za-z0-9$\\]/.test(src[pos - 1] ?? "")) return -1;
  for (let at = pos + 1; at < most && at - pos < LONGEST; at += 1) {
    if (src[at] === "\\") at += 1;
    else if (src[at] === "`" || src.startsWith("\n\n", at)) return -1;
    else if (src[at] === "$") {
      const tex = src.slice(pos + 1, at);
      const next = src[at + 1] ?? "";
      const isNoEnd = /\s$/.test(tex) || /[0-9$]/.test(next) || (/[A-Za-z]/.test(next) && !/^.$|[\\^_{}]/.test(tex));
      const isPrice = /^[\d.,]+\s*[^\d\s.,]*\s/.test(tex) && !/[\\^_={}+<>*]/.test(tex);
      return isNoEnd || isPrice ? -1 : at;
    }
  }
  return -1;
}

/** A formula that stands on lines of its own. One whose end has not come yet is shown as text until it has. */
function block(state, first, last, silent) {
  const begin = state.bMarks[first] + state.tShift[first];
  const way = WAYS.slice(0, 2).find(([open]) => state.src.startsWith(open, begin));
  if (!way || state.sCount[first] - state.blkIndent >= 4) return false;
  const [open, close] = way;
  const lines = [];
  for (let line = first; line < last; line += 1) {
    const start = line === first ? begin + open.length : state.bMarks[line] + state.tShift[line];
    const text = state.src.slice(start, state.eMarks[line]);
    if (line > first && state.sCount[line] < state.blkIndent) return false;
    if (line > first && (!text.trim() || lines.length >= MOST_LINES)) return false;
    const end = text.indexOf(close);
    if (end >= 0) {
      if (text.slice(end + close.length).trim()) return false; // goes on in the line: the inline rule's
      return take(state, silent, [...lines, text.slice(0, end)], first, line + 1, "display");
    }
    lines.push(text);
  }
  return state.env.isStreaming ? take(state, silent, lines, first, last, "open") : false;
}

function take(state, silent, lines, first, next, meta) {
  const content = lines.join("\n").trim();
  if (content.length > LONGEST || (!content && meta !== "open")) return false;
  if (silent) return true;
  Object.assign(state.push("math_block", "", 0), { content, meta, block: true, map: [first, next] });
  state.line = next;
  return true;
}

// --- Drawing them -------------------------------------------------------------------------------------------------

let loading = null;
let katex = null;

function load() {
  loading ??= (async () => {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: `${FOLDER}katex.min.css` });
    const styled = new Promise((resolve) => (link.onload = link.onerror = resolve));
    document.head.append(link);
    await Promise.all([import(`${FOLDER}katex.min.js`), styled]);
    katex = globalThis.katex;
  })();
  loading.catch(() => (loading = null)); // the formula stays as it is written; the next one tries again
  return loading;
}

const OPTIONS = {
  throwOnError: false,
  trust: false, // no links, pictures or HTML
  strict: "ignore",
  maxSize: 20, // em
  maxExpand: 500,
  errorColor: "var(--danger)",
};

/** Draws the formulas below an element: now if KaTeX is there, else as soon as it is. */
export function drawFormulas(root) {
  const all = [...root.querySelectorAll("[data-math=inline], [data-math=display]")];
  if (!all.length) return;
  if (katex) all.forEach(draw);
  else load().then(() => all.forEach((each) => each.isConnected && draw(each)), console.warn);
}

function draw(element) {
  const displayMode = element.dataset.math === "display";
  element.dataset.math = "plain";
  const drawn = nodeOf(element.textContent, displayMode);
  if (!drawn) return;
  element.replaceChildren(drawn);
  element.removeAttribute("data-math");
  if (!displayMode || element.scrollWidth <= element.clientWidth) return;
  element.tabIndex = 0; // so that the keyboard can move it
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", t("Formula"));
}

/** A formula as KaTeX draws it; null if it is too much. What KaTeX does not understand it shows itself, in red. */
function nodeOf(tex, displayMode) {
  const styled = [];
  let drawn;
  try {
    const tree = katex.__renderToDomTree(tex, { ...OPTIONS, displayMode });
    setAside(tree, styled);
    drawn = tree.toNode();
  } catch (error) {
    if (!(error instanceof RangeError)) console.warn(error);
    return null;
  }
  for (const [index, css] of styled.entries()) {
    const target = drawn.matches?.(`[data-styled="${index}"]`) ? drawn : drawn.querySelector(`[data-styled="${index}"]`);
    target.style.cssText = css;
    target.removeAttribute("data-styled");
  }
  return drawn;
}

/** KaTeX writes some style attributes, which the page's policy forbids; styles set by a program are allowed. */
function setAside(node, styled, depth = 0) {
  if (depth > DEEPEST) throw new RangeError();
  const css = node.attributes?.style;
  if (css) {
    delete node.attributes.style;
    node.attributes["data-styled"] = String(styled.push(css) - 1);
  }
  for (const child of node.children ?? []) setAside(child, styled, depth + 1);
}
