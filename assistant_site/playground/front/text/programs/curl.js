// A script for bash, with curl. Bodies stand in quoted here-documents: nothing in them is special, however long they are.

import { json, shellWord } from "./literals.js";

export function curlScript(plan) {
  const waits = plan.functions.length > 0;
  return [
    opening(plan),
    waits && ASKING,
    assistantOf(plan),
    plan.threadId ? `thread=${shellWord(plan.threadId)}` : `thread=$(echo '{}' | post /threads | id_of)`,
    ...plan.messages.map((message) => turn(message, waits)),
  ]
    .filter(Boolean)
    .join("\n\n")
    .concat("\n");
}

function opening({ baseUrl, needsToken, asksLeave }) {
  return `#!/usr/bin/env bash
${needsToken ? "# export HOLDFAST_TOKEN=<an API token of this server>\n" : ""}${asksLeave ? "# Calls that wait for approval are not answered here; the programs in Python and for Node do that.\n" : ""}set -euo pipefail

base=${shellWord(baseUrl)}

# Sends the JSON on standard input to a path of the API; shows the answer as it comes.
post() {
  curl -sS -N --fail-with-body "$base$1" \\
${needsToken ? `    -H "Authorization: Bearer $HOLDFAST_TOKEN" \\\n` : ""}    -H 'OpenAI-Beta: assistants=v2' \\
    -H 'Content-Type: application/json' \\
    --data-binary @-
}

# The id of the object on standard input.
id_of() { sed -n 's/^{"id": *"\\([^"]*\\)".*/\\1/p'; }

answer=$(mktemp)
trap 'rm -f "$answer"' EXIT`;
}

const ASKING = `# Runs the assistant on the thread; answers each function that it calls with the same words, until the run rests.
run() {
  local body path waiting calls call outputs
  body='{"assistant_id": "'$assistant'", "stream": true}'
  path=/threads/$thread/runs
  while :; do
    printf '%s' "$body" | post "$path" | tee "$answer"
    waiting=$(grep -A3 '^event: thread.run.requires_action' "$answer" || true)
    calls=$(grep -o '{"id": *"[^"]*", *"type": *"function"' <<<"$waiting" | cut -d'"' -f4 || true)
    [ -n "$calls" ] || break
    outputs=''
    for call in $calls; do
      outputs+="\${outputs:+, }{\\"tool_call_id\\": \\"$call\\", \\"output\\": \\"what your program finds out\\"}"
    done
    body="{\\"tool_outputs\\": [$outputs], \\"stream\\": true}"
    path=/threads/$thread/runs/$(sed -n 's/^data: {"id": *"\\([^"]*\\)".*/\\1/p' <<<"$waiting")/submit_tool_outputs
  done
}`;

function assistantOf({ assistant }) {
  if (assistant.id) return `assistant=${shellWord(assistant.id)}`;
  return `post /assistants <<'JSON' | tee "$answer"\n${json(assistant.fields)}\nJSON\necho\nassistant=$(id_of <"$answer")`;
}

function turn(message, waits) {
  const said = `post "/threads/$thread/messages" <<'JSON'\n${json(message)}\nJSON\necho`;
  const body = `{"assistant_id": "$assistant", "stream": true}`;
  return `${said}\n${waits ? "run" : `post "/threads/$thread/runs" <<JSON\n${body}\nJSON`}`;
}
