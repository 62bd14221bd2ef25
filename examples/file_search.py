"""Retrieval: a question about files, answered with citations."""

import os

from openai import OpenAI

MODEL = os.environ.get("HOLDFAST_MODEL", "demo")
QUESTION = "What does a boat cost?"
HANDBOOK = b"""# Handbook

The lighthouse of Port Marlo is painted green. Its keeper is called Ida.

Boats are rented out from May to September, for 12 euros an hour.
"""

client = OpenAI()

store = client.vector_stores.create(name="Handbook")
file = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("handbook.md", HANDBOOK))
print("file:", file.status)

assistant = client.beta.assistants.create(
    model=MODEL,
    instructions="Answer from the files.",
    tools=[{"type": "file_search"}],  # its older name, `retrieval`, does too
    tool_resources={"file_search": {"vector_store_ids": [store.id]}},
)
thread = client.beta.threads.create(messages=[{"role": "user", "content": QUESTION}])
run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)

print("status:", run.status)
for block in client.beta.threads.messages.list(thread_id=thread.id).data[0].content:
    if block.type == "text":
        print(block.text.value)
        for note in block.text.annotations:
            if note.type == "file_citation":
                print(note.text, "is", client.files.retrieve(note.file_citation.file_id).filename)
