"""Several web processes and workers over one PostgreSQL and one Valkey; workers that come and go under load."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from pathlib import Path

import pytest

from assistant_site.embedded.process import alive
from assistant_site.llm.tests.quirk_server import Answer, QuirkServer, delta, streaming
from assistant_site.tests.callers import LiveCaller
from assistant_site.tests.stack import Stack
from runs import context, sent_prompts
from runs.models import Run
from runs.tests.folding import Folded, shape
from runs.tests.test_endings import FUNCTION, Background, run_of
from runs.tests.test_rejoining import slowly
from threads.models import Message

pytestmark = pytest.mark.slow
HELLO = {"thread": {"messages": [{"role": "user", "content": "Hello"}]}}


@pytest.fixture(scope="module")
def crew(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two web processes and two workers; the session's own worker rests meanwhile."""
    stack.stop("worker-1")
    env = {"RUN_LEASE_SECONDS": "3", "WORKER_DRAIN_SECONDS": "1", "KEEP_PROMPTS_HOURS": "1"}
    with Stack(folder=tmp_path_factory.mktemp("crew"), webs=2, workers=2, ingestions=0, env=env) as running:
        yield running
    stack.start("worker-1")
    stack.wait_ready()


@pytest.fixture
def pair(crew: Stack, lena: LiveCaller) -> tuple[LiveCaller, LiveCaller]:
    """The same caller at one web process and at the other."""
    one, other = (LiveCaller(lena.tenant, lena.token, url) for url in crew.urls)
    return one, other


def test_any_web_process_serves_any_part_of_a_threads_life(pair: tuple[LiveCaller, LiveCaller]) -> None:
    """Streamed on one, cancelled on the other; the next run's outputs come to the first."""
    one, other = pair
    forever = Answer((*streaming(delta(content="On and on "), done=False).pieces, 30.0))
    assistant, thread = one.assistant(tools=[FUNCTION]), one.thread("Hello")
    with QuirkServer(forever) as provider:
        one.provided_by(provider.base_url)
        stream = Background(one, f"threads/{thread}/runs", {"assistant_id": assistant})
        run = run_of(other, thread, "in_progress")
        while not other.get(f"threads/{thread}/messages?run_id={run}")["data"]:
            time.sleep(0.01)
        assert other.post(f"threads/{thread}/runs/{run}/cancel")["status"] == "cancelling"
        assert shape(stream.ended())[-2:] == ["run.cancelled", "done"]
        Folded(stream.ended()).equals_rest(other)
    one.provided_by_nobody()
    assert other.post(f"threads/{thread}/messages", {"role": "user", "content": "call:lookup {}"}).status == 200
    first = other.stream(f"threads/{thread}/runs", {"assistant_id": assistant})
    waiting = first[-2].data
    [call] = waiting["required_action"]["submit_tool_outputs"]["tool_calls"]
    outputs = {"tool_outputs": [{"tool_call_id": call["id"], "output": "7"}]}
    second = one.stream(f"threads/{thread}/runs/{waiting['id']}/submit_tool_outputs", outputs)
    assert shape(second)[-2:] == ["run.completed", "done"]
    Folded(second).equals_rest(other)


def test_prompts_are_kept_where_that_is_wanted(pair: tuple[LiveCaller, LiveCaller]) -> None:
    one, _ = pair
    thread = one.thread('call:lookup {"key": "x"}')
    made = one.run(thread, one.assistant(tools=[FUNCTION], instructions="Be brief."))
    call = made["required_action"]["submit_tool_outputs"]["tool_calls"][0]["id"]
    outputs = {"tool_outputs": [{"tool_call_id": call, "output": "a kept output"}]}
    one.post(f"threads/{thread}/runs/{made['id']}/submit_tool_outputs", outputs)
    assert one.settled(thread, made["id"], beyond="requires_action")["status"] == "completed"
    run = Run.objects.of(one.tenant).get(pk=made["id"])
    kept = sent_prompts.of(run)
    assert sorted(kept) == [1, 2]
    assert [message["role"] for message in kept[1]["messages"]] == ["system", "user"]
    assert kept[2]["messages"][-1] == {"role": "tool", "tool_call_id": call, "content": "a kept output"}
    assert kept[2]["messages"][: len(kept[1]["messages"])] == kept[1]["messages"]
    then = copy(run)
    then.turns = 1
    assert context.build(then, []) == kept[2]["messages"], "as it is rebuilt from the rows"


def test_the_only_worker_is_stopped_among_a_hundred_streams(crew: Stack, pair: tuple[LiveCaller, LiveCaller]) -> None:
    one, _ = pair
    crew.stop("worker-2")
    with QuirkServer(slowly(50, 0.1)) as provider, ThreadPoolExecutor(100) as pool:
        one.provided_by(provider.base_url)
        assistant = one.assistant()
        threads = [one.thread(f"number {number}") for number in range(100)]
        streams = [Background(one, f"threads/{thread}/runs", {"assistant_id": assistant}) for thread in threads]
        while Message.objects.of(one.tenant).filter(role="assistant").count() < 100:
            time.sleep(0.05)  # until every model has begun to speak
        crew.stop("worker-1")
        handed_back = Run.objects.of(one.tenant).filter(status="queued").count()
        crew.start("worker-1")
        for stream in streams:
            stream.join(60)
        assert all(stream.events for stream in streams), "a reader did not see the end"
        folded = [Folded(stream.events) for stream in streams]
        list(pool.map(lambda each: each.equals_rest(LiveCaller(one.tenant, one.token, one.url)), folded))
    assert handed_back > 0  # where the machine is busy, the first to begin have ended
    assert {each.run["status"] for each in folded} == {"completed"}
    assert set(Run.objects.of(one.tenant).values_list("status", flat=True)) == {"completed"}
    crew.start("worker-2")
    crew.wait_ready()


def children_of(pid: int, number: int, without: int = 0) -> list[int]:
    """The children of a process, as soon as there are so many beside the one that is no longer wanted."""
    deadline = time.monotonic() + 15
    while True:
        found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        if len(found) == number and without not in found:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_worker_processes_that_are_recycled_and_one_that_is_killed(
    crew: Stack, pair: tuple[LiveCaller, LiveCaller]
) -> None:
    """One command with two processes: whichever ends is replaced, and none outlives the command."""
    one, _ = pair
    crew.stop("worker-1", "worker-2")
    env = {"WORKER_PROCESSES": "2", "WORKER_RECYCLE_RUNS": "3", "RUN_LEASE_SECONDS": "3", "WORKER_DRAIN_SECONDS": "1"}
    env |= {"DEMO_BASE_URL": f"{crew.url}/demo/v1"}
    recycled = Stack(folder=crew.folder / "recycled", webs=0, workers=1, ingestions=0, env=env)
    recycled.folder.mkdir()
    assistant = one.assistant(model="demo")
    with recycled, ThreadPoolExecutor(6) as pool:
        streams = [
            pool.submit(
                LiveCaller(one.tenant, one.token, one.url).stream, f"threads/{thread}/runs", {"assistant_id": assistant}
            )
            for thread in [one.thread("Hello") for _ in range(20)]
        ]
        for stream in streams:
            folded = Folded(stream.result(60))
            assert folded.run["status"] == "completed"
        assert "died" not in recycled.logs(1000)
        members = children_of(recycled.pid("worker-1"), 2)
        os.kill(members[0], signal.SIGKILL)
        members = children_of(recycled.pid("worker-1"), 2, without=members[0])
        assert one.run(one.thread("Hello"), assistant)["status"] == "completed"
        recycled.stop("worker-1")
        assert not any(map(alive, members))
    assert "A worker process died (-9); it starts again in 0.5 s." in recycled.logs(1000)
    owners = set(Run.objects.of(one.tenant).values_list("claimed_by", flat=True))
    assert len(owners) >= 3
    crew.start("worker-1", "worker-2")
