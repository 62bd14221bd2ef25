"""A run whose answer is printed as it is written."""

import os

from openai import OpenAI

MODEL = os.environ.get("HOLDFAST_MODEL", "demo")
QUESTION = "Tell me something about lighthouses."

client = OpenAI()

assistant = client.beta.assistants.create(model=MODEL, instructions="You are a friendly guide.")
thread = client.beta.threads.create(messages=[{"role": "user", "content": QUESTION}])

with client.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream:
    for event in stream:
        if event.event == "thread.message.delta":
            for block in event.data.delta.content or []:
                if block.type == "text" and block.text and block.text.value:
                    print(block.text.value, end="", flush=True)
        elif event.event == "thread.message.completed":
            print()
        elif event.event.startswith("thread.run."):
            print(f"[{event.event}]")
