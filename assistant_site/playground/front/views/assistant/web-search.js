// Web search and its options.

import { t } from "../../core/i18n.js";
import { same } from "../../core/values.js";
import { keepTyped, typedAt } from "../../state/assistant-draft.js";
import { chosen } from "../../state/assistants.js";
import { Field, Switch } from "../../ui/field.js";
import { html } from "../../ui/html.js";
import { refusalOfTool, replaceTool, switchTool, tools } from "./parts.js";

const TYPES = ["web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"];
const DOMAIN = /^([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\.)+[a-zA-Z][a-zA-Z0-9-]{1,62}$/;
const PLACES = "tools.web_search.domains";

const domainsOf = (text) => [...new Set(text.split(/[\s,]+/).filter(Boolean))];

/** The tool has several names; they mean the same. */
export const isWebSearch = (tool) => TYPES.includes(tool.type);

/** The object without what is empty; undefined if nothing is left. */
function filled(object) {
  const kept = Object.entries(object).filter(([, value]) => value !== undefined && value !== "" && !(Array.isArray(value) && !value.length));
  return kept.length ? Object.fromEntries(kept) : undefined;
}

export function WebSearch() {
  const tool = tools().find(isWebSearch);
  const turn = (isOn) => {
    keepTyped(PLACES, null);
    switchTool(tool?.type ?? chosen.value?.tools.find(isWebSearch)?.type ?? "web_search", isOn);
  };
  const error = tool && refusalOfTool(tool);
  return html`<div class="tool">
    <${Switch} label=${t("Web search")} hint=${t("Searches the web and cites the pages.")} checked=${Boolean(tool)} set=${turn} />
    ${error && html`<p class="error" role="alert">${error}</p>`}
    ${tool && html`<div class="tool-body fields"><${Options} tool=${tool} /></div>`}
  </div>`;
}

function Options({ tool }) {
  const set = (changes) => replaceTool(tool, filled({ ...tool, ...changes }));
  const place = tool.user_location ?? {};
  const locate = (name) => (event) => {
    const { type: _, ...known } = place;
    const next = filled({ ...known, [name]: event.target.value });
    set({ user_location: next && { type: "approximate", ...next } });
  };
  const country = place.country ?? "";
  return html`
    <${Field}
      label=${t("How much the model is shown")}
      control=${(props) => html`<select
        ...${props} value=${tool.search_context_size ?? ""}
        onChange=${(event) => set({ search_context_size: event.target.value })}
      >
        <option value="">${t("As this server has it")}</option>
        <option value="low">${t("Little: three pages")}</option>
        <option value="medium">${t("Some: five pages")}</option>
        <option value="high">${t("Much: the text of pages too")}</option>
      </select>`}
    />
    <${Domains} tool=${tool} set=${set} />
    <details class="inner">
      <summary>${t("Where the user is")}</summary>
      <div class="fields">
        <div class="pair">
          <${Field}
            label=${t("Country")}
            error=${country && !/^[a-zA-Z]{2}$/.test(country) ? t("Two letters, such as DE.") : ""}
            control=${(props) => html`<input
              ...${props} maxlength="2" placeholder="DE" autocomplete="off" value=${country}
              onInput=${locate("country")}
            />`}
          />
          <${Field}
            label=${t("City")}
            control=${(props) => html`<input ...${props} maxlength="100" autocomplete="off" value=${place.city ?? ""} onInput=${locate("city")} />`}
          />
          <${Field}
            label=${t("Region")}
            control=${(props) => html`<input
              ...${props} maxlength="100" autocomplete="off" value=${place.region ?? ""} onInput=${locate("region")}
            />`}
          />
          <${Field}
            label=${t("Time zone")}
            control=${(props) => html`<input
              ...${props} maxlength="64" placeholder="Europe/Berlin" autocomplete="off" value=${place.timezone ?? ""}
              onInput=${locate("timezone")}
            />`}
          />
        </div>
      </div>
    </details>
    <${Switch}
      label=${t("Only what was found before")} hint=${t("Nothing is asked anew; what is still kept is shown.")}
      checked=${tool.external_web_access === false}
      set=${(isOn) => set({ external_web_access: isOn ? false : undefined })}
    />
  `;
}

function Domains({ tool, set }) {
  const typed = typedAt(PLACES);
  const saved = tool.filters?.allowed_domains ?? [];
  const isCurrent = typed && (typed.error || same(domainsOf(typed.typed), saved));
  const change = (event) => {
    const text = event.target.value;
    const domains = domainsOf(text);
    const wrong = domains.find((each) => !DOMAIN.test(each));
    const error = wrong === undefined ? "" : t("“{domain}” is no domain. Write it like example.com.", { domain: wrong });
    if (!error) set({ filters: domains.length ? { allowed_domains: domains } : undefined });
    keepTyped(PLACES, text, error);
  };
  return html`<${Field}
    label=${t("Only these domains")}
    hint=${t("One on each line, such as wikipedia.org; empty: all. Subdomains count.")}
    error=${typed?.error}
    control=${(props) => html`<textarea
      ...${props} class="code" rows="2" spellcheck=${false} value=${isCurrent ? typed.typed : saved.join("\n")}
      onInput=${change}
    ></textarea>`}
  />`;
}
