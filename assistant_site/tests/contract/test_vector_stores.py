"""The official Python SDK's helpers for vector stores, against running processes."""

from io import BytesIO
from typing import Any

import openai
import pytest

from assistant_site.tests.callers import LiveCaller

pytestmark = [
    pytest.mark.contract,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def client(lena: LiveCaller) -> openai.OpenAI:
    return openai.OpenAI(base_url=lena.base_url, api_key=lena.token)


def named(name: str, text: str) -> Any:
    file = BytesIO(text.encode())
    file.name = name
    return file


def test_a_file_is_uploaded_polled_and_found(client: openai.OpenAI) -> None:
    store = client.vector_stores.create(name="Animals", metadata={"a": "1"})
    assert (store.status, store.file_counts.total) == ("completed", 0)
    done = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=named("bird.md", "# Birds\n\nThe falcon sleeps at noon.")
    )
    assert (done.status, done.last_error, done.usage_bytes > 0) == ("completed", None, True)

    again = client.vector_stores.files.create_and_poll(done.id, vector_store_id=store.id)
    assert again.id == done.id
    changed = client.vector_stores.files.update(done.id, vector_store_id=store.id, attributes={"legs": 2, "bird": True})
    assert changed.attributes == {"legs": 2, "bird": True}
    [part] = client.vector_stores.files.content(done.id, vector_store_id=store.id)
    assert part.text is not None
    assert "falcon" in part.text

    found = client.vector_stores.search(
        store.id, query="falcon", filters={"type": "eq", "key": "legs", "value": 2}, max_num_results=3
    )
    [hit] = list(found)
    assert (hit.file_id, hit.filename, hit.attributes) == (done.id, "bird.md", {"legs": 2, "bird": True})
    assert "falcon sleeps" in hit.content[0].text

    assert client.vector_stores.files.delete(done.id, vector_store_id=store.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.files.retrieve(done.id, vector_store_id=store.id)
    assert client.vector_stores.delete(store.id).deleted


def test_batches(client: openai.OpenAI) -> None:
    store = client.vector_stores.create()
    batch = client.vector_stores.file_batches.upload_and_poll(
        vector_store_id=store.id, files=[named(f"{number}.txt", f"Number {number}.") for number in range(7)]
    )
    assert (batch.status, batch.file_counts.completed, batch.file_counts.total) == ("completed", 7, 7)
    listed = list(client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, limit=2))
    assert len({each.id for each in listed}) == 7

    other = client.vector_stores.create()
    ids = [each.id for each in listed]
    done = client.vector_stores.file_batches.create_and_poll(vector_store_id=other.id, file_ids=ids)
    assert (done.status, done.file_counts.completed) == ("completed", 7)
    assert [each.id for each in client.vector_stores.files.list(other.id, limit=3, order="asc")] == ids
    assert client.vector_stores.retrieve(other.id).file_counts.completed == 7


def test_what_fails_says_why(client: openai.OpenAI) -> None:
    store = client.vector_stores.create()
    failed = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=named("broken.pdf", "%PDF-1.4 garbage")
    )
    assert failed.status == "failed"
    assert failed.last_error is not None
    assert failed.last_error.code == "invalid_file"


def test_a_thread_with_an_attachment_searches_at_once(client: openai.OpenAI) -> None:
    file = client.files.create(file=named("bird.txt", "The falcon sleeps at noon."), purpose="assistants")
    thread = client.beta.threads.create(
        messages=[
            {
                "role": "user",
                "content": "Hello",
                "attachments": [{"file_id": file.id, "tools": [{"type": "file_search"}]}],
            }
        ]
    )
    assert thread.tool_resources is not None
    assert thread.tool_resources.file_search is not None
    [store] = thread.tool_resources.file_search.vector_store_ids or []
    polled = client.vector_stores.files.poll(file.id, vector_store_id=store)
    assert polled.status == "completed"
