// What only some need: parameters that go to the model as they are.

import { t } from "../../core/i18n.js";
import { edit, valueOf } from "../../state/assistant-draft.js";
import { html } from "../../ui/html.js";
import { DraftJson, Section } from "./parts.js";

const PLACE = "extra_body.model_params";
const OURS = ["model", "messages", "tools", "tool_choice", "stream", "stream_options", "n", "functions"];

export function Advanced() {
  const body = valueOf("extra_body") ?? {};
  const count = Object.keys(body.model_params ?? {}).length;
  const write = (params) => {
    const { model_params: _, ...others } = body;
    edit("extra_body", params === undefined ? others : { ...others, model_params: params });
  };
  return html`<${Section} title=${t("Advanced")} told=${count ? t("one parameter | {n} parameters", { n: count }) : ""} places=${["extra_body"]}>
    <${DraftJson}
      place=${PLACE}
      label=${t("Model parameters")}
      hint=${t("A JSON object that goes to the model as it is, such as {example}. It comes before the settings above.", { example: '{"seed": 7}' })}
      rows=${5}
      required=${false}
      value=${body.model_params}
      write=${write}
      judge=${judge}
    />
  <//>`;
}

function judge(value) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return t("This must be an object.");
  const ours = Object.keys(value).find((name) => OURS.includes(name));
  return ours ? t("“{name}” cannot be changed here.", { name: ours }) : "";
}
