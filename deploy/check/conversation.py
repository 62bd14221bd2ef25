"""`python conversation.py BASE_URL TOKEN`: with the official SDK and the demo model, through every process.

Web and worker stream an answer, ingestion reads a file that is then found and cited, the sandbox computes.
"""

import sys

from openai import OpenAI

client = OpenAI(base_url=sys.argv[1], api_key=sys.argv[2], timeout=120)


def answered(question: str, **options: object) -> tuple[str, int]:
    """The answer's text, and how many annotations it has."""
    assistant = client.beta.assistants.create(model="demo", **options)  # type: ignore[arg-type]
    thread = client.beta.threads.create(messages=[{"role": "user", "content": question}])
    with client.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream:
        pieces = sum(1 for event in stream if event.event == "thread.message.delta")
    run = client.beta.threads.runs.list(thread.id).data[0]
    assert run.status == "completed", (run.status, run.last_error)
    assert pieces > 1, f"the answer came in {pieces} piece(s)"
    content = client.beta.threads.messages.list(thread.id).data[0].content[-1]
    assert content.type == "text"
    return content.text.value, len(content.text.annotations)


text, _ = answered("Are you there?")
assert "Are you there?" in text, text

store = client.vector_stores.create(name="Handbook")
boats = b"# Handbook\n\nBoats are rented out from May to September, for 12 euros an hour."
added = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("handbook.md", boats))
assert added.status == "completed", added
text, citations = answered(
    "What does a boat cost?",
    tools=[{"type": "file_search"}],
    tool_resources={"file_search": {"vector_store_ids": [store.id]}},
)
assert "12 euros" in text, text
assert citations, text

text, _ = answered(
    'call:code_interpreter {"code": "import pandas\\nprint(pandas.Series([20, 22]).sum())"}',
    tools=[{"type": "code_interpreter"}],
)
assert "42" in text, text
