"""`X-Holdfast-When-Busy`: refused as on the hosted API, or waited for, or the run is ended."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from assistant_site import valkey
from assistant_site.llm.tests.quirk_server import Answer, QuirkServer, delta, said, streaming
from assistant_site.tests.callers import Answer as Got
from assistant_site.tests.callers import LiveCaller, read_events
from runs.tests.folding import shape
from runs.tests.test_endings import FUNCTION, run_of
from tenants.models import Tenant
from threads.waiting import HEADER, queue_of

MESSAGE = {"role": "user", "content": "more"}


def asking(lena: LiveCaller, how: str, path: str, body: dict[str, Any]) -> Got:
    other = LiveCaller(lena.tenant, lena.token, lena.url)  # a session is for one thread
    return other.send("POST", f"/v1/{path}", body, **{HEADER: how})


def awaiting(lena: LiveCaller) -> tuple[str, str, str]:
    """A thread whose run awaits an output: thread, assistant, run."""
    assistant = lena.assistant(tools=[FUNCTION])
    thread = lena.thread("call:lookup {}")
    return thread, assistant, lena.run(thread, assistant)["id"]


def answered(lena: LiveCaller, thread: str, run: str) -> None:
    [call] = lena.get(f"threads/{thread}/runs/{run}")["required_action"]["submit_tool_outputs"]["tool_calls"]
    outputs = {"tool_outputs": [{"tool_call_id": call["id"], "output": "7"}]}
    assert lena.post(f"threads/{thread}/runs/{run}/submit_tool_outputs", outputs).status == 200


def waits(lena: LiveCaller, thread: str, count: int = 1) -> None:
    """Until so many requests wait for the thread."""
    deadline = time.monotonic() + 60
    while valkey.blocking().zcard(queue_of(lena.tenant, thread)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_message_waits_for_the_end_of_the_run(lena: LiveCaller) -> None:
    thread, _, run = awaiting(lena)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(asking, lena, "queue", f"threads/{thread}/messages", MESSAGE)
        waits(lena, thread)
        assert not waiting.done()
        answered(lena, thread, run)
        message = waiting.result(60)
    assert message.status == 200
    assert lena.messages(thread)[-1] == message.body  # behind what the run wrote
    assert lena.get(f"threads/{thread}/runs/{run}")["status"] == "completed"


@pytest.mark.slow
def test_those_who_wait_come_in_their_order(lena: LiveCaller) -> None:
    thread, assistant, run = awaiting(lena)
    with ThreadPoolExecutor(6) as pool:
        waiting = []
        for number in range(4):
            body = {"role": "user", "content": str(number)}
            waiting.append(pool.submit(asking, lena, "queue", f"threads/{thread}/messages", body))
            waits(lena, thread, number + 1)
        last = pool.submit(asking, lena, "queue", f"threads/{thread}/runs", {"assistant_id": assistant, "tools": []})
        waits(lena, thread, 5)
        answered(lena, thread, run)
        assert [each.result(60).status for each in (*waiting, last)] == [200] * 5
    texts = [m["content"][0]["text"]["value"] for m in lena.messages(thread) if m["role"] == "user"]
    assert texts == ["call:lookup {}", "0", "1", "2", "3"]
    assert lena.settled(thread, last.result()["id"])["status"] == "completed"


def test_an_interrupting_run_ends_the_one_before(lena: LiveCaller) -> None:
    forever = Answer((*streaming(delta(content="On and on "), done=False).pieces, 30.0))
    with QuirkServer(forever, said("Short")) as provider:
        lena.provided_by(provider.base_url)
        thread, assistant = lena.thread("Hello"), lena.assistant()
        lena.post(f"threads/{thread}/runs", {"assistant_id": assistant})
        first = run_of(lena, thread, "in_progress")
        second = asking(lena, "interrupt", f"threads/{thread}/runs", {"assistant_id": assistant})
        assert second.status == 200, second.body
        assert lena.settled(thread, second["id"])["status"] == "completed"
    assert lena.get(f"threads/{thread}/runs/{first}")["status"] == "cancelled"
    assert lena.last_text(thread) == "Short"


def test_an_interrupting_message(lena: LiveCaller) -> None:
    thread, _, run = awaiting(lena)
    assert asking(lena, "interrupt", f"threads/{thread}/messages", MESSAGE).status == 200
    assert lena.get(f"threads/{thread}/runs/{run}")["status"] == "cancelled"


def test_an_interrupting_request_that_may_come_twice(lena: LiveCaller) -> None:
    """The run is ended although the request's own transaction comes to nothing while it waits."""
    thread, _, run = awaiting(lena)
    sent = {HEADER: "interrupt", "Idempotency-Key": "once"}
    first, second = (lena.send("POST", f"/v1/threads/{thread}/messages", MESSAGE, **sent) for _ in range(2))
    assert (first.status, first.body) == (200, second.body)
    assert lena.get(f"threads/{thread}/runs/{run}")["status"] == "cancelled"
    assert len(lena.messages(thread)) == 2


def test_of_two_that_interrupt_the_second_ends_the_first(lena: LiveCaller) -> None:
    thread, assistant, _ = awaiting(lena)
    path, body = f"threads/{thread}/runs", {"assistant_id": assistant}  # each would wait for an output for ever
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(asking, lena, "interrupt", path, body) for _ in range(2)]
        made = [each.result(60)["id"] for each in both]
    states = sorted(lena.settled(thread, run)["status"] for run in made)
    assert states == ["cancelled", "requires_action"]


@pytest.mark.slow
def test_who_comes_later_comes_after_those_who_wait(lena: LiveCaller) -> None:
    """Also when the thread is free at that moment."""
    thread, _, run = awaiting(lena)

    def say(text: str) -> Got:
        return asking(lena, "queue", f"threads/{thread}/messages", {"role": "user", "content": text})

    with ThreadPoolExecutor(8) as pool:
        waiting = []
        for number in range(5):
            waiting.append(pool.submit(say, f"w{number}"))
            waits(lena, thread, number + 1)
        lena.post(f"threads/{thread}/runs/{run}/cancel")
        waiting += [pool.submit(say, "new")]
        assert {each.result(60).status for each in waiting} == {200}
    texts = [m["content"][0]["text"]["value"] for m in lena.messages(thread)]
    assert texts == ["call:lookup {}", "w0", "w1", "w2", "w3", "w4", "new"]


def test_a_streamed_run_may_wait_too(lena: LiveCaller) -> None:
    thread, assistant, _ = awaiting(lena)
    response = lena.session.post(
        f"{lena.base_url}/threads/{thread}/runs",
        json={"assistant_id": assistant, "stream": True, "tools": []},
        headers={"Authorization": f"Bearer {lena.token}", HEADER: "interrupt"},
        timeout=20,
    )
    assert shape(read_events(response.content))[-2:] == ["run.completed", "done"]


def test_the_tenants_own_setting(lena: LiveCaller) -> None:
    thread, _, run = awaiting(lena)
    Tenant.objects.filter(pk=lena.tenant.pk).update(when_busy="interrupt")
    time.sleep(0.6)  # a token's row is kept for half a second
    refused = asking(lena, "reject", f"threads/{thread}/messages", MESSAGE)
    assert refused.error["message"] == f"Can't add messages to {thread} while a run {run} is active."
    assert lena.post(f"threads/{thread}/messages", MESSAGE).status == 200


@pytest.mark.parametrize("path", ["messages", "runs"])
def test_an_unknown_word(lena: LiveCaller, path: str) -> None:
    thread, assistant, _ = awaiting(lena)
    body = MESSAGE if path == "messages" else {"assistant_id": assistant}
    for place in (thread, lena.thread("free")):
        refused = asking(lena, "wait", f"threads/{place}/{path}", body)
        assert (refused.status, refused.error["param"], refused.error["code"]) == (400, HEADER, "invalid_value")


def test_a_thread_that_is_deleted_meanwhile(lena: LiveCaller) -> None:
    thread, _, _ = awaiting(lena)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(asking, lena, "queue", f"threads/{thread}/messages", MESSAGE)
        waits(lena, thread)
        assert lena.delete(f"threads/{thread}").status == 200
        assert waiting.result(60).status == 404
