// Programs that do what the open conversation does. Pure: takes a plan, gives texts.

import { curlScript } from "./programs/curl.js";
import { nodeProgram } from "./programs/node.js";
import { pythonProgram } from "./programs/python.js";

const DEFAULTS = { temperature: 1, top_p: 1, response_format: "auto" };
const FIELDS = [
  "model", "name", "description", "instructions", "tools", "tool_resources", "metadata", "temperature", "top_p",
  "reasoning_effort", "response_format", "extra_body",
];

/** What a caller must give to make such an assistant: its fields but for those that are as they would be anyway. */
export function fieldsOf(assistant) {
  const isSaid = ([name, value]) =>
    value !== null && value !== undefined && value !== "" && value !== DEFAULTS[name] &&
    !(typeof value === "object" && Object.keys(value).length === 0);
  return Object.fromEntries(FIELDS.map((name) => [name, assistant[name]]).filter(isSaid));
}

/** A user's message of a thread as a caller sends it. */
export function asSent(message) {
  const parts = message.content.map((part) =>
    part.type === "text" ? { type: "text", text: part.text.value ?? part.text } : { type: part.type, [part.type]: known(part[part.type]) },
  );
  const content = parts.length === 1 && parts[0].type === "text" ? parts[0].text : parts;
  const attachments = (message.attachments ?? []).map(({ file_id, tools }) => known({ file_id, tools }));
  return { role: "user", content, ...(attachments.length ? { attachments } : {}) };
}

const known = (object) => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null && value !== undefined));

/**
 * What the programs are made from. `assistant`: as the API has it; `makes`: whether the program makes its own;
 * `threadId`: of the thread to go on with, or nothing; `messages`: as a caller sends them.
 */
export function planOf({ baseUrl, needsToken, assistant, makes, threadId, messages }) {
  return {
    baseUrl,
    needsToken,
    assistant: makes || !assistant.id ? { fields: fieldsOf(assistant) } : { id: assistant.id },
    functions: (assistant.tools ?? []).filter((tool) => tool.type === "function").map((tool) => tool.function),
    asksLeave: (assistant.tools ?? []).some((tool) => tool.type === "mcp"),
    threadId,
    messages,
  };
}

/** The text of each program, by its id. */
export function programs(plan) {
  return {
    python: pythonProgram(plan, { streams: false }),
    streamed: pythonProgram(plan, { streams: true }),
    node: nodeProgram(plan),
    curl: curlScript(plan),
  };
}
