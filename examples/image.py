"""An image in a message, for a model that sees."""

import os
from pathlib import Path

from openai import OpenAI

MODEL = os.environ.get("HOLDFAST_MODEL", "demo")
QUESTION = "What is in this picture?"  # the demo model does not see, and only counts pictures
PICTURE = Path(__file__).with_name("lighthouse.png")

client = OpenAI()

picture = client.files.create(file=PICTURE, purpose="vision")
assistant = client.beta.assistants.create(model=MODEL)
thread = client.beta.threads.create(
    messages=[
        {
            "role": "user",
            "content": [
                {"type": "text", "text": QUESTION},
                # Or an address: {"type": "image_url", "image_url": {"url": "https://…"}}
                {"type": "image_file", "image_file": {"file_id": picture.id, "detail": "low"}},
            ],
        }
    ]
)
run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)

print("status:", run.status)
for block in client.beta.threads.messages.list(thread_id=thread.id).data[0].content:
    if block.type == "text":
        print(block.text.value)
