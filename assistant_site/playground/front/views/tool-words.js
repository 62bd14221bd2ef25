// A tool call in words: which kind of tool it is of, what it does, how it stands.

import { t } from "../core/i18n.js";
import { assistants } from "../state/assistants.js";
import { run } from "../state/conversation.js";

const ICONS = { code: "code", files: "search", web: "language", mcp: "tool", action: "send", function: "tool" };
const REFUSED = "This call was not approved by the user"; // what the model is told of a call that nobody allowed
const TRACEBACK = "Traceback (most recent call last)";
const MOST = 120; // characters of a preview

/** A text parsed as JSON; undefined if it is none. */
export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The tools that a step's run has; of older runs, those that its assistant has now. */
function toolsOf(step) {
  if (run.value?.id === step.run_id) return run.value.tools;
  return assistants.value.find((each) => each.id === step.assistant_id)?.tools ?? [];
}

/** `{kind, icon, name, server}` of a call. Tools of this server stand in steps as functions that have their output. */
export function kindOf(step, call) {
  const made = (kind, name = "", server = "") => ({ kind, icon: ICONS[kind], name, server });
  if (call.type === "code_interpreter") return made("code");
  if (call.type === "file_search") return made("files");
  const name = call.function?.name ?? call.type;
  const tools = toolsOf(step);
  if (tools.some((tool) => tool.type === "function" && tool.function.name === name)) return made("function", name);
  if (name.startsWith("web_search") && tools.some((tool) => tool.type.startsWith("web_search"))) return made("web");
  const server = tools.find((tool) => tool.type === "mcp" && name.startsWith(`${tool.server_label}_`));
  if (server) return made("mcp", name.slice(server.server_label.length + 1), server.server_label);
  return made(tools.some((tool) => tool.type === "action") ? "action" : "function", name);
}

/** "working", "waiting" (for the caller), "done", "refused" (by the caller), "failed" or "stopped". */
export function stateOf(step, call) {
  if (call.function?.output?.startsWith(REFUSED) && kindOf(step, call).kind === "mcp") return "refused";
  if (isAnswered(call) || step.status === "completed") return hasFailed(call) ? "failed" : "done";
  if (step.status === "failed") return "failed";
  if (step.status !== "in_progress") return "stopped";
  const asked = run.value?.id === step.run_id ? run.value.required_action : null;
  const pending = [asked?.submit_tool_outputs, asked?.submit_tool_approval].flatMap((each) => each?.tool_calls ?? []);
  return pending.some((each) => each.id === call.id) ? "waiting" : "working";
}

function isAnswered(call) {
  if (call.type === "code_interpreter") return call.code_interpreter?.outputs?.length > 0;
  if (call.type === "file_search") return call.file_search?.results?.length > 0;
  return typeof call.function?.output === "string";
}

/** Code says by its traceback that it failed; other tools only tell the model. */
const hasFailed = (call) =>
  (call.code_interpreter?.outputs ?? []).some((output) => output?.type === "logs" && output.logs?.includes(TRACEBACK));

/** What a call does, or did. */
export function sentenceOf({ kind, name, server }, state) {
  const isWorking = state === "working";
  if (kind === "mcp") return sentenceOfServer({ name, server }, state);
  if (kind === "code") return isWorking ? t("Running Python …") : t("Ran Python");
  if (kind === "files") return isWorking ? t("Searching the files …") : t("Searched the files");
  if (kind === "web") return isWorking ? t("Searching the web …") : t("Searched the web");
  if (state === "waiting") return t("Wants to call {name}", { name });
  if (kind === "action") return isWorking ? t("Asking {name} …", { name }) : t("Asked {name}", { name });
  return isWorking ? t("Calling {name} …", { name }) : t("Called {name}", { name });
}

function sentenceOfServer(names, state) {
  if (state === "waiting") return t("Wants to call {name} of {server}", names);
  if (state === "refused") return t("Was not allowed to call {name} of {server}", names);
  return state === "working" ? t("Calling {name} of {server} …", names) : t("Called {name} of {server}", names);
}

export const stateWord = (state) =>
  ({
    working: t("At work"),
    waiting: t("Waits for you"),
    done: t("Done"),
    refused: t("Refused"),
    failed: t("Failed"),
    stopped: t("Stopped"),
  })[state];

/** A few words of what a call is about. */
export function previewOf({ kind }, call) {
  if (kind === "code") return firstLine(call.code_interpreter?.input ?? "");
  if (kind === "files") {
    const n = call.file_search?.results?.length ?? 0;
    return n ? t("One passage | {n} passages", { n }) : "";
  }
  const given = parsed(call.function?.arguments || "{}");
  if (kind === "web" && given) return String(given.query ?? given.queries ?? "").slice(0, MOST);
  if (!given || typeof given !== "object") return (call.function?.arguments ?? "").slice(0, MOST);
  return Object.entries(given)
    .map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(", ")
    .slice(0, MOST);
}

/** The first line that says what the code does. */
function firstLine(code) {
  const telling = code.split("\n").find((line) => line.trim() && !/^\s*(#|import |from )/.test(line));
  return (telling ?? code).trim().slice(0, MOST);
}
