"""Web search. Where no search service is set up (docs/web-search.md), the model is told so, and the run goes on."""

import os
from typing import Any

from openai import OpenAI

MODEL = os.environ.get("HOLDFAST_MODEL", "demo")
# The line `call:` is for the demo model. A real model decides by itself, and writes its own query.
QUESTION = """What is Django?
call:web_search {"query": "Django web framework"}"""

client = OpenAI()

tools: list[Any] = [{"type": "web_search"}]  # the SDK's types do not know it
assistant = client.beta.assistants.create(model=MODEL, instructions="Answer with sources.", tools=tools)
thread = client.beta.threads.create(messages=[{"role": "user", "content": QUESTION}])
run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)

print("status:", run.status)
for block in client.beta.threads.messages.list(thread_id=thread.id).data[0].content:
    if block.type == "text":
        print(block.text.value)
        for note in block.text.annotations:
            cited: Any = note.model_dump()
            if cited["type"] == "url_citation":
                print(cited["text"], "is", cited["url_citation"]["url"])
