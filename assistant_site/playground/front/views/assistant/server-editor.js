// An MCP server: where it is, which of its tools may be called, and who must agree to a call.

import { t } from "../../core/i18n.js";
import { Field, Switch } from "../../ui/field.js";
import { html, useState } from "../../ui/html.js";
import { EditingDialog } from "./editing.js";
import { HeaderRows } from "./header-rows.js";

const LABEL = /^[a-zA-Z][a-zA-Z0-9_-]{0,63}$/;
const MOST_NAMES = 128;

const namesOf = (text) => [...new Set(text.split(/[\n,]+/).map((each) => each.trim()).filter(Boolean))];
const linesOf = (filter) => (Array.isArray(filter) ? filter : (filter?.tool_names ?? [])).join("\n");

/** How approval is asked for, in the words of the form; "other" where the form cannot say it. */
function approvalOf(given) {
  if (!given) return "";
  if (typeof given === "string") return given;
  const { never, always, ...others } = given;
  const isSimple = never && !always && !Object.keys(others).length && never.tool_names && never.read_only === undefined;
  return isSimple ? "some" : "other";
}

const begin = (given) => ({
  label: given?.server_label ?? "",
  url: given?.server_url ?? "",
  allowed: linesOf(given?.allowed_tools),
  readOnly: given?.allowed_tools?.read_only === true,
  approval: given ? approvalOf(given.require_approval) : "always",
  never: linesOf(given?.require_approval?.never),
  authorization: given?.authorization ?? "",
  headers: Object.entries(given?.headers ?? {}),
  forget: false,
});

/** The tool as it is sent. Credentials that are not given stay as they are stored, for the same server. */
function toolOf(now, given) {
  const allowed = namesOf(now.allowed);
  const headers = Object.fromEntries(now.headers.filter(([name]) => name.trim()).map(([name, value]) => [name.trim(), value]));
  const tool = { type: "mcp", server_label: now.label };
  if (given?.server_description) tool.server_description = given.server_description;
  if (now.url.trim()) tool.server_url = now.url.trim();
  if (now.readOnly) tool.allowed_tools = { ...(allowed.length ? { tool_names: allowed } : {}), read_only: true };
  else if (allowed.length) tool.allowed_tools = allowed;
  if (now.approval === "other") tool.require_approval = given.require_approval;
  else if (now.approval === "some") tool.require_approval = { never: { tool_names: namesOf(now.never) } };
  else if (now.approval) tool.require_approval = now.approval;
  if (tool.server_url) {
    if (now.forget) tool.headers = {};
    if (Object.keys(headers).length) tool.headers = headers;
    if (now.authorization.trim()) tool.authorization = now.authorization.trim();
  }
  return tool;
}

function faultsOf(now, others) {
  const faults = {};
  if (now.label && !LABEL.test(now.label)) faults.label = t("A letter first, then letters, digits, _ and -, 64 at most.");
  else if (others.includes(now.label)) faults.label = t("Another server has this label.");
  if (now.url.trim() && !isAddress(now.url.trim())) faults.url = t("An address that begins with http:// or https://, without a user name or “#”.");
  if (namesOf(now.allowed).length > MOST_NAMES) faults.allowed = t("At most {n} names.", { n: MOST_NAMES });
  if (now.approval === "some" && !namesOf(now.never).length) faults.never = t("Name at least one tool, or choose another way.");
  return faults;
}

function isAddress(text) {
  const url = URL.parse?.(text) ?? (URL.canParse(text) ? new URL(text) : null);
  return Boolean(url) && /^https?:$/.test(url.protocol) && !url.username && !url.password && !url.hash;
}

export function ServerEditor({ given, others, keep, close }) {
  const [now, setNow] = useState(() => begin(given));
  const set = (changes) => setNow((before) => ({ ...before, ...changes }));
  const on = (name) => (event) => set({ [name]: event.target.value });
  const faults = faultsOf(now, others);
  const isChanged = JSON.stringify(now) !== JSON.stringify(begin(given));
  const hasUrl = Boolean(now.url.trim());
  const finish = () => {
    keep(toolOf(now, given));
    close();
  };
  const footer = html`<button
    type="button" class="primary" disabled=${!now.label || Object.keys(faults).length > 0} onClick=${finish}
  >${given ? t("Done") : t("Add the server")}</button>`;
  return html`<${EditingDialog}
    title=${given ? t("MCP server {name}", { name: given.server_label }) : t("New MCP server")} close=${close}
    isChanged=${isChanged} footer=${footer}
  >
    <${Field}
      label=${t("Label")}
      hint=${t("Your name for it; the model sees each tool as label_tool.")}
      error=${faults.label}
      control=${(props) => html`<input
        ...${props} class="code" autofocus=${!given} maxlength="64" spellcheck=${false} autocomplete="off"
        value=${now.label} onInput=${on("label")}
      />`}
    />
    <${Field}
      label=${t("Address")}
      hint=${t("Where it speaks streamable HTTP. Empty: the server that the operator has registered under this label.")}
      error=${faults.url}
      control=${(props) => html`<input
        ...${props} type="url" maxlength="2000" placeholder="https://mcp.example.com/mcp" spellcheck=${false}
        autocomplete="off" value=${now.url} onInput=${on("url")}
      />`}
    />
    ${hasUrl && html`<${Credentials} now=${now} set=${set} given=${given} />`}
    <${Field}
      label=${t("Only these tools")}
      hint=${t("One name on each line; empty: all of them.")}
      error=${faults.allowed}
      control=${(props) => html`<textarea
        ...${props} class="code" rows="2" spellcheck=${false} value=${now.allowed} onInput=${on("allowed")}
      ></textarea>`}
    />
    <${Switch}
      label=${t("Only tools that read")}
      hint=${t("The server itself says which these are: trust it as far as you trust the server.")}
      checked=${now.readOnly} set=${(readOnly) => set({ readOnly })}
    />
    <${Field}
      label=${t("Approval")}
      hint=${now.approval === "never" ? t("The model calls its tools without asking anybody.") : t("A run stops until somebody agrees to the call.")}
      control=${(props) => html`<select ...${props} value=${now.approval} onChange=${on("approval")}>
        ${!hasUrl && html`<option value="">${t("As the operator has it")}</option>`}
        <option value="always">${t("Ask before each call")}</option>
        <option value="some">${t("Ask, but not for some tools")}</option>
        <option value="never">${t("Never ask")}</option>
        ${approvalOf(given?.require_approval) === "other" && html`<option value="other">${t("As it was set by a program")}</option>`}
      </select>`}
    />
    ${now.approval === "some" &&
    html`<${Field}
      label=${t("Tools that need no approval")}
      hint=${t("One name on each line.")}
      error=${faults.never}
      control=${(props) => html`<textarea
        ...${props} class="code" rows="2" spellcheck=${false} value=${now.never} onInput=${on("never")}
      ></textarea>`}
    />`}
  <//>`;
}

function Credentials({ now, set, given }) {
  const isSame = Boolean(given?.server_url) && given.server_url === now.url.trim() && given.server_label === now.label;
  const hint = isSame
    ? t("What is stored is never shown. Left empty, it stays as it is.")
    : given?.server_url
      ? t("For another label or address it must be given again. It is stored encrypted and never shown.")
      : t("A bearer token, if the server wants one. It is stored encrypted and never shown.");
  return html`
    <${Field}
      label=${t("Token")}
      hint=${hint}
      control=${(props) => html`<input
        ...${props} type="password" autocomplete="off" spellcheck=${false} disabled=${now.forget}
        value=${now.authorization} onInput=${(event) => set({ authorization: event.target.value })}
      />`}
    />
    <details class="inner">
      <summary>${t("Other headers")}</summary>
      <div class="fields">
        <${HeaderRows} rows=${now.headers} write=${(headers) => set({ headers })} />
        ${isSame && html`<${Switch}
          label=${t("Take stored credentials away")} checked=${now.forget}
          set=${(forget) => set({ forget, authorization: "" })}
        />`}
      </div>
    </details>
  `;
}
