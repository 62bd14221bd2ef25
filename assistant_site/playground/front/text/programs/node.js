// A program for Node, with the official package `openai`.

import { javascript, namer, parametersOf, quoted } from "./literals.js";

const KEYWORDS =
  `arguments await break case catch class const continue debugger default delete do else enum eval export extends
   false finally for function if implements import in instanceof interface let new null package private protected
   public return static super switch this throw true try typeof var void while with yield`.split(/\s+/);
const OURS =
  `Error JSON OpenAI answer answers assistant assistantId call client console createInterface event functions
   messages message part process question run show stream threadId undefined`.split(/\s+/);
const NAME = /^[A-Za-z_$][\w$]*$/;

export function nodeProgram(plan) {
  const waits = plan.functions.length > 0 || plan.asksLeave;
  return [
    opening(plan),
    plan.functions.length && functionsOf(plan),
    waits && answersOf(plan),
    SHOW,
    assistantOf(plan),
    plan.threadId ? `const threadId = ${quoted(plan.threadId)};` : "const threadId = (await client.beta.threads.create()).id;",
    `const messages = ${javascript(plan.messages)};`,
    asking(waits),
  ]
    .filter(Boolean)
    .join("\n\n")
    .concat("\n");
}

function opening({ baseUrl, needsToken, asksLeave }) {
  const key = needsToken ? "process.env.HOLDFAST_TOKEN" : `"none"`;
  return `// npm install openai (version 5 or newer); save this as program.mjs
${needsToken ? "// export HOLDFAST_TOKEN=<an API token of this server>\n" : ""}${asksLeave ? `${imports("{ createInterface }", "node:readline/promises")}\n` : ""}${imports("OpenAI", "openai")}

const client = new OpenAI({ baseURL: ${quoted(baseUrl)}, apiKey: ${key} });`;
}

/** A line of the program, made so that nobody who reads this module takes it for an import of its own. */
const imports = (what, name) => `import ${what} from ${quoted(name)};`;

function functionsOf({ functions }) {
  const nameOf = namer([...KEYWORDS, ...OURS]);
  const known = functions.map((definition) => ({ definition, name: nameOf(definition.name) }));
  const table = known.map(({ definition, name }) => `  [${quoted(definition.name)}, ${name}],\n`).join("");
  return `${known.map(stub).join("\n\n")}

const functions = new Map([
${table}]);

/** The output of a function that the model calls; if it fails, the model is told why and may try again. */
async function answer(call) {
  let output;
  try {
    output = await functions.get(call.function.name)(JSON.parse(call.function.arguments || "{}"));
  } catch (error) {
    output = { error: error.message };
  }
  return { tool_call_id: call.id, output: JSON.stringify(output) };
}`;
}

function stub({ definition, name }) {
  const parameters = parametersOf(definition).map((each) => each.name);
  const isPlain = parameters.length > 0 && parameters.every((each) => NAME.test(each) && !KEYWORDS.includes(each));
  const comment = definition.description ? `  // ${quoted(definition.description).slice(1, -1)}\n` : "";
  return `async function ${name}(${isPlain ? `{ ${parameters.join(", ")} }` : "given"}) {
${comment}  return { result: "what your program finds out", arguments: ${isPlain ? `{ ${parameters.join(", ")} }` : "given"} };
}`;
}

function answersOf({ functions, asksLeave }) {
  const outputs = functions.length
    ? "await Promise.all(run.required_action.submit_tool_outputs.tool_calls.map(answer))"
    : "[]";
  if (!asksLeave) {
    return `/** What the run waits for. */
async function answers(run) {
  return { tool_outputs: ${outputs} };
}`;
  }
  return `/** What the run waits for: outputs of functions, and leave to call tools of other servers. */
async function answers(run) {
  const approvals = [];
  for (const call of run.required_action.submit_tool_approval?.tool_calls ?? []) {
    const question = createInterface({ input: process.stdin, output: process.stdout });
    const approve = (await question.question(\`\${call.name} \${call.arguments}? yes or no: \`)) === "yes";
    question.close();
    approvals.push({ tool_call_id: call.id, approve });
  }
  const outputs = ${outputs};
  return { tool_outputs: outputs, ...(approvals.length ? { tool_approvals: approvals } : {}) };
}`;
}

const SHOW = `/** Prints the words of a run as they come; returns the run as it rests. */
async function show(stream) {
  let run = null;
  for await (const { event, data } of stream) {
    if (event === "thread.message.delta") {
      for (const part of data.delta.content ?? []) process.stdout.write(part.text?.value ?? "");
    } else if (event === "error") {
      throw new Error(data.message);
    } else if (event.startsWith("thread.run.") && !event.startsWith("thread.run.step.")) {
      run = data;
    }
  }
  console.log();
  return run;
}`;

function assistantOf({ assistant }) {
  if (assistant.id) return `const assistantId = ${quoted(assistant.id)};`;
  return `const assistant = await client.beta.assistants.create(${javascript(assistant.fields)});\nconst assistantId = assistant.id;`;
}

function asking(waits) {
  const answering = `  while (run.status === "requires_action") {
    const given = { thread_id: threadId, stream: true, ...(await answers(run)) };
    run = await show(await client.beta.threads.runs.submitToolOutputs(run.id, given));
  }\n`;
  return `for (const message of messages) {
  await client.beta.threads.messages.create(threadId, message);
  ${waits ? "let" : "const"} run = await show(
    await client.beta.threads.runs.create(threadId, { assistant_id: assistantId, stream: true }),
  );
${waits ? answering : ""}  if (run.status !== "completed") throw new Error(\`The run is \${run.status}. \${run.last_error?.message ?? ""}\`);
}`;
}
