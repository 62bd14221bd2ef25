// Who an action's calls are made as. Secrets are typed once and never shown again.

import { t } from "../../core/i18n.js";
import { Field } from "../../ui/field.js";
import { html } from "../../ui/html.js";
import { HeaderRows } from "./header-rows.js";

const words = () => ({
  none: t("Nobody: no credentials"),
  bearer: t("A bearer token"),
  api_key: t("An API key"),
  basic: t("User name and password"),
  oauth2: t("OAuth 2, client credentials"),
  custom: t("Headers of your own"),
});

/** What is sent of what was typed: without empty fields; null for no credentials. */
export function authenticationOf(given) {
  if (given.type === "none") return null;
  const { rows = [], ...others } = given;
  const sent = Object.fromEntries(Object.entries(others).filter(([, value]) => value !== ""));
  if (given.type === "custom") sent.content = Object.fromEntries(rows.filter(([name]) => name.trim()).map(([name, value]) => [name.trim(), value]));
  return sent;
}

export function Authentication({ given, set, error }) {
  const change = (name) => (event) => set({ ...given, [name]: event.target.value });
  const field = (name, label, { hint = "", isSecret = false, placeholder = "" } = {}) =>
    html`<${Field}
      key=${`${given.type} ${name}`}
      label=${label}
      hint=${hint}
      control=${(props) => html`<input
        ...${props} type=${isSecret ? "password" : "text"} autocomplete="off" spellcheck=${false}
        placeholder=${placeholder} value=${given[name] ?? ""} onInput=${change(name)}
      />`}
    />`;
  const select = (name, label, options, hint) =>
    html`<${Field}
      key=${`${given.type} ${name}`}
      label=${label}
      hint=${hint}
      control=${(props) => html`<select ...${props} value=${given[name] ?? ""} onChange=${change(name)}>${options.map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}</select>`}
    />`;
  const asDocumentSays = t("as the document says");
  return html`
    <${Field}
      label=${t("Calls are made as")}
      hint=${given.type === "none" ? "" : t("Stored encrypted and never shown; sent to the service only.")}
      error=${error}
      control=${(props) => html`<select ...${props} value=${given.type} onChange=${(event) => set({ type: event.target.value })}>
        ${Object.entries(words()).map(([type, text]) => html`<option key=${type} value=${type}>${text}</option>`)}
      </select>`}
    />
    ${given.type === "bearer" && field("secret", t("Token"), { isSecret: true })}
    ${given.type === "api_key" &&
    html`${field("secret", t("Key"), { isSecret: true })}
      <div class="pair">
        ${select("in", t("Sent in"), [["", asDocumentSays], ["header", t("a header")], ["query", t("the query")], ["cookie", t("a cookie")]])}
        ${field("name", t("Under the name"), { placeholder: asDocumentSays })}
      </div>`}
    ${given.type === "basic" && html`<div class="pair">${field("username", t("User name"))}${field("password", t("Password"), { isSecret: true })}</div>`}
    ${given.type === "oauth2" &&
    html`<div class="pair">${field("client_id", t("Client id"))}${field("client_secret", t("Client secret"), { isSecret: true })}</div>
      ${field("token_url", t("Token address"), { placeholder: asDocumentSays })}
      <div class="pair">
        ${field("scope", t("Scope"), { placeholder: asDocumentSays })}
        ${select("client_auth", t("The client is told in"), [["", t("as usual")], ["basic", t("a header")], ["body", t("the body")]])}
      </div>`}
    ${given.type === "custom" && html`<${HeaderRows} rows=${given.rows ?? [["", ""]]} write=${(rows) => set({ ...given, rows })} />`}
  `;
}
