// Which assistant is shown and answers: a list that can be searched, and what can be done with the whole of one.

import { t } from "../../core/i18n.js";
import { complain, notice } from "../../core/notices.js";
import { assistants, choose, chosen, createAssistant, removeAssistant } from "../../state/assistants.js";
import { asNew, discard } from "../../state/assistant-draft.js";
import { confirm } from "../../ui/dialog.js";
import { classes, html, useEffect, useId, useRef, useState } from "../../ui/html.js";
import { Icon } from "../../ui/icons.js";
import { Menu } from "../../ui/menu.js";
import { useOpening } from "../../ui/opening.js";
import { offerExamples } from "./examples.js";
import { mayLeave } from "./saving.js";

const MANY = 7; // from here on there is a search
const SHOWN = 100;

const nameOf = (assistant) => assistant.name || t("Unnamed");

export function Chooser() {
  const items = [
    { label: t("Duplicate"), icon: "copy", act: () => duplicate().catch(complain) },
    { label: t("Delete"), icon: "trash", danger: true, act: () => destroy().catch(complain) },
  ];
  return html`<div class="chooser">
    <${Choice} />
    <button
      type="button" class="square" aria-label=${t("New assistant")} title=${t("New assistant")}
      onClick=${() => offerExamples().catch(complain)}
    ><${Icon} name="add" /></button>
    <${Menu} label=${t("Actions for this assistant")} items=${items}><${Icon} name="more" /><//>
  </div>`;
}

function Choice() {
  const { isOpen, setOpen, root, shut } = useOpening();
  const id = useId();
  const left = (event) => event.relatedTarget && !root.current.contains(event.relatedTarget) && setOpen(false);
  return html`<div class="choice" ref=${root} onFocusOut=${left}>
    <button
      type="button" class="choice-button" aria-haspopup="listbox" aria-expanded=${isOpen}
      aria-controls=${isOpen ? id : undefined} onClick=${() => setOpen(!isOpen)}
    >
      <span class="unseen">${t("Assistant")}: </span><span class="name">${nameOf(chosen.value)}</span><${Icon} name="chevron" size=${16} />
    </button>
    ${isOpen && html`<${Choices} id=${id} shut=${shut} />`}
  </div>`;
}

/** The list, moved through with the arrows while the focus stays in the search or on the list. */
function Choices({ id, shut }) {
  const [search, setSearch] = useState("");
  const words = search.trim().toLowerCase();
  const fitting = assistants.value.filter((each) => `${each.name ?? ""} ${each.model} ${each.id}`.toLowerCase().includes(words));
  const shown = fitting.slice(0, SHOWN);
  const [here, setHere] = useState(Math.max(0, shown.findIndex((each) => each.id === chosen.value.id)));
  const box = useRef(null);
  const hasSearch = assistants.value.length > MANY;
  useEffect(() => box.current.querySelector("input, ul").focus(), []);
  useEffect(() => box.current.querySelector("[data-here]")?.scrollIntoView({ block: "nearest" }), [here, words]);
  const pick = (assistant) => {
    shut();
    choose(assistant.id).catch(complain);
  };
  const keys = (event) => {
    const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: shown.length - 1 }[event.key];
    if (event.key === "Escape") shut();
    else if (event.key === "Enter" && !event.isComposing && shown[here]) pick(shown[here]);
    else if (to !== undefined && !(hasSearch && ["Home", "End"].includes(event.key))) setHere((to + shown.length) % Math.max(1, shown.length));
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const active = { "aria-activedescendant": shown[here] ? `${id}${here}` : undefined, "aria-controls": id };
  return html`<div class="choices-box" ref=${box} onKeyDown=${keys}>
    ${hasSearch &&
    html`<input
      type="search" role="combobox" aria-expanded="true" aria-autocomplete="list"
      aria-label=${t("Search assistants")} placeholder=${t("Search assistants")} value=${search} ...${active}
      onInput=${(event) => (setSearch(event.target.value), setHere(0))}
    />`}
    <ul role="listbox" id=${id} aria-label=${t("Assistants")} tabindex=${hasSearch ? -1 : 0} ...${hasSearch ? {} : active}>
      ${shown.map(
        (each, at) => html`<li
          key=${each.id} id=${`${id}${at}`} role="option" class=${classes({ here: at === here })}
          data-here=${at === here ? "" : undefined} aria-selected=${each.id === chosen.value.id}
          onClick=${() => pick(each)} onPointerMove=${() => at !== here && setHere(at)}
        >
          <span class="name">${nameOf(each)}</span><span class="hint">${each.model}</span>
        </li>`,
      )}
    </ul>
    <p class="hint" role="status">${!fitting.length ? t("No assistant has these words.") : fitting.length > SHOWN ? t("{n} more: search for them.", { n: fitting.length - SHOWN }) : ""}</p>
  </div>`;
}

/** Another one with the same settings. Stored credentials of servers are not known here and do not come along. */
async function duplicate() {
  if (!(await mayLeave())) return;
  const { name, ...others } = asNew();
  await createAssistant({ ...others, name: t("{name} (copy)", { name: (name || t("Unnamed")).slice(0, 240) }) });
  const hasServers = others.tools.some((tool) => tool.type === "mcp" && tool.server_url);
  notice(hasServers ? t("Duplicated. Credentials of MCP servers are not copied: give them again.") : t("Duplicated."));
}

async function destroy() {
  const assistant = chosen.value;
  const yes = await confirm({
    title: t("Delete this assistant?"),
    text: t("“{name}” is removed for good. Its threads, runs, files and vector stores stay.", { name: nameOf(assistant) }),
    action: t("Delete"),
  });
  if (!yes) return;
  await removeAssistant(assistant.id);
  discard(assistant.id);
  notice(t("The assistant is deleted."));
}
