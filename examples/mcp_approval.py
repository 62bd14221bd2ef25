"""Tools of an MCP server; what is not known to be harmless waits for a yes.

First, in another terminal, start a server: `.venv/bin/python examples/mcp_shop.py`. It is on this machine, which
Holdfast does not reach by itself: start Holdfast with `FETCH_ALLOWED_HOSTS=localhost make run`.
"""

import os
from typing import Any

from openai import OpenAI

MODEL = os.environ.get("HOLDFAST_MODEL", "demo")
SERVER = os.environ.get("MCP_SERVER_URL", "http://localhost:8765/mcp")
# The lines `call:` and `then:` are for the demo model. A real model decides by itself.
QUESTION = """Find me a red lamp, and buy it.
call:shop_search {"text": "lamp"}
then:
call:shop_buy {"item": 7}"""

client = OpenAI()

tools: list[Any] = [
    {
        "type": "mcp",
        "server_label": "shop",
        "server_url": SERVER,
        "require_approval": {"never": {"tool_names": ["search"]}},
    }
]
assistant = client.beta.assistants.create(model=MODEL, tools=tools)
thread = client.beta.threads.create(messages=[{"role": "user", "content": QUESTION}])
run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)

while run.required_action:
    asked = run.required_action.model_dump()["submit_tool_approval"]["tool_calls"]
    answers = [
        {"tool_call_id": call["id"], "approve": input(f"{call['name']} {call['arguments']}? (yes/no) ") == "yes"}
        for call in asked
    ]
    run = client.beta.threads.runs.submit_tool_outputs_and_poll(
        thread_id=thread.id, run_id=run.id, tool_outputs=[], extra_body={"tool_approvals": answers}
    )

print("status:", run.status)
for block in client.beta.threads.messages.list(thread_id=thread.id).data[0].content:
    if block.type == "text":
        print(block.text.value)
