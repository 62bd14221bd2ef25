// New assistants: a plain one, or examples that show what the tools do. With the demo model, whose answers follow a
// script, each example comes with a message that works at once.

import { upload } from "../../core/api.js";
import { t } from "../../core/i18n.js";
import { complain, notice } from "../../core/notices.js";
import { settings } from "../../core/settings.js";
import { createAssistant, models } from "../../state/assistants.js";
import { text as written, write } from "../../state/drafts.js";
import { addFile, createStore } from "../../state/stores.js";
import { Dialog, openDialog } from "../../ui/dialog.js";
import { html, useState } from "../../ui/html.js";
import { Icon } from "../../ui/icons.js";
import { functionExamples } from "./function-examples.js";
import { isWide, showPanel } from "../panel.js";
import { mayLeave } from "./saving.js";

const modelOfNew = () => (models.value.length && !models.value.includes(settings.model) ? models.value[0] : settings.model);

/** `ask`: what to say to it first; `demo`: the same in the script of the demo model. */
const examples = () => [
  {
    icon: "add",
    title: t("A plain assistant"),
    told: t("Instructions and nothing else."),
    body: { name: t("New assistant"), instructions: t("You are a helpful assistant.") },
  },
  {
    icon: "search",
    title: t("Answers from your files"),
    told: t("Searches files and cites them. It comes with a small file to try it on."),
    ask: t("How many days of holiday do new colleagues have?"),
    body: {
      name: t("Answers from your files"),
      instructions: t("Answer from the files only, and cite them. If they do not say it, tell so."),
      tools: [{ type: "file_search" }],
    },
    after: giveSampleFile,
  },
  {
    icon: "usage",
    title: t("Calculates with Python"),
    told: t("Writes code and runs it in a sandbox: numbers, tables, charts."),
    ask: t("Draw the first twenty square numbers as a chart."),
    demo: 'call:code_interpreter {"code": "import matplotlib.pyplot as plt\\nplt.plot([n * n for n in range(1, 21)], marker=\'o\')\\nplt.show()\\nprint(sum(n * n for n in range(1, 21)))"}',
    body: {
      name: t("Calculates with Python"),
      instructions: t("Use Python for anything that can be calculated or drawn. Show the result first, then how you got it."),
      tools: [{ type: "code_interpreter" }],
    },
  },
  {
    icon: "code",
    title: t("Calls your function"),
    told: t("Asks for the weather by a function. You give the answer by hand, as your program would."),
    ask: t("What is the weather in Lisbon?"),
    demo: 'call:get_weather {"city": "Lisbon"}',
    body: {
      name: t("Calls your function"),
      instructions: t("Ask the function for the weather; never guess it."),
      tools: functionExamples().slice(0, 1).map((each) => ({ type: "function", function: each })),
    },
  },
  {
    icon: "language",
    title: t("Searches the web"),
    told: t("Looks things up and names its sources. The operator sets up a search service for it."),
    ask: t("What is new in Python this year?"),
    demo: 'call:web_search {"query": "What is new in Python"}',
    body: {
      name: t("Searches the web"),
      instructions: t("Search the web for what you do not know for certain, and name the sources."),
      tools: [{ type: "web_search" }],
    },
  },
];

const sample = () => `# ${t("A small handbook")}

## ${t("Holidays")}

${t("New colleagues have 28 days of holiday in a year. Each year that they stay adds a day, up to 33.")}

## ${t("Travelling")}

${t("Trains are booked in second class. Above four hours, first class is paid for.")}
`;

async function giveSampleFile(assistant) {
  const store = await createStore(assistant.id, assistant.name);
  const file = new File([sample()], t("handbook.md"), { type: "text/markdown" });
  const made = await upload(file, "assistants");
  await addFile(store.id, made.id);
}

/** Asks what the new assistant shall be, and makes it. */
export async function offerExamples() {
  if (await mayLeave()) openDialog((close) => html`<${Examples} close=${close} />`);
}

function Examples({ close }) {
  const [busy, setBusy] = useState("");
  const [error, setError] = useState("");
  const make = async (example) => {
    if (busy) return;
    setBusy(example.title);
    setError("");
    try {
      const made = await createAssistant({ model: modelOfNew(), ...example.body });
      await example.after?.(made).catch(complain);
      close();
      begin(example);
    } catch (problem) {
      setError(problem.message);
      setBusy("");
    }
  };
  return html`<${Dialog} title=${t("New assistant")} close=${close}>
    <p class="hint">${t("Begin with one of these. Everything in it can be changed.")}</p>
    ${error && html`<p class="error" role="alert">${error}</p>`}
    <ul class="example-list">
      ${examples().map(
        (each) => html`<li key=${each.title}>
          <button type="button" disabled=${Boolean(busy)} aria-busy=${busy === each.title} onClick=${() => make(each)}>
            <${Icon} name=${each.icon} /><span><strong>${each.title}</strong><span class="hint">${each.told}</span></span>
          </button>
        </li>`,
      )}
    </ul>
  <//>`;
}

/** Puts the example's first message where one writes, unless something is written there; a narrow page shows it. */
function begin({ title, ask, demo }) {
  notice(ask ? t("“{title}” is ready. Its first message is written for you: send it.", { title }) : t("“{title}” is ready.", { title }), { seconds: 6 });
  if (ask && !isWide()) showPanel("");
  if (ask && !written.value.trim()) write(settings.demo && demo ? `${ask}\n${demo}` : ask);
}
