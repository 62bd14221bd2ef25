"""A run is stopped while it speaks. What it has said stays in the thread."""

import os

from openai import OpenAI

MODEL = os.environ.get("HOLDFAST_MODEL", "demo")
QUESTION = "Count the waves for me. " * 40  # the demo model quotes it, a hundred words a second

client = OpenAI()

assistant = client.beta.assistants.create(model=MODEL)
thread = client.beta.threads.create(messages=[{"role": "user", "content": QUESTION}])

run_id, pieces = "", 0
for event in client.beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id, stream=True):
    if event.event == "thread.run.created":
        run_id = event.data.id
    elif event.event == "thread.message.delta":
        pieces += 1
        if pieces == 5:
            client.beta.threads.runs.cancel(run_id, thread_id=thread.id)
    elif event.event.startswith("thread.run.c"):
        print(f"[{event.event}]")

run = client.beta.threads.runs.retrieve(run_id, thread_id=thread.id)
message = client.beta.threads.messages.list(thread_id=thread.id, run_id=run_id).data[0]
print("run:", run.status)
print("message:", message.status)
for block in message.content:
    if block.type == "text":
        print(block.text.value)
