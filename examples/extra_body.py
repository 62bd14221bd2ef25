"""Parameters for the model, on an assistant and on a run, which has the last word."""

import os

from openai import OpenAI

MODEL = os.environ.get("HOLDFAST_MODEL", "demo")
QUESTION = "Tell me a short story about a lighthouse."

client = OpenAI()

# Twice: the outer `extra_body` is the SDK's argument, the inner one is a field of the request.
assistant = client.beta.assistants.create(
    model=MODEL,
    extra_body={"extra_body": {"model_params": {"temperature": 0.2, "presence_penalty": 0.5, "max_tokens": 500}}},
)
thread = client.beta.threads.create(messages=[{"role": "user", "content": QUESTION}])

long = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
short = client.beta.threads.runs.create_and_poll(
    thread_id=thread.id,
    assistant_id=assistant.id,
    extra_body={"extra_body": {"model_params": {"max_tokens": 12}}},
)

for run in (long, short):
    print("status:", run.status, run.incomplete_details.reason if run.incomplete_details else "")
    for message in client.beta.threads.messages.list(thread_id=thread.id, run_id=run.id):
        for block in message.content:
            if block.type == "text":
                print(block.text.value)
