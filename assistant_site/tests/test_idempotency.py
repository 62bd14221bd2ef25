"""`Idempotency-Key`: a repeated POST makes no twin, whenever and wherever it comes again."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import requests
from django.utils import timezone

from assistant_site.tests.callers import Answer, Caller, LiveCaller, LocalCaller, read_events
from runs.models import Run
from runs.tests.folding import Folded
from runs.tests.test_endings import FUNCTION
from tenants.models import KeptAnswer
from threads.models import Message, Thread


def keyed(caller: Caller, key: str, path: str, body: Any = None) -> Answer:
    return caller.send("POST", f"/v1/{path}", body, **{"Idempotency-Key": key})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("assistants", {"model": "m"}),
        ("threads", {}),
        ("threads/{thread}", {"metadata": {"a": "b"}}),
        ("threads/{thread}/messages", {"role": "user", "content": "x"}),
        ("threads/{thread}/runs", {"assistant_id": "{assistant}"}),
        ("threads/runs", {"assistant_id": "{assistant}"}),
    ],
)
def test_the_same_answer_comes_again(alice: LocalCaller, path: str, body: dict[str, Any]) -> None:
    things = {"thread": alice.thread("hi"), "assistant": alice.assistant()}
    body = {name: value.format(**things) if isinstance(value, str) else value for name, value in body.items()}
    first, second = (keyed(alice, "key", path.format(**things), body) for _ in range(2))
    assert first.status == 200, first.body
    assert (second.status, second.body) == (200, first.body)
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    for name in ("openai-poll-after-ms", "openai-organization", "content-type"):
        assert first.headers.get(name) == second.headers.get(name)
    assert second.headers["x-request-id"] != first.headers["x-request-id"]


def test_nothing_is_made_twice(alice: LocalCaller) -> None:
    thread = alice.thread()
    for _ in range(3):
        keyed(alice, "m", f"threads/{thread}/messages", {"role": "user", "content": "x"})
        keyed(alice, "t", "threads", {})
    assert Message.objects.of(alice.tenant).filter(thread_id=thread).count() == 1
    assert Thread.objects.of(alice.tenant).count() == 2


def test_a_key_for_another_request_is_refused(alice: LocalCaller) -> None:
    assert keyed(alice, "key", "threads", {"metadata": {"a": "1"}}).status == 200
    for path, body in (("threads", {"metadata": {"a": "2"}}), ("assistants", {"metadata": {"a": "1"}, "model": "m"})):
        refused = keyed(alice, "key", path, body)
        assert (refused.status, refused.error["code"]) == (400, "idempotency_key_in_use")
        assert refused.error["param"] == "Idempotency-Key"
    assert Thread.objects.of(alice.tenant).count() == 1


def test_keys_belong_to_a_tenant(alice: LocalCaller, bob: LocalCaller) -> None:
    hers, his = (keyed(caller, "key", "threads", {}) for caller in (alice, bob))
    assert hers["id"] != his["id"]


def test_a_refusal_is_not_kept(alice: LocalCaller) -> None:
    thread, assistant = alice.thread(), alice.assistant()
    assert keyed(alice, "key", "threads", {"unknown": 1}).status == 400
    assert keyed(alice, "key", "threads", {}).status == 200
    assert keyed(alice, "run", f"threads/{thread[:-1]}/runs", {"assistant_id": assistant}).status == 404
    assert KeptAnswer.objects.of(alice.tenant).count() == 1


def test_after_a_day_a_key_is_new(alice: LocalCaller) -> None:
    first = keyed(alice, "key", "threads", {})
    rows = KeptAnswer.objects.of(alice.tenant)
    rows.update(created_at=timezone.now() - timedelta(hours=23, minutes=59))
    assert keyed(alice, "key", "threads", {})["id"] == first["id"]
    rows.update(created_at=timezone.now() - timedelta(hours=24, minutes=1))
    assert keyed(alice, "key", "threads", {})["id"] != first["id"]
    rows.update(created_at=timezone.now() - timedelta(hours=25))
    assert KeptAnswer.forget_old() == 1


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ü"])
def test_strange_keys(alice: LocalCaller, key: str) -> None:
    refused = alice.send("POST", "/v1/threads", {}, **{"Idempotency-Key": key or " "})
    assert (refused.status, refused.error["param"]) == (400, "Idempotency-Key")


def test_a_wrong_token_is_told_as_ever(alice: LocalCaller) -> None:
    refused = alice.send("POST", "/v1/threads", {}, **{"Idempotency-Key": "k", "Authorization": "Bearer sk-wrong"})
    assert (refused.status, refused.error["code"]) == (401, "invalid_api_key")
    refused = alice.send("POST", "/v1/threads", b"{", **{"Idempotency-Key": "k"})
    assert refused.error["message"].startswith("We could not parse the JSON body")


@pytest.fixture
def twins(lena: LiveCaller) -> list[LiveCaller]:
    return [LiveCaller(lena.tenant, lena.token, lena.url) for _ in range(8)]


def test_at_the_same_moment_too(lena: LiveCaller, twins: list[LiveCaller]) -> None:
    assistant = lena.assistant(tools=[FUNCTION])
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            thread, key = lena.thread("call:lookup {}"), secrets.token_hex(8)
            path, body = f"threads/{thread}/runs", {"assistant_id": assistant}
            answers = list(pool.map(lambda twin, k=key, p=path, b=body: keyed(twin, k, p, b), twins))
            assert {answer.status for answer in answers} == {200}
            assert len({answer["id"] for answer in answers}) == 1
            assert Run.objects.of(lena.tenant).filter(thread_id=thread).count() == 1


def test_a_run_begins_once_and_its_outputs_are_taken_once(lena: LiveCaller) -> None:
    thread, assistant = lena.thread("call:lookup {}"), lena.assistant(tools=[FUNCTION])
    run = keyed(lena, "run", f"threads/{thread}/runs", {"assistant_id": assistant})["id"]
    waiting = lena.settled(thread, run)
    [call] = waiting["required_action"]["submit_tool_outputs"]["tool_calls"]
    outputs = {"tool_outputs": [{"tool_call_id": call["id"], "output": "7"}]}
    first, second = (
        keyed(lena, "outputs", f"threads/{thread}/runs/{run}/submit_tool_outputs", outputs) for _ in range(2)
    )
    assert (first.status, first.body) == (second.status, second.body)
    assert first["status"] == "queued"
    assert lena.settled(thread, run, beyond="requires_action")["status"] == "completed"
    assert keyed(lena, "run", f"threads/{thread}/runs", {"assistant_id": assistant})["status"] == "queued"
    assert Run.objects.of(lena.tenant).filter(thread_id=thread).count() == 1


def test_a_stream_comes_again_from_its_beginning(lena: LiveCaller) -> None:
    thread, assistant = lena.thread("Hello"), lena.assistant(model="demo")
    headers = {"Authorization": f"Bearer {lena.token}", "Idempotency-Key": "stream"}
    body = {"assistant_id": assistant, "stream": True}
    first, second = (
        requests.post(f"{lena.base_url}/threads/{thread}/runs", json=body, headers=headers, timeout=20)
        for _ in range(2)
    )
    assert first.content == second.content
    assert second.headers["idempotent-replayed"] == "true"
    Folded(read_events(second.content)).equals_rest(lena)
    assert len(lena.messages(thread)) == 2
