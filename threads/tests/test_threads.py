"""Threads and messages without a run."""

import pytest

from assistant_site.tests.callers import LocalCaller
from threads import actions
from threads.models import Thread


def test_the_defaults(alice: LocalCaller) -> None:
    made = alice.post("threads", {}).body
    assert made.pop("id").startswith("thread_")
    assert made.pop("created_at") > 1_700_000_000
    assert made == {"object": "thread", "metadata": {}, "tool_resources": {}}


def test_a_message_and_its_defaults(alice: LocalCaller) -> None:
    thread = alice.thread()
    made = alice.post(f"threads/{thread}/messages", {"role": "user", "content": "Hello"})
    message = dict(made.body)

    assert message.pop("id").startswith("msg_")
    assert message.pop("created_at") == message.pop("completed_at") > 1_700_000_000
    assert message == {
        "object": "thread.message",
        "thread_id": thread,
        "status": "completed",
        "incomplete_details": None,
        "incomplete_at": None,
        "role": "user",
        "content": [{"type": "text", "text": {"value": "Hello", "annotations": []}}],
        "assistant_id": None,
        "run_id": None,
        "attachments": [],
        "metadata": {},
    }
    assert alice.get(f"threads/{thread}/messages/{made['id']}").body == made.body


def test_parts_are_echoed_with_their_defaults(alice: LocalCaller) -> None:
    image = alice.upload("a.png", b"not looked into here", purpose="vision")
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png?size=1"}},
        {"type": "image_file", "image_file": {"file_id": image, "detail": "low"}},
    ]
    made = alice.post(f"threads/{alice.thread()}/messages", {"role": "user", "content": parts})
    assert made["content"] == [
        {"type": "text", "text": {"value": "look", "annotations": []}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png?size=1", "detail": "auto"}},
        {"type": "image_file", "image_file": {"file_id": image, "detail": "low"}},
    ]


def test_messages_keep_their_order_within_a_second(alice: LocalCaller) -> None:
    thread = alice.thread("0", "1")
    for number in range(2, 12):
        role = "user" if number % 2 else "assistant"
        alice.post(f"threads/{thread}/messages", {"role": role, "content": str(number)})

    page = alice.get(f"threads/{thread}/messages?order=asc")
    assert [message["content"][0]["text"]["value"] for message in page["data"]] == [str(n) for n in range(12)]
    newest = alice.get(f"threads/{thread}/messages?limit=1")
    assert newest["data"][0]["content"][0]["text"]["value"] == "11"


def test_an_edit_changes_metadata_only(alice: LocalCaller) -> None:
    thread = alice.thread("x")
    id = alice.get(f"threads/{thread}/messages")["data"][0]["id"]
    assert alice.post(f"threads/{thread}/messages/{id}", {"metadata": {"a": "1"}})["metadata"] == {"a": "1"}
    assert alice.post(f"threads/{thread}/messages/{id}", {})["metadata"] == {"a": "1"}
    assert alice.post(f"threads/{thread}", {"metadata": {"b": "2"}})["metadata"] == {"b": "2"}
    assert alice.get(f"threads/{thread}")["metadata"] == {"b": "2"}


def test_deletions(alice: LocalCaller) -> None:
    thread = alice.thread("x", "y")
    newest = alice.get(f"threads/{thread}/messages")["data"][0]["id"]

    deleted = alice.delete(f"threads/{thread}/messages/{newest}")
    assert deleted.body == {"id": newest, "object": "thread.message.deleted", "deleted": True}
    assert alice.get(f"threads/{thread}/messages/{newest}").status == 404
    assert len(alice.get(f"threads/{thread}/messages")["data"]) == 1

    assert alice.delete(f"threads/{thread}").body == {"id": thread, "object": "thread.deleted", "deleted": True}
    assert alice.get(f"threads/{thread}").status == 404
    assert alice.get(f"threads/{thread}/messages").status == 404


def test_files_for_code_join_the_threads_resources(alice: LocalCaller) -> None:
    thread, file = alice.thread(), alice.upload("a.csv", b"1,2")
    attachments = [{"file_id": file, "tools": [{"type": "code_interpreter"}]}]
    body = {"role": "user", "content": "x", "attachments": attachments}
    assert alice.post(f"threads/{thread}/messages", body)["attachments"] == attachments
    alice.post(f"threads/{thread}/messages", body)
    assert alice.get(f"threads/{thread}")["tool_resources"] == {"code_interpreter": {"file_ids": [file]}}

    files = [alice.upload(f"{n}.csv", b"1,2") for n in range(20)]
    many = [{"file_id": each, "tools": [{"type": "code_interpreter"}]} for each in files]
    refused = alice.post(f"threads/{thread}/messages", {**body, "attachments": many})
    assert (refused.status, refused.error["code"]) == (400, "array_above_max_length")
    assert len(alice.get(f"threads/{thread}/messages")["data"]) == 2


def test_a_thread_has_room_for_so_many_messages(alice: LocalCaller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "MAX_MESSAGES", 2)
    thread = alice.thread("1", "2")
    refused = alice.post(f"threads/{thread}/messages", {"role": "user", "content": "3"})
    assert refused.status == 400
    assert refused.error["message"] == f"Thread {thread} cannot have more than 2 messages."
    oldest = alice.get(f"threads/{thread}/messages")["data"][-1]["id"]
    alice.delete(f"threads/{thread}/messages/{oldest}")
    assert alice.post(f"threads/{thread}/messages", {"role": "user", "content": "3"}).status == 200


def test_a_busy_thread_takes_no_message_and_no_second_run(alice: LocalCaller) -> None:
    thread = alice.thread("hello")
    assistant = alice.assistant()
    run = alice.post(f"threads/{thread}/runs", {"assistant_id": assistant})["id"]

    refused = alice.post(f"threads/{thread}/messages", {"role": "user", "content": "more"})
    assert refused.status == 400
    assert refused.error["message"] == f"Can't add messages to {thread} while a run {run} is active."
    assert refused.error["code"] is None

    for more in ({}, {"additional_messages": [{"role": "user", "content": "x"}]}):
        second = alice.post(f"threads/{thread}/runs", {"assistant_id": assistant, **more})
        assert second.status == 400
        assert second.error["message"] == f"Thread {thread} already has an active run {run}."

    # Reading and metadata go on.
    assert alice.post(f"threads/{thread}", {"metadata": {"a": "b"}}).status == 200
    message = alice.get(f"threads/{thread}/messages")["data"][0]["id"]
    assert alice.post(f"threads/{thread}/messages/{message}", {"metadata": {"a": "b"}}).status == 200
    assert alice.delete(f"threads/{thread}/messages/{message}").status == 400

    assert alice.delete(f"threads/{thread}").status == 200
    assert alice.get(f"threads/{thread}/runs/{run}").status == 404
    assert not Thread.objects.of(alice.tenant).filter(pk=thread).exists()
