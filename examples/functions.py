"""Functions of your own: the run stops for them, the program answers, the run goes on."""

import json
import os

from openai import OpenAI
from openai.types.beta import FunctionToolParam

MODEL = os.environ.get("HOLDFAST_MODEL", "demo")
# The demo model calls what the lines `call:` say. A real model decides by itself: the first line is enough.
QUESTION = """How warm is it in Lisbon and in Oslo?
call:get_weather {"city": "Lisbon"}
call:get_weather {"city": "Oslo"}"""


def get_weather(city: str) -> dict[str, object]:
    return {"city": city, "celsius": {"Lisbon": 21, "Oslo": 4}.get(city)}


WEATHER: FunctionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

client = OpenAI()

assistant = client.beta.assistants.create(model=MODEL, tools=[WEATHER])
thread = client.beta.threads.create(messages=[{"role": "user", "content": QUESTION}])
run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)

while run.required_action:
    calls = run.required_action.submit_tool_outputs.tool_calls
    for call in calls:
        print(f"{call.function.name}({call.function.arguments})")
    run = client.beta.threads.runs.submit_tool_outputs_and_poll(
        thread_id=thread.id,
        run_id=run.id,
        tool_outputs=[
            {"tool_call_id": call.id, "output": json.dumps(get_weather(**json.loads(call.function.arguments)))}
            for call in calls
        ],
    )

print("status:", run.status)
for block in client.beta.threads.messages.list(thread_id=thread.id).data[0].content:
    if block.type == "text":
        print(block.text.value)
