// Markdown as chats have it. No HTML of the text's own comes through, pictures are named and not loaded, and links lead
// to http, https or mail only.

import MarkdownIt from "markdown-it";
import { PLACEHOLDER_HERE, placeholderIn, restored } from "./marks.js";
import { math } from "./math.js";

const LEADS = /^(?:https?:\/\/[^/]|mailto:)/i;
const CJK = /[\u2E80-\u30FF\u3400-\u4DBF\u4E00-\u9FFF\uAC00-\uD7AF\uF900-\uFAFF\uFF00-\uFFEF]/;
/** Ends a piece of plain text: what other rules may begin with, and our placeholders. */
const PLAIN = /[^\n!#$%&*+\-:<=>@[\\\]^_`{}~【]+/y;

function made() {
  const md = new MarkdownIt({ html: false, linkify: true, breaks: true, maxNesting: 30 });
  md.linkify.set({ fuzzyLink: false, fuzzyEmail: false }); // README.md is a file, not a site
  md.core.ruler.disable(["normalize", "block"]); // blocks.js does these
  md.use(math);
  withMarks(md);
  withSafeLinks(md);
  withFriendlyEmphasis(md);
  withOurElements(md);
  return md;
}

function withMarks(md) {
  md.inline.ruler.at("text", (state, silent) => {
    PLAIN.lastIndex = state.pos;
    const found = PLAIN.exec(state.src)?.[0].slice(0, state.posMax - state.pos);
    if (!found) return false;
    if (!silent) state.pending += found;
    state.pos += found.length;
    return true;
  });
  md.inline.ruler.before("escape", "mark", (state, silent) => {
    PLACEHOLDER_HERE.lastIndex = state.pos;
    const found = PLACEHOLDER_HERE.exec(state.src);
    if (!found) return false;
    if (!silent) state.push("mark", "", 0).meta = Number(found[1]);
    state.pos += found[0].length;
    return true;
  });
  md.renderer.rules.mark = (tokens, index) => `<span data-at="${tokens[index].meta}"></span>`;
}

function withSafeLinks(md) {
  const normalized = md.normalizeLink.bind(md);
  md.validateLink = (address) => LEADS.test(address.trim()) || placeholderIn(address) >= 0;
  md.normalizeLink = (address) => (placeholderIn(address) >= 0 ? address : normalized(address));
  md.renderer.rules.link_open = (tokens, index) => {
    const address = tokens[index].attrGet("href");
    const mark = placeholderIn(address);
    return mark >= 0 ? `<a data-at="${mark}">` : `<a href="${md.utils.escapeHtml(address)}">`;
  };
  md.renderer.rules.image = (tokens, index) => {
    const address = tokens[index].attrGet("src");
    const mark = placeholderIn(address);
    const words = md.utils.escapeHtml(tokens[index].content.replace(/【\uFDD0\d+\uFDD1】/g, ""));
    const where = mark >= 0 ? `data-at="${mark}"` : `data-picture="${md.utils.escapeHtml(address)}"`;
    return `<span ${where}>${words}</span>`;
  };
}

/** Chinese, Japanese and Korean put no spaces around emphasis: `**「语」**是` is bold too. */
function withFriendlyEmphasis(md) {
  md.inline.State = class extends md.inline.State {
    scanDelims(start, canSplitWord) {
      const scanned = super.scanDelims(start, canSplitWord);
      const before = this.src[start - 1] ?? " ";
      const after = start + scanned.length < this.posMax ? this.src[start + scanned.length] : " ";
      if (canSplitWord && CJK.test(before) && /\S/.test(after)) scanned.can_open = true;
      if (canSplitWord && CJK.test(after) && /\S/.test(before)) scanned.can_close = true;
      return scanned;
    }
  };
}

function withOurElements(md) {
  const { rules } = md.renderer;
  const { escapeHtml } = md.utils;
  // The page has headings of its own above a message's.
  const level = (tag) => Number(tag[1]);
  const heading = (tag) => `h${Math.min(6, level(tag) + 2)}`;
  rules.heading_open = (tokens, index) => `<${heading(tokens[index].tag)} class="h${level(tokens[index].tag)}">`;
  rules.heading_close = (tokens, index) => `</${heading(tokens[index].tag)}>`;
  const cell = (tokens, index) => {
    const { tag, attrs } = tokens[index];
    const side = /text-align:(left|center|right)/.exec(attrs?.find(([name]) => name === "style")?.[1] ?? "")?.[1];
    return side ? `<${tag} class="${side}">` : `<${tag}>`;
  };
  rules.th_open = rules.td_open = cell;
  const code = (tokens, index, options, env) => {
    const { content, info } = tokens[index];
    return `<pre data-code="${escapeHtml(languageOf(info))}">${escapeHtml(`\n${restored(content, env.marks)}`)}</pre>`;
  };
  rules.fence = rules.code_block = code;
  rules.code_inline = (tokens, index, options, env) => `<code>${escapeHtml(restored(tokens[index].content, env.marks))}</code>`;
  md.core.ruler.after("inline", "tasks", ({ tokens }) => {
    tokens.forEach((token, index) => {
      const first = token.type === "inline" && tokens[index - 2]?.type === "list_item_open" && token.children[0];
      if (first?.type === "text") first.content = first.content.replace(/^\[([ xX])\] /, (whole, x) => (x === " " ? "☐ " : "☑ "));
    });
  });
}

/** The language that a fence names: `python` of "python title=x". */
export const languageOf = (info = "") => info.trim().split(/[\s{,:]/)[0].slice(0, 40);

export const parser = made();

/** For what people write: every line break stays, and a pasted list of lines does not become headings or code. */
export const parserForPeople = made();
parserForPeople.block.ruler.disable(["code", "lheading", "reference"]);
