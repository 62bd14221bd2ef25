"""An action and a function in one turn: the server carries out the action, the run stops for the function only."""

import json
import os
from typing import Any

from openai import OpenAI

MODEL = os.environ.get("HOLDFAST_MODEL", "demo")
SERVICE = os.environ.get("WEATHER_URL", "https://api.open-meteo.com")
# The lines `call:` are for the demo model. A real model decides by itself.
QUESTION = """Is it warm enough in Lisbon for what I have planned today?
call:getForecast {"latitude": 38.7, "longitude": -9.1, "current": "temperature_2m"}
call:get_plans {}"""

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

[forecast] = client.post("/actions", body={"openapi_schema": DOCUMENT}, cast_to=list[dict[str, Any]])
tools: list[Any] = [
    {"type": "action", "id": forecast["id"]},
    {"type": "function", "function": {"name": "get_plans", "description": "What the user has planned today"}},
]
assistant = client.beta.assistants.create(model=MODEL, tools=tools)
thread = client.beta.threads.create(messages=[{"role": "user", "content": QUESTION}])
run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)

while run.required_action:
    calls = run.required_action.submit_tool_outputs.tool_calls
    print("asked of this program:", ", ".join(call.function.name for call in calls))
    run = client.beta.threads.runs.submit_tool_outputs_and_poll(
        thread_id=thread.id,
        run_id=run.id,
        tool_outputs=[{"tool_call_id": call.id, "output": json.dumps(["a swim", "a walk"])} for call in calls],
    )

print("status:", run.status)
for step in client.beta.threads.runs.steps.list(thread_id=thread.id, run_id=run.id, order="asc"):
    if step.step_details.type == "tool_calls":
        for done in step.step_details.tool_calls:
            if done.type == "function":  # calls of actions, web search and MCP stand in steps as functions, too
                print(f"{done.function.name}: {done.function.output}")
for block in client.beta.threads.messages.list(thread_id=thread.id).data[0].content:
    if block.type == "text":
        print(block.text.value)
