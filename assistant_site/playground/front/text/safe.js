// What may come from a text into the page. The parser makes no HTML but its own; this is the second wall.

import DOMPurify from "dompurify";

const OURS = ["data-at", "data-code", "data-math", "data-picture"];
const COMMON = { ALLOW_DATA_ATTR: false, ALLOW_ARIA_ATTR: false, RETURN_DOM_FRAGMENT: true };
const TEXT = {
  ...COMMON,
  ALLOWED_TAGS: [
    ..."a blockquote br code em h3 h4 h5 h6 hr li ol p pre s span strong table tbody td th thead tr ul".split(" "),
    "#text",
  ],
  ALLOWED_ATTR: ["class", "href", "start", ...OURS],
  ADD_URI_SAFE_ATTR: ["start", ...OURS],
  ALLOWED_URI_REGEXP: /^(?:https?:\/\/|mailto:)/i,
};
const CODE = { ...COMMON, ALLOWED_TAGS: ["span", "#text"], ALLOWED_ATTR: ["class"] };

/** Markdown's HTML as nodes that may stand in the page. They are not made a text again, so they stay what was checked. */
export const safeText = (html) => DOMPurify.sanitize(html, TEXT);

/** The same for coloured code. */
export const safeCode = (html) => DOMPurify.sanitize(html, CODE);
