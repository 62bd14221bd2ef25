"""How much of a thread a run is shown: all, a window of messages, or the last message only."""

import os
from typing import Any

from openai import OpenAI

MODEL = os.environ.get("HOLDFAST_MODEL", "demo")
FACTS = ["My name is Ada.", "I live in Lisbon.", "I keep bees.", "My boat is called Grace."]
QUESTION = "What do you know about me?"
MEMORIES: list[Any] = [  # objects, though the SDK's types want strings in metadata
    {"type": "naive"},
    {"type": "window", "window_size": 2, "max_token_size": 4000},
    {"type": "zero"},
]

client = OpenAI()

for memory in MEMORIES:
    assistant = client.beta.assistants.create(model=MODEL, metadata={"memory": memory})
    thread = client.beta.threads.create(messages=[{"role": "user", "content": fact} for fact in [*FACTS, QUESTION]])
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
    shown = run.usage.prompt_tokens if run.usage else "?"
    print(f"{memory['type']}: {run.status}, the model was shown {shown} tokens")
    for block in client.beta.threads.messages.list(thread_id=thread.id).data[0].content:
        if block.type == "text":
            print("   ", block.text.value)
