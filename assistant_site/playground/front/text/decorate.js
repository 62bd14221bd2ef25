// What is done to a block after it was cleaned: links say where they lead, code gets its frame, tables scroll, marks
// become buttons. Nodes are made here, never HTML.

import { render } from "preact";
import { t } from "../core/i18n.js";
import { html } from "../ui/html.js";
import { CodeBlock } from "./code.js";
import { drawFormulas } from "./math.js";

/**
 * `drawMark(index, inside)` makes the node for a mark, around the nodes `inside` if it is a link's. Returns what has to
 * be called before the block goes.
 */
export function decorate(root, { drawMark, isComplete }) {
  marks(root, drawMark);
  pictures(root);
  links(root);
  tables(root);
  const ends = codes(root, isComplete);
  drawFormulas(root);
  return () => ends.forEach((end) => end());
}

function marks(root, drawMark) {
  for (const element of root.querySelectorAll("span[data-at]")) {
    const link = element.parentElement.closest("a");
    if (link?.dataset.at) element.remove(); // the link is a mark itself
    else if (link) {
      link.after(drawMark(Number(element.dataset.at), []));
      element.remove();
    } else element.replaceWith(drawMark(Number(element.dataset.at), [...element.childNodes]));
  }
  for (const link of root.querySelectorAll("a[data-at]")) link.replaceWith(drawMark(Number(link.dataset.at), [...link.childNodes]));
}

/** The host that an address names, as the browser reads it; "" if it is none that a link may lead to. */
export function hostOf(address) {
  try {
    const url = new URL(address);
    return ["http:", "https:"].includes(url.protocol) ? url.host : "";
  } catch {
    return "";
  }
}

/** A link that opens beside the page and tells the other side nothing of it. */
export function outwards(link) {
  link.target = "_blank";
  link.rel = "noopener noreferrer nofollow";
  link.title = link.href;
  return link;
}

function pictures(root) {
  for (const element of root.querySelectorAll("[data-picture]")) {
    const host = hostOf(element.dataset.picture);
    const words = element.textContent.trim();
    const said = words ? t("{words} (picture at {host}, not loaded)", { words, host }) : t("Picture at {host}, not loaded", { host });
    if (!host || element.closest("a")) element.replaceChildren(host ? said : words);
    else {
      const link = Object.assign(document.createElement("a"), { href: element.dataset.picture, textContent: said });
      element.replaceChildren(link);
    }
    element.className = "picture-link";
    delete element.dataset.picture;
  }
}

function links(root) {
  for (const link of root.querySelectorAll("a")) {
    if (/^(?:https?|mailto):$/.test(link.protocol)) outwards(link);
    else link.removeAttribute("href");
  }
}

function tables(root) {
  for (const table of root.querySelectorAll("table")) {
    const frame = Object.assign(document.createElement("div"), { className: "table-frame", tabIndex: 0 });
    frame.setAttribute("role", "group");
    frame.setAttribute("aria-label", t("Table"));
    table.replaceWith(frame);
    frame.append(table);
    for (const head of table.querySelectorAll("th")) head.scope = "col";
  }
}

function codes(root, isComplete) {
  return [...root.querySelectorAll("pre[data-code]")].map((element) => {
    const host = document.createElement("div");
    const code = element.textContent.replace(/^\n/, "").replace(/\n$/, "");
    const { code: language } = element.dataset;
    element.replaceWith(host);
    render(html`<${CodeBlock} ...${{ code, language, isComplete }} />`, host);
    return () => render(null, host);
  });
}
