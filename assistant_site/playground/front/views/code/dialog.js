// "Show the code for this": programs that do what the open conversation does, and how to connect one.

import { all } from "../../core/api.js";
import { t } from "../../core/i18n.js";
import { complain } from "../../core/notices.js";
import { settings } from "../../core/settings.js";
import { chosen } from "../../state/assistants.js";
import { hasOlder, messages, threadId } from "../../state/conversation.js";
import { text as draft } from "../../state/drafts.js";
import { asSent, planOf, programs } from "../../text/programs.js";
import { CopyButton } from "../../ui/copy.js";
import { Dialog, openDialog } from "../../ui/dialog.js";
import { Switch, Tabs } from "../../ui/field.js";
import { html, useEffect, useMemo, useState } from "../../ui/html.js";

const KEY = "holdfast.program";
const MOST_MESSAGES = 1000;
const LONGEST_NAME = 40;

export const open = () => openDialog((close) => html`<${CodeDialog} close=${close} />`);

/** What the first message would make, where there is no assistant yet. */
const first = () => ({ name: t("My first assistant"), model: settings.model, instructions: t("You are a helpful assistant.") });

const shortName = ({ name }) => (name?.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME)}…` : name || t("Unnamed"));

const tabs = () => [
  { id: "python", label: "Python" },
  { id: "streamed", label: t("Python, streaming") },
  { id: "node", label: "Node" },
  { id: "curl", label: "curl" },
];

const hints = () => ({
  python: t("Waits for each answer, then prints it."),
  streamed: t("Prints the words as they come."),
  node: t("Prints the words as they come. Needs the package openai, version 5 or newer."),
  curl: t("Prints the events as the server sends them. For bash."),
});

/** The messages of the user, oldest first; null while older ones are still on their way. */
function useOwnMessages() {
  const [found, setFound] = useState(hasOlder.value ? null : messages.value.map(({ value }) => value));
  useEffect(() => {
    if (found) return;
    all(`/threads/${threadId.value}/messages?order=asc`, MOST_MESSAGES)
      .then(setFound)
      .catch((error) => (complain(error), setFound(messages.value.map(({ value }) => value))));
  }, []);
  return found?.filter((each) => each.role === "user" && each.content.length);
}

function CodeDialog({ close }) {
  const [kind, setKind] = useState(localStorage.getItem(KEY) || "python");
  const [makes, setMakes] = useState(false);
  const [goesOn, setGoesOn] = useState(false);
  const own = useOwnMessages();
  const assistant = chosen.value ?? first();
  const isMade = makes || !assistant.id;
  const made = useMemo(() => {
    if (!own) return null;
    const next = draft.value.trim();
    const said = goesOn ? [] : own.map(asSent);
    const words = next || (goesOn ? t("Please go on.") : t("Hello, who are you?"));
    const given = said.length ? said : [{ role: "user", content: words }];
    return programs(
      planOf({ baseUrl: baseUrl(), needsToken: settings.auth, assistant, makes, threadId: goesOn ? threadId.value : "", messages: given }),
    );
  }, [own?.length, assistant, makes, goesOn]);
  const choose = (id) => (localStorage.setItem(KEY, id), setKind(id));
  const shown = tabs().some((tab) => tab.id === kind) ? kind : "python";

  return html`<${Dialog} title=${t("The code for this")} close=${close} wide=${true}>
    <div class="code-options">
      <${Switch}
        label=${t("Make the assistant in the program")}
        hint=${isMade ? t("With all its settings.") : t("It uses “{name}” by its id.", { name: shortName(assistant) })}
        checked=${isMade}
        set=${setMakes}
        disabled=${!assistant.id}
      />
      <${Switch}
        label=${t("Go on with this thread")}
        hint=${!threadId.value ? t("No thread is open: it begins one.") : goesOn ? t("It writes one more message.") : t("It begins a thread and sends your messages in turn.")}
        checked=${goesOn}
        set=${setGoesOn}
        disabled=${!threadId.value}
      />
    </div>
    <${Tabs} label=${t("Language of the program")} tabs=${tabs()} chosen=${shown} choose=${choose}>
      <${Program} text=${made?.[shown]} hint=${hints()[shown]} />
    <//>
    ${isMade && assistant.tools?.some((tool) => tool.type === "mcp") &&
    html`<p class="hint code-note">${t("The API never tells the keys of MCP servers: add them to the program.")}</p>`}
    <${Connect} />
  <//>`;
}

function Program({ text, hint }) {
  if (text === undefined) return html`<p class="hint" role="status">${t("Loading …")}</p>`;
  return html`<div class="program">
    <div class="program-bar">
      <p class="hint">${hint}</p>
      <${CopyButton} text=${() => text} label=${t("Copy")} words=${true} className="small" />
    </div>
    <pre tabindex="0" role="region" aria-label=${t("Program")}><code translate="no">${text}</code></pre>
  </div>`;
}

/** The API's address as this browser reaches it. */
const baseUrl = () => new URL("/v1", location.href).href;

function Connect() {
  const install = "pip install openai";
  return html`<section class="connect">
    <h3>${t("Connect a program")}</h3>
    <dl>
      <dt>${t("Address")}</dt>
      <dd><code>${baseUrl()}</code><${CopyButton} text=${baseUrl} label=${t("Copy the address")} /></dd>
      <dt>${t("Token")}</dt>
      <dd>
        ${settings.auth
          ? html`<span>${t("Programs read it from the environment variable HOLDFAST_TOKEN. Your operator makes tokens in the admin.")} <a href="/admin/tenants/apitoken/" target="_blank" rel="noreferrer">${t("API tokens")}</a></span>`
          : t("This server takes requests without a token.")}
      </dd>
      <dt>${t("Package")}</dt>
      <dd><code>${install}</code><${CopyButton} text=${() => install} label=${t("Copy the command")} /></dd>
    </dl>
  </section>`;
}
