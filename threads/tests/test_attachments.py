"""Files that come with messages, and the stores that threads and assistants bring along."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from assistant_site.tests.callers import LocalCaller
from vector_stores.models import StoreFile, VectorStore


def attached(file: str, *tools: str) -> dict[str, Any]:
    return {"file_id": file, "tools": [{"type": tool} for tool in tools]}


def message(*attachments: dict[str, Any], text: str = "x") -> dict[str, Any]:
    return {"role": "user", "content": text, "attachments": list(attachments)}


def store_of(caller: LocalCaller, thread: str) -> str:
    [store] = caller.get(f"threads/{thread}")["tool_resources"]["file_search"]["vector_store_ids"]
    return str(store)


def files_in(caller: LocalCaller, store: str) -> list[str]:
    return [each["id"] for each in caller.get(f"vector_stores/{store}/files?order=asc")["data"]]


# --- Attachments -----------------------------------------------------------------------------------------------------


def test_a_searched_file_makes_the_thread_a_store_of_seven_days(alice: LocalCaller) -> None:
    thread, first, second = alice.thread(), alice.upload("a.txt", b"a"), alice.upload("b.txt", b"b")
    made = alice.post(f"threads/{thread}/messages", message(attached(first, "file_search")))
    assert made["attachments"] == [attached(first, "file_search")]
    store = store_of(alice, thread)
    assert alice.get(f"vector_stores/{store}")["expires_after"] == {"anchor": "last_active_at", "days": 7}
    assert alice.get(f"threads/{thread}")["tool_resources"] == {"file_search": {"vector_store_ids": [store]}}

    alice.post(f"threads/{thread}/messages", message(attached(second, "file_search"), attached(first, "file_search")))
    assert store_of(alice, thread) == store
    assert files_in(alice, store) == [first, second]


def test_a_file_for_both_tools_may_be_listed_twice(alice: LocalCaller) -> None:
    file = alice.upload("a.csv", b"1,2")
    listed = [attached(file, "code_interpreter"), attached(file, "file_search")]
    thread = alice.post("threads", {"messages": [message(*listed)]})
    assert thread["tool_resources"] == {
        "code_interpreter": {"file_ids": [file]},
        "file_search": {"vector_store_ids": [store_of(alice, thread["id"])]},
    }
    assert alice.get(f"threads/{thread['id']}/messages")["data"][0]["attachments"] == listed


def test_the_threads_own_store_takes_the_files(alice: LocalCaller) -> None:
    store, file = alice.store(), alice.upload("a.txt", b"a")
    resources = {"file_search": {"vector_store_ids": [store]}}
    thread = alice.post("threads", {"messages": [message(attached(file, "file_search"))], "tool_resources": resources})
    assert thread["tool_resources"] == resources
    assert files_in(alice, store) == [file]
    assert VectorStore.objects.of(alice.tenant).count() == 1


def test_without_tools_documents_are_searched_and_images_looked_at(alice: LocalCaller) -> None:
    document, image = alice.upload("a.txt", b"a"), alice.upload("a.PNG", b"b")
    thread = alice.thread()
    alice.post(f"threads/{thread}/messages", message({"file_id": image}, {"file_id": document, "tools": []}))
    assert files_in(alice, store_of(alice, thread)) == [document]


def test_a_store_that_was_deleted_is_replaced(alice: LocalCaller) -> None:
    thread, file = alice.thread(), alice.upload("a.txt", b"a")
    alice.post(f"threads/{thread}/messages", message(attached(file, "file_search")))
    gone = store_of(alice, thread)
    alice.delete(f"vector_stores/{gone}")
    alice.post(f"threads/{thread}/messages", message(attached(file, "file_search")))
    assert store_of(alice, thread) != gone


def test_a_store_that_has_expired_refuses_the_message(alice: LocalCaller) -> None:
    thread, file = alice.thread(), alice.upload("a.txt", b"a")
    alice.post(f"threads/{thread}/messages", message(attached(file, "file_search")))
    store = store_of(alice, thread)
    VectorStore.objects.of(alice.tenant).update(last_active_at=timezone.now() - timedelta(days=8))
    refused = alice.post(f"threads/{thread}/messages", message(attached(file, "file_search")))
    assert (refused.status, refused.error["message"]) == (400, f"Vector store '{store}' has expired.")
    assert len(alice.get(f"threads/{thread}/messages")["data"]) == 1


@pytest.mark.parametrize("tool", ["file_search", "code_interpreter"])
def test_a_strangers_file_is_not_there(alice: LocalCaller, bob: LocalCaller, tool: str) -> None:
    own, strange = alice.upload("a.txt", b"a"), bob.upload("b.txt", b"b")
    thread = alice.thread("hello")
    assistant = alice.assistant()
    draft = message(attached(own, tool), attached(strange, tool))
    for path, body in (
        (f"threads/{thread}/messages", draft),
        ("threads", {"messages": [draft]}),
        (f"threads/{thread}/runs", {"assistant_id": assistant, "additional_messages": [draft]}),
        ("threads/runs", {"assistant_id": assistant, "thread": {"messages": [draft]}}),
    ):
        refused = alice.post(path, body)
        assert (refused.status, refused.error["message"]) == (404, f"No file found with id '{strange}'."), path
    assert len(alice.get("threads")["data"]) == 1
    assert alice.get(f"threads/{thread}/runs")["data"] == []
    assert alice.get(f"threads/{thread}")["tool_resources"] == {}
    assert alice.get("vector_stores")["data"] == []


def test_an_image_that_is_not_there(alice: LocalCaller) -> None:
    part = {"type": "image_file", "image_file": {"file_id": "file-x"}}
    refused = alice.post(f"threads/{alice.thread()}/messages", {"role": "user", "content": [part]})
    assert (refused.status, refused.error["message"]) == (404, "No file found with id 'file-x'.")


def test_additional_messages_bring_files_along(alice: LocalCaller) -> None:
    thread, file = alice.thread("hello"), alice.upload("a.txt", b"a")
    body = {"assistant_id": alice.assistant(), "additional_messages": [message(attached(file, "file_search"))]}
    assert alice.post(f"threads/{thread}/runs", body).status == 200
    assert files_in(alice, store_of(alice, thread)) == [file]


def test_a_busy_thread_takes_no_file(alice: LocalCaller) -> None:
    thread, file = alice.thread("hello"), alice.upload("a.txt", b"a")
    run = alice.post(f"threads/{thread}/runs", {"assistant_id": alice.assistant()})["id"]
    refused = alice.post(f"threads/{thread}/messages", message(attached(file, "file_search")))
    assert refused.error["message"] == f"Can't add messages to {thread} while a run {run} is active."
    assert not StoreFile.objects.of(alice.tenant).exists()


def test_deleting_a_thread_leaves_its_store(alice: LocalCaller) -> None:
    thread, file = alice.thread(), alice.upload("a.txt", b"a")
    alice.post(f"threads/{thread}/messages", message(attached(file, "file_search")))
    store = store_of(alice, thread)
    alice.delete(f"threads/{thread}")
    assert alice.get(f"vector_stores/{store}").status == 200


# --- Tool resources --------------------------------------------------------------------------------------------------


def helper(*files: str, **more: Any) -> dict[str, Any]:
    return {"tool_resources": {"file_search": {"vector_stores": [{"file_ids": list(files), **more}]}}}


def test_a_thread_brings_its_store_along(alice: LocalCaller) -> None:
    file = alice.upload("a.txt", b"a")
    chunking = {"type": "static", "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 20}}
    thread = alice.post("threads", helper(file, chunking_strategy=chunking, metadata={"a": "1"}))
    store = alice.get(f"vector_stores/{store_of(alice, thread['id'])}")
    assert (store["expires_after"]["days"], store["metadata"]) == (7, {"a": "1"})
    [listed] = alice.get(f"vector_stores/{store['id']}/files")["data"]
    assert (listed["id"], listed["chunking_strategy"]) == (file, chunking)


def test_an_assistant_brings_its_store_along(alice: LocalCaller) -> None:
    assistant = alice.post("assistants", {"model": "demo", **helper(alice.upload("a.txt", b"a"))})
    [store] = assistant["tool_resources"]["file_search"]["vector_store_ids"]
    assert alice.get(f"vector_stores/{store}")["expires_after"] is None


def test_a_run_with_a_thread_that_brings_its_store_along(alice: LocalCaller) -> None:
    thread = {"messages": [message()], **helper(alice.upload("a.txt", b"a"))}
    run = alice.post("threads/runs", {"assistant_id": alice.assistant(), "thread": thread})
    assert alice.get(f"vector_stores/{store_of(alice, run['thread_id'])}")["expires_after"]["days"] == 7


def test_a_helper_or_a_store_but_never_both(alice: LocalCaller) -> None:
    both = {"file_search": {"vector_store_ids": [alice.store()], "vector_stores": [{"file_ids": []}]}}
    for path, body in (("threads", {}), ("assistants", {"model": "demo"})):
        refused = alice.post(path, {**body, "tool_resources": both})
        assert refused.status == 400
        assert refused.error["message"] == (
            "Invalid 'tool_resources.file_search': give either 'vector_store_ids' or 'vector_stores', not both."
        )
    thread = alice.thread()
    edited = alice.post(f"threads/{thread}", helper())
    assert edited.error["message"] == "Unknown parameter: 'tool_resources.file_search.vector_stores'."


def test_nothing_is_made_if_something_is_not_there(alice: LocalCaller, bob: LocalCaller) -> None:
    file, strange = alice.upload("a.txt", b"a"), bob.upload("b.txt", b"b")
    store = bob.store()
    missing = f"No file found with id '{strange}'."
    for resources, message in (
        (helper(file, strange)["tool_resources"], missing),
        ({"code_interpreter": {"file_ids": [file, strange]}}, missing),
        ({"file_search": {"vector_store_ids": [store]}}, f"No vector store found with id '{store}'."),
        (helper(file)["tool_resources"] | {"code_interpreter": {"file_ids": [strange]}}, missing),
    ):
        for path, body in (("threads", {}), ("assistants", {"model": "demo"})):
            refused = alice.post(path, {**body, "tool_resources": resources})
            assert (refused.status, refused.error["message"]) == (404, message)
    assert alice.get("vector_stores")["data"] == alice.get("threads")["data"] == alice.get("assistants")["data"] == []


def test_an_edit_may_send_back_what_has_been_deleted_since(alice: LocalCaller) -> None:
    file, store = alice.upload("a.csv", b"1,2"), alice.store()
    resources = {"code_interpreter": {"file_ids": [file]}, "file_search": {"vector_store_ids": [store]}}
    assistant = alice.assistant(tool_resources=resources)
    thread = alice.post("threads", {"tool_resources": resources})["id"]
    alice.delete(f"files/{file}")
    alice.delete(f"vector_stores/{store}")
    for path in (f"assistants/{assistant}", f"threads/{thread}"):
        edited = alice.post(path, {"tool_resources": resources, "metadata": {"a": "1"}})
        assert edited["tool_resources"] == resources
        refused = alice.post(path, {"tool_resources": {"code_interpreter": {"file_ids": [file, "file-x"]}}})
        assert (refused.status, refused.error["message"]) == (404, "No file found with id 'file-x'.")
