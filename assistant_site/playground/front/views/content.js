// What a message says.

import { html } from "../ui/html.js";

/** The text parts of a message in one string. */
export const textOf = (message) =>
  message.content.filter((part) => part.type === "text").map((part) => part.text.value ?? part.text).join("\n\n");

export function MessageContent({ message }) {
  return html`<div class="plain">${textOf(message)}</div>`;
}
