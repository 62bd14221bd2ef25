"""An action whose credentials come with the run: one assistant, and each user's own token."""

import os
from typing import Any

from openai import OpenAI

MODEL = os.environ.get("HOLDFAST_MODEL", "demo")
SERVICE = os.environ.get("BEARER_URL", "https://httpbin.org")  # /bearer answers 401 without a token
USERS_TOKEN = "a-token-of-the-user"
# The line `call:` is for the demo model. A real model decides by itself.
QUESTION = """Am I signed in?
call:getBearer"""

DOCUMENT = {
    "openapi": "3.0.0",
    "info": {"title": "Bearer", "version": "1.0.0"},
    "servers": [{"url": SERVICE}],
    "paths": {
        "/bearer": {
            "get": {
                "operationId": "getBearer",
                "summary": "Says whether the user is signed in",
                "responses": {"200": {"description": "Signed in"}, "401": {"description": "Not signed in"}},
            }
        }
    },
}

client = OpenAI()

# With `"authentication": {"type": "bearer", "secret": …}` beside it, the credentials would be kept with the action.
[action] = client.post("/actions", body={"openapi_schema": DOCUMENT}, cast_to=list[dict[str, Any]])

tools: list[Any] = [{"type": "action", "id": action["id"]}]
assistant = client.beta.assistants.create(model=MODEL, tools=tools)
thread = client.beta.threads.create(messages=[{"role": "user", "content": QUESTION}])
run = client.beta.threads.runs.create_and_poll(
    thread_id=thread.id,
    assistant_id=assistant.id,
    # Twice: the outer one is the SDK's argument, the inner one is a field of the request.
    extra_body={
        "extra_body": {"action_authentications": {action["id"]: {"type": "bearer", "secret": USERS_TOKEN}}},
    },
)

# The service has seen the token. Neither the model nor the steps do: where an answer repeats it, it is masked.
print("status:", run.status)
for block in client.beta.threads.messages.list(thread_id=thread.id).data[0].content:
    if block.type == "text":
        print(block.text.value)
