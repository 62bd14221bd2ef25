// Programs in Python, with the official package `openai`.

import { namer, parametersOf, python, quoted } from "./literals.js";

const KEYWORDS =
  `False None True __debug__ and as assert async await break class continue def del elif else except finally for
   from global if import in is lambda nonlocal not or pass raise return try while with yield`.split(/\s+/);
const OURS =
  `FUNCTIONS OpenAI Exception SystemExit RuntimeError answer answers assistant assistant_id call client dict
   event input json list message messages os part print run said show str thread thread_id warnings`.split(/\s+/);
const TYPES = { string: "str", integer: "int", number: "float", boolean: "bool", array: "list", object: "dict" };
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

export function pythonProgram(plan, { streams }) {
  const waits = plan.functions.length > 0 || plan.asksLeave;
  return [
    opening(plan),
    plan.functions.length && functionsOf(plan),
    waits && answersOf(plan),
    streams && show(),
    assistantOf(plan),
    threadOf(plan),
    `messages = ${python(plan.messages)}`,
    streams ? streamed(waits) : polled(waits),
  ]
    .filter(Boolean)
    .join("\n\n")
    .concat("\n");
}

function opening({ baseUrl, needsToken, functions }) {
  const key = needsToken ? `os.environ["HOLDFAST_TOKEN"]` : `"none"`;
  return `# pip install openai
${needsToken ? "# export HOLDFAST_TOKEN=<an API token of this server>\n" : ""}${functions.length ? "import json\n" : ""}${needsToken ? "import os\n" : ""}import warnings

from openai import OpenAI

# The package says that OpenAI retires its own Assistants API; this server keeps it.
warnings.filterwarnings("ignore", category=DeprecationWarning)

client = OpenAI(base_url=${quoted(baseUrl)}, api_key=${key})`;
}

function functionsOf({ functions }) {
  const nameOf = namer([...KEYWORDS, ...OURS]);
  const known = functions.map((definition) => ({ definition, name: nameOf(definition.name) }));
  const table = known.map(({ definition, name }) => `    ${quoted(definition.name)}: ${name},\n`).join("");
  return `
${known.map(stub).join("\n\n\n")}


FUNCTIONS = {
${table}}


def answer(call):
    """The output of a function that the model calls; if it fails, the model is told why and may try again."""
    try:
        output = FUNCTIONS[call.function.name](**json.loads(call.function.arguments or "{}"))
    except Exception as error:
        output = {"error": str(error)}
    return {"tool_call_id": call.id, "output": json.dumps(output, ensure_ascii=False)}
`;
}

function stub({ definition, name }) {
  const parameters = parametersOf(definition);
  const isPlain = parameters.every((each) => NAME.test(each.name) && !KEYWORDS.includes(each.name));
  const given = parameters.map((each) => {
    const type = TYPES[each.type];
    if (each.isRequired) return type ? `${each.name}: ${type}` : each.name;
    return type ? `${each.name}: ${type} = None` : `${each.name}=None`;
  });
  const signature = !isPlain ? "**arguments" : given.length ? `*, ${given.join(", ")}` : "";
  const said = definition.description ? `    ${documentation(definition.description)}\n` : "";
  const echoed = !isPlain ? "arguments" : `{${parameters.map((each) => `${quoted(each.name)}: ${each.name}`).join(", ")}}`;
  return `def ${name}(${signature}):
${said}    return {"result": "what your program finds out", "arguments": ${echoed}}`;
}

/** A text as people write it at the head of a function, if nothing in it needs an escape. */
function documentation(text) {
  const made = quoted(text);
  return made === `"${text}"` ? `""${made}""` : made;
}

function answersOf({ functions, asksLeave }) {
  const outputs = functions.length ? "[answer(call) for call in run.required_action.submit_tool_outputs.tool_calls]" : "[]";
  if (!asksLeave) {
    return `
def answers(run):
    """What the run waits for."""
    return {"tool_outputs": ${outputs}}
`;
  }
  return `
def answers(run):
    """What the run waits for: outputs of functions, and leave to call tools of other servers."""
    asked = run.required_action.model_dump().get("submit_tool_approval") or {"tool_calls": []}
    approvals = [
        {"tool_call_id": call["id"], "approve": input(f"{call['name']} {call['arguments']}? yes or no: ") == "yes"}
        for call in asked["tool_calls"]
    ]
    outputs = ${outputs}
    return {"tool_outputs": outputs, **({"extra_body": {"tool_approvals": approvals}} if approvals else {})}
`;
}

function show() {
  return `
def show(stream):
    """Prints the words of a run as they come; returns the run as it rests."""
    run = None
    for event in stream:
        if event.event == "thread.message.delta":
            for part in event.data.delta.content or []:
                if part.type == "text" and part.text and part.text.value:
                    print(part.text.value, end="", flush=True)
        elif event.event == "error":
            raise SystemExit(event.data.message)
        elif event.event.startswith("thread.run.") and not event.event.startswith("thread.run.step."):
            run = event.data
    print()
    return run
`;
}

function assistantOf({ assistant }) {
  if (assistant.id) return `assistant_id = ${quoted(assistant.id)}`;
  // The package has a parameter of this name, which is put into the body as it is.
  const { extra_body: extra, ...fields } = assistant.fields;
  const given = Object.entries(extra ? { ...fields, extra_body: { extra_body: extra } } : fields);
  const lines = given.map(([name, value]) => `    ${name}=${python(value, "    ")},\n`).join("");
  return `assistant = client.beta.assistants.create(\n${lines})\nassistant_id = assistant.id`;
}

function threadOf({ threadId }) {
  return threadId ? `thread_id = ${quoted(threadId)}` : "thread_id = client.beta.threads.create().id";
}

const ENDING = `    if run.status != "completed":
        raise SystemExit(f"The run is {run.status}. {run.last_error.message if run.last_error else ''}")`;

function polled(waits) {
  const answering = `    while run.status == "requires_action":
        run = client.beta.threads.runs.submit_tool_outputs_and_poll(run_id=run.id, thread_id=thread_id, **answers(run))\n`;
  return `for message in messages:
    client.beta.threads.messages.create(thread_id, **message)
    run = client.beta.threads.runs.create_and_poll(thread_id=thread_id, assistant_id=assistant_id)
${waits ? answering : ""}${ENDING}
    for said in client.beta.threads.messages.list(thread_id, run_id=run.id, order="asc"):
        for part in said.content:
            if part.type == "text":
                print(part.text.value)`;
}

function streamed(waits) {
  const answering = `    while run.status == "requires_action":
        run = show(
            client.beta.threads.runs.submit_tool_outputs(run.id, thread_id=thread_id, stream=True, **answers(run))
        )\n`;
  return `for message in messages:
    client.beta.threads.messages.create(thread_id, **message)
    run = show(client.beta.threads.runs.create(thread_id, assistant_id=assistant_id, stream=True))
${waits ? answering : ""}${ENDING}`;
}
