"""An action: a service that an OpenAPI document describes, called by the server."""

import os
from typing import Any

from openai import OpenAI

MODEL = os.environ.get("HOLDFAST_MODEL", "demo")
# Free, without a key. A service in your own network needs its host in FETCH_ALLOWED_HOSTS (docs/configuration.md).
SERVICE = os.environ.get("WEATHER_URL", "https://api.open-meteo.com")
# The line `call:` is for the demo model. A real model decides by itself.
QUESTION = """How warm is it in Lisbon now?
call:getForecast {"latitude": 38.7, "longitude": -9.1, "current": "temperature_2m"}"""

DOCUMENT = {
    "openapi": "3.0.0",
    "info": {"title": "Weather", "version": "1.0.0"},
    "servers": [{"url": SERVICE}],
    "paths": {
        "/v1/forecast": {
            "get": {
                "operationId": "getForecast",
                "summary": "The weather at a place",
                "parameters": [
                    {"name": "latitude", "in": "query", "required": True, "schema": {"type": "number"}},
                    {"name": "longitude", "in": "query", "required": True, "schema": {"type": "number"}},
                    {"name": "current", "in": "query", "schema": {"type": "string", "enum": ["temperature_2m"]}},
                ],
                "responses": {"200": {"description": "The weather"}},
            }
        }
    },
}

client = OpenAI()

# `openapi_schema` may also be the document's text, or its address. Each operation becomes an action.
actions = client.post("/actions", body={"openapi_schema": DOCUMENT}, cast_to=list[dict[str, Any]])
print("actions:", ", ".join(action["name"] for action in actions))

tools: list[Any] = [{"type": "action", "id": action["id"]} for action in actions]
assistant = client.beta.assistants.create(model=MODEL, tools=tools)
thread = client.beta.threads.create(messages=[{"role": "user", "content": QUESTION}])
run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)

print("status:", run.status)
for block in client.beta.threads.messages.list(thread_id=thread.id).data[0].content:
    if block.type == "text":
        print(block.text.value)
