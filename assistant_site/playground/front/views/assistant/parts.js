// Pieces that the assistant's sections share: a section that folds, fields of the draft, JSON with its errors.

import { placed, pretty, readJson } from "../../core/json.js";
import { t } from "../../core/i18n.js";
import { same } from "../../core/values.js";
import { edit, keepTyped, refusalAt, typedAt, valueOf } from "../../state/assistant-draft.js";
import { chosen } from "../../state/assistants.js";
import { Field } from "../../ui/field.js";
import { classes, html, useEffect, useState } from "../../ui/html.js";
import { Icon } from "../../ui/icons.js";

/** A section that is folded away until somebody wants it, or the server refuses something in it. `told`: a word on it. */
export function Section({ title, told = "", places = [], children }) {
  const [isOpen, setOpen] = useState(false);
  const isWrong = places.some((place) => refusalAt(place));
  useEffect(() => {
    if (isWrong) setOpen(true);
  }, [isWrong]);
  return html`<details class="section" open=${isOpen} onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary><${Icon} name="chevron" size=${16} /><span>${title}</span>${told && html`<span class="told">${told}</span>`}</summary>
    ${isOpen && html`<div class="section-body fields">${children}</div>`}
  </details>`;
}

/** A field of the draft that is a text. Left empty it is null, unless it is `required`. */
export function TextField({ field, label, hint, most, rows = 0, required = false, optional = "", list, placeholder }) {
  const value = valueOf(field) ?? "";
  const typed = (event) => edit(field, event.target.value === "" && !required ? null : event.target.value);
  const isLong = most && value.length > most * 0.9;
  return html`<${Field}
    label=${label}
    optional=${optional}
    hint=${isLong ? t("{length} of {most} characters", { length: value.length, most }) : hint}
    error=${refusalAt(field) || (required && !value.trim() ? t("This cannot be empty.") : "")}
    control=${(props) =>
      rows
        ? html`<textarea ...${props} rows=${rows} maxlength=${most} placeholder=${placeholder} value=${value} onInput=${typed}></textarea>`
        : html`<input
          ...${props} maxlength=${most} list=${list} placeholder=${placeholder} autocomplete="off"
          spellcheck=${!list} value=${value} onInput=${typed}
        />`}
  />`;
}

/**
 * A text that must be JSON. `typed(text, {value, error})` hears each change; `error` is a sentence or "". `judge(value)`
 * gives a sentence for JSON that is none of what is wanted.
 */
export function JsonField({ label, hint, text, typed, judge = () => "", error = "", rows = 8, required = true }) {
  const { message } = judgeText(text, judge, required);
  const change = (event) => {
    const next = judgeText(event.target.value, judge, required);
    typed(event.target.value, { value: next.value, error: next.message });
  };
  const tidy = () => {
    const { value } = readJson(text);
    const next = pretty(value);
    typed(next, { value, error: judge(value) });
  };
  const canTidy = text.trim() && !readJson(text).error && pretty(readJson(text).value) !== text;
  return html`<div class="json-field">
    <${Field}
      label=${label}
      hint=${hint}
      error=${message || error}
      control=${(props) => html`<textarea
        ...${props} class="code" rows=${rows} spellcheck=${false} autocomplete="off" autocapitalize="off"
        value=${text} onInput=${change}
      ></textarea>`}
    />
    ${canTidy && html`<button type="button" class="quiet small tidy" onClick=${tidy}>${t("Tidy up")}</button>`}
  </div>`;
}

function judgeText(text, judge, required) {
  if (!text.trim()) return { value: undefined, message: required ? t("This cannot be empty.") : "" };
  const { value, error } = readJson(text);
  return error ? { message: placed(error) } : { value, message: judge(value) };
}

/** JSON that stands in the draft: what was typed is kept, also while it is wrong. `write(value)` takes what is right. */
export function DraftJson({ place, value, write, empty = "", ...others }) {
  const kept = typedAt(place);
  // What was typed shows its own spaces, unless the value has come from elsewhere since.
  const isCurrent = kept && (kept.error || same(readJson(kept.typed || "null").value ?? undefined, value));
  const text = isCurrent ? kept.typed : value === undefined ? empty : pretty(value);
  const typed = (next, { value: read, error }) => {
    if (!error) write(read);
    keepTyped(place, next, error);
  };
  return html`<${JsonField} text=${text} typed=${typed} error=${refusalAt(place)} ...${others} />`;
}

/** A number that may be left out. `set(number or null)`; what is outside the bounds is told and not taken. */
export function NumberField({ label, hint, value, set, low, high, step = 1, placeholder = "", error = "" }) {
  const [typed, setTyped] = useState(null);
  const text = typed ?? (value ?? "").toString();
  const wrong = faultOfNumber(text, low, high, step);
  const change = (event) => {
    const next = event.target.validity.badInput ? "?" : event.target.value;
    setTyped(next);
    if (!faultOfNumber(next, low, high, step)) set(next === "" ? null : Number(next));
  };
  return html`<${Field}
    label=${label}
    hint=${hint}
    error=${wrong || error}
    control=${(props) => html`<input
      ...${props} type="number" min=${low} max=${high} step=${step} placeholder=${placeholder}
      value=${text === "?" ? undefined : text} onInput=${change} onBlur=${() => wrong || setTyped(null)}
    />`}
  />`;
}

function faultOfNumber(text, low, high, step) {
  if (text === "") return "";
  const value = Number(text);
  const isWhole = step !== 1 || Number.isInteger(value);
  return Number.isFinite(value) && value >= low && value <= high && isWhole ? "" : t("A number from {low} to {high}.", { low, high });
}

/** One line of a list: what it is, and what can be done with it. `open` makes its words a button. */
export function Item({ icon, title, told, error, open, children }) {
  const words = html`<span class="item-title" title=${title}>${title}</span>${told && html`<span class="hint">${told}</span>`}${error && html`<span class="error" role="alert">${error}</span>`}`;
  return html`<li class=${classes("item", { wrong: error })}>
    <${Icon} name=${icon} size=${16} />
    ${open ? html`<button type="button" class="item-words" onClick=${open}>${words}</button>` : html`<div class="item-words">${words}</div>`}
    <div class="item-actions">${children}</div>
  </li>`;
}

export function IconButton({ icon, label, act, disabled }) {
  return html`<button
    type="button" class="quiet square small" aria-label=${label} title=${label} disabled=${disabled} onClick=${act}
  ><${Icon} name=${icon} size=${16} /></button>`;
}

// --- The draft's tools --------------------------------------------------------------------------------------------

export const tools = () => valueOf("tools") ?? [];
export const toolOf = (type) => tools().find((each) => each.type === type);

/** Puts a tool in the place of `before`, or at the end; `after` null takes it away. */
export function replaceTool(before, after) {
  const all = tools();
  if (!before || !all.includes(before)) edit("tools", after ? [...all, after] : all);
  else edit("tools", all.flatMap((each) => (each === before ? (after ? [after] : []) : [each])));
}

/** Turns a tool without a name of its own on or off. One that was saved comes back as it was, and where it was. */
export function switchTool(type, isOn) {
  if (!isOn) return edit("tools", tools().filter((each) => each.type !== type));
  const before = chosen.value?.tools ?? [];
  const place = before.findIndex((each) => each.type === type);
  const all = tools();
  return edit("tools", place < 0 ? [...all, { type }] : [...all.slice(0, place), before[place], ...all.slice(place)]);
}

/** What the server said of a tool. */
export const refusalOfTool = (tool) => refusalAt(`tools[${tools().indexOf(tool)}]`);
