// Adding actions: those that there are, or new ones of an OpenAPI document.

import { t } from "../../core/i18n.js";
import { complain } from "../../core/notices.js";
import { actions, createActions, deleteAction, loadActions } from "../../state/actions.js";
import { edit } from "../../state/assistant-draft.js";
import { Field, Tabs } from "../../ui/field.js";
import { html, useEffect, useState } from "../../ui/html.js";
import { ActionChoice } from "./action-choice.js";
import { Authentication, authenticationOf } from "./authentication.js";
import { EditingDialog } from "./editing.js";
import { tools } from "./parts.js";

export function ActionDialog({ close }) {
  const [view, setView] = useState("");
  const [chosen, setChosen] = useState([]);
  const [found, setFound] = useState(null); // what was made of a document, until some of it are chosen
  const [given, setGiven] = useState({ source: "", authentication: { type: "none" } });
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  useEffect(() => {
    loadActions().catch(complain);
  }, []);
  const used = tools().filter((tool) => tool.type === "action").map((tool) => tool.id);
  const there = (actions.value ?? []).filter((each) => !used.includes(each.id));
  const shown = found ? "found" : view || (actions.value && !there.length ? "new" : "there");

  const add = () => {
    edit("tools", [...tools(), ...chosen.map((id) => ({ type: "action", id }))]);
    close();
    if (found) for (const { id } of found) if (!chosen.includes(id)) deleteAction(id).catch(complain);
  };
  const read = async (event) => {
    event?.preventDefault();
    if (isBusy || !given.source.trim()) return;
    setBusy(true);
    setProblem(null);
    try {
      const made = await createActions(given.source.trim(), authenticationOf(given.authentication));
      setFound(made);
      setChosen(made.map((each) => each.id));
    } catch (error) {
      setProblem(error);
    } finally {
      setBusy(false);
    }
  };
  /** Who leaves without choosing keeps nothing of the document. */
  const leave = () => {
    close();
    if (found) for (const { id } of found) deleteAction(id).catch(complain);
  };
  const footer =
    shown === "new"
      ? html`<button
        type="submit" form="new-actions" class="primary" disabled=${isBusy || !given.source.trim()}
      >${isBusy ? t("Reading …") : t("Read the document")}</button>`
      : html`<button type="button" class="primary" disabled=${!chosen.length} onClick=${add}>${chosen.length ? t("Add one action | Add {n} actions", { n: chosen.length }) : t("Add")}</button>`;
  const isChanged = Boolean(found) || (shown === "new" && Boolean(given.source.trim()));
  const choice = (list, more) => html`<${ActionChoice} actions=${list} chosen=${chosen} choose=${setChosen} ...${more} />`;

  return html`<${EditingDialog} title=${t("Add actions")} close=${leave} isChanged=${isChanged} footer=${footer}>
    ${found
      ? html`<p>${t("The document describes one operation. | The document describes {n} operations. Choose those that the assistant may call; the others are not kept.", { n: found.length })}</p>
          ${choice(found)}`
      : html`<${Tabs}
          label=${t("Where from")}
          tabs=${[{ id: "there", label: t("Your actions") }, { id: "new", label: t("From an OpenAPI document") }]}
          chosen=${shown}
          choose=${(id) => (setView(id), setChosen([]))}
        >
          ${shown === "there"
            ? actions.value === null
              ? html`<p class="hint" role="status">${t("Loading …")}</p>`
              : there.length
                ? choice(there, { canDelete: true })
                : html`<p class="hint">${t("There are no others. Read an OpenAPI document to make some.")}</p>`
            : html`<form id="new-actions" class="fields" onSubmit=${read}><${Source} given=${given} set=${setGiven} problem=${problem} /></form>`}
        <//>`}
  <//>`;
}

function Source({ given, set, problem }) {
  const isAboutCredentials = problem?.param?.startsWith("authentication");
  const change = (source) => set({ ...given, source });
  const pick = async (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (file) change(await file.text());
  };
  return html`
    <${Field}
      label=${t("OpenAPI document")}
      hint=${t("Its address, or its text in JSON or YAML. OpenAPI 3 and Swagger 2.")}
      error=${problem && !isAboutCredentials ? problem.message : ""}
      control=${(props) => html`<textarea
        ...${props} class="code" rows="7" autofocus spellcheck=${false}
        placeholder="https://example.com/openapi.json" value=${given.source}
        onInput=${(event) => change(event.target.value)}
      ></textarea>`}
    />
    <label class="button small pick">${t("Read from a file")}<input type="file" accept=".json,.yaml,.yml,application/json" onChange=${pick} /></label>
    <${Authentication}
      given=${given.authentication} set=${(authentication) => set({ ...given, authentication })}
      error=${isAboutCredentials ? problem.message : ""}
    />
  `;
}
