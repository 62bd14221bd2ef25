"""Readers who come late, are several, or lose their connection: all get the same bytes."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from assistant_site import valkey
from assistant_site.llm.tests.quirk_server import Answer, QuirkServer, delta, streaming
from assistant_site.tests.callers import LiveCaller, read_events
from runs import events
from runs.models import Run
from runs.tests.folding import Folded, shape
from runs.tests.test_endings import FUNCTION, run_of
from threads.models import Message

KEEP_ALIVE = b": keep-alive\n\n"


def slowly(words: int, pause: float) -> Answer:
    """A model that takes its time."""
    pieces: list[bytes | float] = []
    for number in range(words):
        pieces += [*streaming(delta(content=f"word{number} "), done=False).pieces, pause]  # type: ignore[list-item]
    usage = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": words, "total_tokens": 5 + words}}
    return Answer((*pieces, *streaming(delta("stop"), usage).pieces))


def opened(lena: LiveCaller, path: str, last_event: str | None = None) -> requests.Response:
    headers = {"Authorization": f"Bearer {lena.token}"} | ({"Last-Event-ID": last_event} if last_event else {})
    return requests.get(f"{lena.base_url}/{path}", headers=headers, stream=True, timeout=20)


def whole(lena: LiveCaller, path: str, last_event: str | None = None) -> bytes:
    """All bytes of an event stream but its keep-alive comments."""
    with opened(lena, path, last_event) as response:
        assert response.status_code == 200, response.text
        return b"".join(response.iter_content(None)).replace(KEEP_ALIVE, b"")


def in_pieces(lena: LiveCaller, path: str, seconds: float) -> tuple[bytes, int]:
    """The same by a reader that drops the connection every so many seconds; also how often it came."""
    got, last, visits = b"", None, 0
    while not got.endswith(b"data: [DONE]\n\n"):
        visits += 1
        assert visits < 200
        with opened(lena, path, last) as response:
            until, raw = time.monotonic() + seconds, b""
            for piece in response.iter_content(None):
                raw += piece
                if time.monotonic() > until:
                    break
        frames = raw[: raw.rfind(b"\n\n") + 2].replace(KEEP_ALIVE, b"") if b"\n\n" in raw else b""  # a half is lost
        got += frames
        ids = [line[4:] for line in frames.split(b"\n") if line.startswith(b"id: ")]
        last = ids[-1].decode() if ids else last
    return got, visits


def streamed(lena: LiveCaller, thread: str, assistant: str) -> bytes:
    """The bytes of a run's own stream."""
    with requests.post(
        f"{lena.base_url}/threads/{thread}/runs",
        json={"assistant_id": assistant, "stream": True},
        headers={"Authorization": f"Bearer {lena.token}"},
        stream=True,
        timeout=20,
    ) as response:
        return b"".join(response.iter_content(None))


@pytest.mark.slow
def test_a_reader_that_keeps_dropping_gets_the_same_bytes(lena: LiveCaller) -> None:
    with QuirkServer(slowly(60, 0.04)) as provider, ThreadPoolExecutor(5) as pool:
        lena.provided_by(provider.base_url)
        thread, assistant = lena.thread("Hello"), lena.assistant()
        stays = pool.submit(streamed, lena, thread, assistant)
        path = f"threads/{thread}/runs/{run_of(lena, thread, 'in_progress')}/events"
        dropping = [pool.submit(in_pieces, lena, path, seconds) for seconds in (0.2, 0.2, 0.05)]
        never_left = pool.submit(whole, lena, path)
        told = stays.result(60)
        assert never_left.result(60) == told
        for reader in dropping:
            got, visits = reader.result(60)
            assert visits > 1
            assert got == told
    assert whole(lena, path) == told  # and who comes afterwards
    Folded(read_events(told)).equals_rest(lena)


def test_from_a_position_on(lena: LiveCaller) -> None:
    thread, assistant = lena.thread("Hello"), lena.assistant(model="demo")
    told = streamed(lena, thread, assistant)
    path = f"threads/{thread}/runs/{run_of(lena, thread, 'completed')}/events"
    frames = [frame + b"\n\n" for frame in told.split(b"\n\n")[:-1]]
    for behind in (1, 4, len(frames) - 2, len(frames) - 1):
        position = frames[behind - 1].split(b"\n")[1].removeprefix(b"id: ").decode()
        rest = b"".join(frames[behind:])
        assert whole(lena, f"{path}?after={position}") == rest
        assert whole(lena, path, position) == rest
        assert whole(lena, f"{path}?after=1", position) == rest  # an EventSource keeps its address
    started = time.monotonic()
    assert whole(lena, f"{path}?after=999999999") == frames[-1]
    assert time.monotonic() - started < 15


def test_wrong_positions(lena: LiveCaller) -> None:
    thread = lena.thread("Hello")
    run = lena.run(thread, lena.assistant())["id"]
    for query, param in (("after=x", "after"), ("after=-1", "after"), ("after=1&after=2", "after")):
        refused = lena.send("GET", f"/v1/threads/{thread}/runs/{run}/events?{query}")
        assert (refused.status, refused.error["param"]) == (400, param)
    refused = lena.send("GET", f"/v1/threads/{thread}/runs/{run}/events", None, **{"Last-Event-ID": "x"})
    assert (refused.status, refused.error["param"]) == (400, "Last-Event-ID")


def test_from_the_start_through_awaited_functions(lena: LiveCaller) -> None:
    thread, assistant = lena.thread("call:lookup {}"), lena.assistant(tools=[FUNCTION])
    first = streamed(lena, thread, assistant)
    run = run_of(lena, thread, "requires_action")
    path = f"threads/{thread}/runs/{run}/events"
    assert whole(lena, path) == first
    with ThreadPoolExecutor(1) as pool:
        [call] = lena.get(f"threads/{thread}/runs/{run}")["required_action"]["submit_tool_outputs"]["tool_calls"]
        second = pool.submit(
            lena.stream,
            f"threads/{thread}/runs/{run}/submit_tool_outputs",
            {"tool_outputs": [{"tool_call_id": call["id"], "output": "7"}]},
        ).result(60)
    events_of_both = read_events(whole(lena, path))
    assert events_of_both[:-1] == read_events(first)[:-1] + second[:-1]
    assert whole(lena, path, str(read_events(first)[-2].position)).startswith(b"event: thread.run.step.completed\n")


def test_a_stream_that_has_expired_is_told_from_the_rows(lena: LiveCaller) -> None:
    thread = lena.thread("Hello")
    run = lena.run(thread, lena.assistant())
    valkey.blocking().delete(events.key(run["id"]))
    told = read_events(whole(lena, f"threads/{thread}/runs/{run['id']}/events"))
    assert shape(told) == ["run.completed", "done"]
    assert told[0].data == run
    assert told[0].position == Run.objects.of(lena.tenant).get(pk=run["id"]).event_position


def test_an_end_that_its_worker_could_not_tell_is_told_from_the_rows(lena: LiveCaller) -> None:
    """Exactly as it would have been told: the text's rest too, at the same positions."""
    thread, assistant = lena.thread("Hello"), lena.assistant(model="demo")
    told = read_events(streamed(lena, thread, assistant))
    run = run_of(lena, thread, "completed")
    for entry in events.told_of(run)[-5:]:  # two deltas and the three ends
        valkey.blocking().xdel(events.key(run), f"{entry.position}-0")
    again = read_events(whole(lena, f"threads/{thread}/runs/{run}/events"))
    assert again[-4:] == told[-4:]
    text = Message.objects.of(lena.tenant).get(thread_id=thread, role="assistant").text
    deltas = [e.data["delta"]["content"][0]["text"]["value"] for e in again if e.name == "thread.message.delta"]
    assert "".join(deltas) == text
    behind = whole(lena, f"threads/{thread}/runs/{run}/events", str(again[-4].position))
    assert read_events(behind) == again[-3:]
    Folded(again).equals_rest(lena)


@pytest.mark.slow
def test_silences_are_filled_with_comments(lena: LiveCaller) -> None:
    silent = Answer((*streaming(delta(content="Half "), done=False).pieces, 4.0, *streaming(delta("stop")).pieces))
    with QuirkServer(silent) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Hello")
        lena.post(f"threads/{thread}/runs", {"assistant_id": lena.assistant()})
        run = run_of(lena, thread, "in_progress")
        with opened(lena, f"threads/{thread}/runs/{run}/events") as response:
            raw = b"".join(response.iter_content(None))
    assert KEEP_ALIVE in raw
    Folded(read_events(raw.replace(KEEP_ALIVE, b""))).equals_rest(lena)
