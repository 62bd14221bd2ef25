// A function's name, description and parameters; the parameters as a form, or as JSON Schema.

import { pretty, readJson } from "../../core/json.js";
import { checkSchema, madeStrict } from "../../core/schema.js";
import { t } from "../../core/i18n.js";
import { Field, Switch, Tabs } from "../../ui/field.js";
import { html, useState } from "../../ui/html.js";
import { Menu } from "../../ui/menu.js";
import { EditingDialog } from "./editing.js";
import { Findings } from "./findings.js";
import { functionExamples } from "./function-examples.js";
import { fitsForm, SchemaForm } from "./schema-form.js";
import { JsonField } from "./parts.js";

const NAME = /^[a-zA-Z0-9_-]{1,64}$/;
const NOTHING = { type: "object", properties: {}, required: [] };

/** `given`: a function, or undefined for a new one; `others`: names that are taken; `keep(function)` takes the result. */
export function FunctionEditor({ given, others, keep, close }) {
  const begin = { name: given?.name ?? "", description: given?.description ?? "", strict: given?.strict === true, text: pretty(given?.parameters ?? NOTHING) };
  const [now, setNow] = useState(begin);
  const [view, setView] = useState(fitsForm(given?.parameters ?? NOTHING) ? "form" : "json");
  const [formFault, setFormFault] = useState("");
  const [round, setRound] = useState(0); // a form begins anew when its schema comes from elsewhere
  const set = (changes) => setNow((before) => ({ ...before, ...changes }));
  const { value: schema, error: syntax } = readJson(now.text);
  const findings = syntax ? [] : checkSchema(schema, { strict: now.strict });
  const nameFault = !now.name ? "" : !NAME.test(now.name) ? t("Letters, digits, _ and -, 64 at most.") : others.includes(now.name) ? t("Another function has this name.") : "";
  const fault = nameFault || (view === "form" ? formFault : "") || (syntax ? t("The parameters are no valid JSON.") : "") || (findings.some((each) => each.isError) ? t("The parameters need your attention.") : "");
  const isChanged = JSON.stringify(now) !== JSON.stringify(begin);

  const replace = (next) => {
    setFormFault("");
    setRound(round + 1);
    set({ text: pretty(next) });
  };
  const choose = (id) => {
    setFormFault("");
    setRound(round + 1);
    setView(id);
  };
  const finish = () => {
    keep({ name: now.name, ...(now.description.trim() ? { description: now.description } : {}), parameters: schema, strict: now.strict });
    close();
  };
  const examples = functionExamples().map(({ name, description, parameters }) => ({
    label: name,
    act: () => {
      set({ name, description });
      replace(now.strict ? madeStrict(parameters) : parameters);
      setView("form");
    },
  }));
  const footer = html`<button
    type="button" class="primary" disabled=${Boolean(fault) || !now.name} onClick=${finish}
  >${given ? t("Done") : t("Add the function")}</button>`;

  return html`<${EditingDialog}
    title=${given ? t("Function {name}", { name: given.name }) : t("New function")} close=${close}
    isChanged=${isChanged} footer=${footer} tell=${fault}
  >
    <div class="with-menu">
      <${Field}
        label=${t("Name")}
        error=${nameFault}
        hint=${t("A verb and what it is about, such as get_weather.")}
        control=${(props) => html`<input
          ...${props} class="code" autofocus=${!given} maxlength="64" spellcheck=${false} autocomplete="off"
          value=${now.name} onInput=${(event) => set({ name: event.target.value })}
        />`}
      />
      <${Menu} label=${t("Begin with an example")} items=${examples} className="small">${t("Examples")}<//>
    </div>
    <${Field}
      label=${t("Description")}
      hint=${t("What it does and when to call it. The model decides by this.")}
      control=${(props) => html`<textarea
        ...${props} rows="2" value=${now.description} onInput=${(event) => set({ description: event.target.value })}
      ></textarea>`}
    />
    <${Tabs}
      label=${t("Parameters")} tabs=${[{ id: "form", label: t("Parameters") }, { id: "json", label: "JSON Schema" }]}
      chosen=${view} choose=${choose}
    >
      ${view === "form"
        ? fitsForm(schema)
          ? html`<${SchemaForm}
            key=${round} schema=${schema} isStrict=${now.strict} write=${(next) => set({ text: pretty(next) })}
            setFault=${setFormFault}
          />`
          : html`<p class="hint">${syntax ? t("The JSON has an error: mend it first, in the other tab.") : t("This schema has more than the form can show. Edit it as JSON Schema.")}</p>`
        : html`<${JsonField} label=${t("Parameters as JSON Schema")} rows=${12} text=${now.text} typed=${(text) => set({ text })} />`}
      <${Findings} findings=${findings} isStrict=${now.strict} makeStrict=${() => replace(madeStrict(schema))} />
    <//>
    <${Switch}
      label=${t("Strict")}
      hint=${t("The model keeps to the schema exactly, if the provider can do that. All properties are required then.")}
      checked=${now.strict}
      set=${(strict) => {
        set({ strict });
        if (strict && !syntax && fitsForm(schema)) replace(madeStrict(schema));
      }}
    />
  <//>`;
}
