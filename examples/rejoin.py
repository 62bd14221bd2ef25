"""A stream breaks off in the middle. The run goes on, and the program reads on where it was.

An extension: the SDKs have no method for it, so the events are read as they come over the line.
"""

import json
import os
from collections.abc import Iterator
from urllib.request import Request, urlopen

from openai import OpenAI

MODEL = os.environ.get("HOLDFAST_MODEL", "demo")
QUESTION = "Tell me something about lighthouses."

client = OpenAI()


def events(thread_id: str, run_id: str, after: int) -> Iterator[tuple[int, str, str]]:
    """Position, name and data of the run's events behind a position."""
    address = f"{client.base_url}threads/{thread_id}/runs/{run_id}/events"
    headers = {"Authorization": f"Bearer {client.api_key}", "Last-Event-ID": str(after)}
    position, name = after, ""
    with urlopen(Request(address, headers=headers), timeout=60) as answer:
        for line in map(bytes.decode, answer):
            field, _, value = line.rstrip("\n").partition(": ")
            if field == "id":
                position = int(value)
            elif field == "event":
                name = value
            elif field == "data" and name != "done":
                yield position, name, value


assistant = client.beta.assistants.create(model=MODEL)
run = client.beta.threads.create_and_run(
    assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": QUESTION}]}
)

position, said, name, readings = 0, "", "", 0
while name != "thread.run.completed":
    readings, heard = readings + 1, 0
    for at, event, data in events(run.thread_id, run.id, position):
        position, name = at, event
        if name == "thread.message.delta":
            said += json.loads(data)["delta"]["content"][0]["text"]["value"]
            heard += 1
            if heard == 5 and readings < 3:
                break  # as if the network had failed

print("readings:", readings)
[message] = client.beta.threads.messages.list(thread_id=run.thread_id, run_id=run.id).data
whole = "".join(block.text.value for block in message.content if block.type == "text")
print("complete:", said == whole)
print(said)
