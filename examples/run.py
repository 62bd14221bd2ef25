"""A run that is waited for."""

import os

from openai import OpenAI

MODEL = os.environ.get("HOLDFAST_MODEL", "demo")
QUESTION = "Hello, who are you?"

client = OpenAI()  # reads OPENAI_BASE_URL and OPENAI_API_KEY

assistant = client.beta.assistants.create(model=MODEL, instructions="You are a friendly guide.")
thread = client.beta.threads.create(messages=[{"role": "user", "content": QUESTION}])
run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
print("status:", run.status)

for message in client.beta.threads.messages.list(thread_id=thread.id, order="asc"):
    for block in message.content:
        if block.type == "text":
            print(f"{message.role}: {block.text.value}")
