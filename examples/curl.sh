#!/bin/sh
# The API by hand, with curl and jq: an assistant, a thread, a run that is waited for, and one that is streamed.
set -eu

model=${HOLDFAST_MODEL:-demo}

ask() { # ask METHOD PATH [BODY]
    curl --silent --show-error --fail-with-body -X "$1" "$OPENAI_BASE_URL/$2" \
        -H "Authorization: Bearer $OPENAI_API_KEY" -H 'Content-Type: application/json' -H 'OpenAI-Beta: assistants=v2' \
        ${3:+-d "$3"}
}

assistant=$(ask POST assistants "{\"model\": \"$model\", \"name\": \"Guide\"}" | jq -r .id)
thread=$(ask POST threads '{"messages": [{"role": "user", "content": "Hello, who are you?"}]}' | jq -r .id)
run=$(ask POST "threads/$thread/runs" "{\"assistant_id\": \"$assistant\"}" | jq -r .id)

while status=$(ask GET "threads/$thread/runs/$run" | jq -r .status); do
    case $status in queued | in_progress) sleep 0.2 ;; *) break ;; esac
done
echo "status: $status"
ask GET "threads/$thread/messages?limit=1" | jq -r '.data[0].content[0].text.value'

echo "--- streamed:"
ask POST "threads/$thread/messages" '{"role": "user", "content": "And again?"}' >/dev/null
ask POST "threads/$thread/runs" "{\"assistant_id\": \"$assistant\", \"stream\": true}" | grep '^event: ' | uniq
