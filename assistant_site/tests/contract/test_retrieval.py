"""Retrieval through the official SDK: a hundred files of all types, three languages, citations that hold."""

import json
from typing import Any

import openai
import pytest
from openai import AssistantEventHandler

from assistant_site.llm.tests.quirk_server import Answer, QuirkServer, Request, called, said
from assistant_site.tests.callers import LiveCaller
from assistant_site.tests.contract import library

pytestmark = [pytest.mark.contract, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


class Listener(AssistantEventHandler):
    """What a program learns of an answer from the helpers' events alone."""

    def __init__(self) -> None:
        super().__init__()
        self.text: Any = None
        self.deltas: list[Any] = []

    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.deltas.append(delta.to_dict())

    def on_text_done(self, text: Any) -> None:
        self.text = text


def model(request: Request) -> Answer:
    """Searches for the question itself; then quotes the passage that answers it and another one.

    It writes three characters at a time, so that every marker is cut, and makes one marker up.
    """
    last = request.body["messages"][-1]
    if last["role"] == "user":
        return called(("file_search", json.dumps({"queries": [last["content"]]}, ensure_ascii=False)))
    asked = next(m["content"] for m in request.body["messages"] if m["role"] == "user")
    passages = ["【" + block for block in last["content"].split("\n\n【")[1:]]
    right = next(passage for passage in passages if ANSWERS[asked] in passage)
    other = next(passage for passage in passages if passage is not right)
    first, second = (passage[: passage.index("】") + 1] for passage in (right, other))
    text = f"答え 🎉👩‍👩‍👧: {ANSWERS[asked]}{first} und auch {second}, doch nicht 【99:9†x】."
    return said(*(text[at : at + 3] for at in range(0, len(text), 3)))


ANSWERS = {fact.question: fact.key for fact in map(library.fact, range(library.COUNT + 1))}


def test_a_hundred_files_three_languages_and_citations(lena: LiveCaller) -> None:
    client = openai.OpenAI(base_url=lena.base_url, api_key=lena.token, max_retries=0)
    store = client.vector_stores.create(name="Library")
    batch = client.vector_stores.file_batches.upload_and_poll(store.id, files=library.files(), max_concurrency=8)
    failed = list(client.vector_stores.files.list(store.id, filter="failed"))
    assert batch.file_counts.to_dict() == {
        "in_progress": 0, "completed": library.COUNT, "failed": 0, "cancelled": 0, "total": library.COUNT,
    }, failed  # fmt: skip
    assert client.vector_stores.retrieve(store.id).status == "completed"

    # Searched in English, Chinese and Japanese, in every type.
    for number in range(1, library.COUNT + 1):
        fact = library.fact_in(number)
        found = client.vector_stores.search(store.id, query=fact.question)
        assert any(fact.key in hit.content[0].text for hit in found.data), (library.name_of(number), fact.question)

    with QuirkServer(model) as provider:
        lena.provided_by(provider.base_url)
        assistant = client.beta.assistants.create(
            model="m",
            instructions="Answer from the files.",
            tools=[{"type": "file_search"}],
            tool_resources={"file_search": {"vector_store_ids": [store.id]}},
        )
        for number in (1, 2, 3, 14, 24, 25, 26):
            ask(client, assistant.id, library.fact_in(number))


def ask(client: openai.OpenAI, assistant: str, fact: library.Fact) -> None:
    thread = client.beta.threads.create(messages=[{"role": "user", "content": fact.question}])
    listener = Listener()
    with client.beta.threads.runs.stream(
        thread_id=thread.id,
        assistant_id=assistant,
        event_handler=listener,
        include=["step_details.tool_calls[*].file_search.results[*].content"],
    ) as stream:
        stream.until_done()
    run = stream.current_run
    assert run is not None
    assert run.status == "completed"
    [message] = client.beta.threads.messages.list(thread.id, run_id=run.id).data
    text: Any = message.content[0]
    value, annotations = text.text.value, text.text.annotations
    assert fact.key in value
    assert "99:9" not in value
    assert len(annotations) == 2
    for annotation in annotations:
        assert value[annotation.start_index : annotation.end_index] == annotation.text
        assert client.files.retrieve(annotation.file_citation.file_id).filename in annotation.text
    assert fact.key in annotations[0].file_citation.quote

    # What the helpers made of the deltas is what is stored.
    assert listener.text.value == value
    assert "".join(delta.get("value", "") for delta in listener.deltas) == value
    told = [note for delta in listener.deltas for note in delta.get("annotations", [])]
    assert [note.pop("index") for note in told] == [0, 1]
    assert told == [annotation.to_dict() for annotation in annotations]

    steps = client.beta.threads.runs.steps.list(run_id=run.id, thread_id=thread.id, order="asc").data
    calls: Any = steps[0].step_details
    assert calls.tool_calls[0].type == "file_search"
    assert calls.tool_calls[0].file_search.results[0].content is None
    full: Any = client.beta.threads.runs.steps.retrieve(
        steps[0].id,
        run_id=run.id,
        thread_id=thread.id,
        include=["step_details.tool_calls[*].file_search.results[*].content"],
    ).step_details
    assert any(fact.key in result.content[0].text for result in full.tool_calls[0].file_search.results)


def test_an_attachment_is_searched_as_soon_as_its_message_is_there(lena: LiveCaller) -> None:
    """The run waits for the indexing of its thread's store."""
    client = openai.OpenAI(base_url=lena.base_url, api_key=lena.token, max_retries=0)
    fact = library.fact(1)
    file = client.files.create(file=("notes.txt", library.as_lines(1).encode()), purpose="assistants")
    thread = client.beta.threads.create(
        messages=[
            {
                "role": "user",
                "content": fact.question,
                "attachments": [{"file_id": file.id, "tools": [{"type": "file_search"}]}],
            }
        ]
    )
    assistant = client.beta.assistants.create(model="demo", tools=[{"type": "file_search"}])
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
    assert run.status == "completed"
    text: Any = client.beta.threads.messages.list(thread.id).data[0].content[0]
    assert [note.file_citation.file_id for note in text.text.annotations] == [file.id]
    assert fact.key in text.text.annotations[0].file_citation.quote
    resources = client.beta.threads.retrieve(thread.id).tool_resources
    assert resources is not None
    assert resources.file_search is not None
    [store_id] = resources.file_search.vector_store_ids or []
    store = client.vector_stores.retrieve(store_id)
    assert store.expires_after is not None
    assert (store.expires_after.anchor, store.expires_after.days) == ("last_active_at", 7)
