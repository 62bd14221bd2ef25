// The first page of who has no session: a token, or a tenant for who is signed in to the admin; and how a program gets in.

import { t } from "../core/i18n.js";
import { answerOf, enter, enterWithToken, farewell } from "../core/session.js";
import { settings } from "../core/settings.js";
import { Field } from "../ui/field.js";
import { CopyButton } from "../ui/copy.js";
import { html, useEffect, useState } from "../ui/html.js";
import { Icon } from "../ui/icons.js";
import { LanguageMenu, ThemeMenu } from "./preferences.js";

export function SignIn() {
  return html`<div class="welcome">
    <header class="welcome-bar">
      <p class="brand"><img src="/static/holdfast/mark.svg" width="28" height="28" alt="" />Holdfast <span>${settings.version}</span></p>
      <div class="row"><${LanguageMenu} /><${ThemeMenu} /></div>
    </header>
    <main class="welcome-main">
      <section class="card sign-in">
        <h1>${t("The Assistants API runs here")}</h1>
        <p class="lead">${t("Sign in with an API token to try an assistant in the browser.")}</p>
        <${TokenForm} />
        ${settings.staff && html`<${TenantChoice} />`}
        ${!settings.staff && html`<p class="hint">${t("Signed in to the admin, you can choose a tenant here instead.")} <a href="/admin/login/?next=/">${t("Admin")}</a></p>`}
      </section>
      <${Elsewhere} />
    </main>
  </div>`;
}

function TokenForm() {
  const [value, setValue] = useState("");
  const [error, setError] = useState(farewell.value);
  const [isAsking, setAsking] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    setAsking(true);
    setError("");
    try {
      await enterWithToken(value.trim());
    } catch (problem) {
      setError(problem.message);
      setAsking(false);
    }
  };
  return html`<form onSubmit=${submit} class="token-form">
    <${Field}
      label=${t("API token")}
      error=${error}
      hint=${t("The first start printed one, and a link that opens this page ready to use. The token stays in this browser tab.")}
      control=${(props) => html`<input
        ...${props}
        type="password"
        autocomplete="off"
        spellcheck=${false}
        placeholder="sk-holdfast-…"
        value=${value}
        autofocus
        required
        onInput=${(event) => setValue(event.target.value)}
      />`}
    />
    <button class="primary" type="submit" disabled=${isAsking || !value.trim()}>${t("Sign in")}</button>
  </form>`;
}

function TenantChoice() {
  const [tenants, setTenants] = useState(null);
  const [search, setSearch] = useState("");
  const [error, setError] = useState("");
  useEffect(() => {
    let isOld = false;
    fetch(`/playground/tenants?search=${encodeURIComponent(search)}`)
      .catch(() => {
        throw new Error(t("The server cannot be reached. Check the connection, then try again."));
      })
      .then(answerOf)
      .then(({ data }) => isOld || setTenants(data))
      .catch((problem) => isOld || setError(problem.message));
    return () => (isOld = true);
  }, [search]);
  const choose = async (id) => {
    const response = await fetch(`/playground/tenants/${id}/enter`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": settings.staff.csrf },
      body: "{}",
    });
    try {
      const answer = await answerOf(response);
      enter(answer.token, answer.tenant);
    } catch (problem) {
      setError(problem.message);
    }
  };
  return html`<section class="tenant-choice" aria-labelledby="tenants">
    <h2 id="tenants">${t("Or as {name}, in a tenant", { name: settings.staff.name })}</h2>
    <input type="search" aria-label=${t("Search tenants")} placeholder=${t("Search tenants")} value=${search} onInput=${(event) => setSearch(event.target.value)} />
    ${error && html`<p class="error" role="alert">${error}</p>`}
    <ul class="choices">
      ${tenants?.map((each) => html`<li key=${each.id}><button type="button" onClick=${() => choose(each.id)}><${Icon} name="user" /><span>${each.name}</span><${Icon} name="chevron" /></button></li>`)}
    </ul>
    ${tenants?.length === 0 && html`<p class="hint">${t("No tenant has this name.")}</p>`}
  </section>`;
}

const example = () => `from openai import OpenAI

client = OpenAI(
    base_url="${settings.base_url}",
    api_key="YOUR TOKEN",
)
assistant = client.beta.assistants.create(
    model="${settings.model}"
)
thread = client.beta.threads.create(
    messages=[{"role": "user", "content": "Hello!"}]
)
with client.beta.threads.runs.stream(
    thread_id=thread.id, assistant_id=assistant.id
) as stream:
    for text in stream.text_deltas:
        print(text, end="", flush=True)`;

function Elsewhere() {
  const { word, sentence } = settings.code ?? {};
  return html`<section class="elsewhere" aria-labelledby="program">
    <h2 id="program">${t("From a program")}</h2>
    <p>${t("Programs written for the OpenAI Assistants API v2 work with this server as they are. Give them its address and a token.")}</p>
    <div class="snippet">
      <div class="snippet-bar"><span>Python</span><${CopyButton} text=${example} /></div>
      <pre tabindex="0"><code>${example()}</code></pre>
    </div>
    <dl class="facts">
      <div><dt>${t("Address")}</dt><dd><code>${settings.base_url}</code></dd></div>
      <div><dt>${t("Model")}</dt><dd>${settings.demo ? t("The built-in demo model answers. Set OPENAI_BASE_URL and OPENAI_API_KEY, or add a provider in the admin, for a real one.") : t("A model provider is connected.")}</dd></div>
      ${sentence && html`<div><dt>${t("Code")}</dt><dd data-word=${word}>${sentence}</dd></div>`}
    </dl>
    <nav class="ways" aria-label=${t("Where to go")}>
      <a href="/docs">${t("API reference")}</a><a href="/admin/">${t("Admin")}</a><a href="/readyz">${t("Readiness")}</a><a href="/openapi.json">${t("OpenAPI document")}</a>
    </nav>
  </section>`;
}
