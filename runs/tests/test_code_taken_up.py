"""Code whose worker dies or stops: it is never run twice, and its readers are told everything once."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from assistant_site.llm.tests.quirk_server import QuirkServer, said
from assistant_site.tests.stack import Stack
from runs.models import Run, RunStep
from runs.tests.coding import CodingCaller, code, writing
from runs.tests.folding import Folded, calls_of, shape
from runs.tests.test_endings import is_free, run_of
from runs.tests.test_streams import TEXT

pytestmark = pytest.mark.slow
Loss = Callable[[Stack], None]


def killed(stack: Stack) -> None:
    stack.kill("worker-1")
    stack.start("worker-1")


def stopped(stack: Stack) -> None:
    stack.restart("worker-1")


@pytest.mark.parametrize("loss", [killed, stopped])
def test_code_goes_on_when_its_worker_is_lost(cora: CodingCaller, coding_stack: Stack, loss: Loss) -> None:
    source = code("print one", "image a", "sleep 1", "print two", "sleep 7", "image b", "print three")
    with QuirkServer(writing(source), said("All of it.")) as provider:
        cora.provided_by(provider.base_url)
        thread = cora.thread("Go")
        stream = cora.streamed(thread, cora.coder())
        run = run_of(cora, thread, "in_progress")
        cora.wait_for_executions(thread, 1)
        time.sleep(2)
        loss(coding_stack)
        ended = cora.settled(thread, run)
        events = stream.ended()
        assert len(provider.requests) == 2
    assert ended["status"] == "completed"
    folded = Folded(events)
    folded.equals_rest(cora)
    assert len(cora.executions(thread)) == 1
    step, _ = cora.steps(thread, run)
    assert step["status"] == "completed"
    outputs = step["step_details"]["tool_calls"][0]["code_interpreter"]["outputs"]
    assert [each.get("logs") for each in outputs] == ["one\n", None, "two\n", None, "three\n"] or [
        each.get("logs") for each in outputs
    ] == ["one\n", None, "two\n", None, "three\n"]
    assert [part["type"] for part in cora.messages(thread)[-1]["content"]] == ["image_file", "image_file", "text"]
    assert [name for name in shape(events) if name != "run.step.delta"] == [
        "run.created", "run.queued", "run.in_progress", "run.step.created", "run.step.in_progress",
        "run.queued", "run.in_progress", "run.step.completed", *TEXT,
    ]  # fmt: skip
    assert ended["usage"]["total_tokens"] == 20
    assert step["usage"]["total_tokens"] == 10


@pytest.mark.parametrize("loss", [killed, stopped])
def test_of_two_calls_the_finished_one_is_not_run_again(cora: CodingCaller, coding_stack: Stack, loss: Loss) -> None:
    first, second = code("print one", "image a"), code("print two", "sleep 8", "print three")
    with QuirkServer(writing(first, second, ("lookup", "{}")), said("Both.")) as provider:
        cora.provided_by(provider.base_url)
        thread = cora.thread("Go")
        function = {"type": "function", "function": {"name": "lookup"}}
        stream = cora.streamed(thread, cora.coder(function))
        run = run_of(cora, thread, "in_progress")
        cora.wait_for_executions(thread, 2)
        time.sleep(1)
        loss(coding_stack)
        waiting = cora.settled(thread, run)
        assert waiting["status"] == "requires_action"
        Folded(stream.ended()).equals_rest(cora)
        [call] = waiting["required_action"]["submit_tool_outputs"]["tool_calls"]
        outputs = [{"tool_call_id": call["id"], "output": "42"}]
        events = cora.stream(f"threads/{thread}/runs/{run}/submit_tool_outputs", {"tool_outputs": outputs})
        told = [each["content"] for each in provider.requests[-1].body["messages"] if each["role"] == "tool"]
        assert len(provider.requests) == 2
    Folded(events).equals_rest(cora)
    assert len(cora.executions(thread)) == 2
    assert told[0].startswith("one\n[image ")
    assert told[1:] == ["two\nthree", "42"]
    assert [part["type"] for part in cora.messages(thread)[-1]["content"]] == ["image_file", "text"]


def test_a_run_whose_worker_died_is_cancelled(cora: CodingCaller, coding_stack: Stack) -> None:
    with QuirkServer(writing(code("print one", "sleep 60"))) as provider:
        cora.provided_by(provider.base_url)
        thread = cora.thread("Go")
        stream = cora.streamed(thread, cora.coder())
        run = run_of(cora, thread, "in_progress")
        cora.wait_for_executions(thread, 1)
        time.sleep(1)
        coding_stack.kill("worker-1")
        cora.post(f"threads/{thread}/runs/{run}/cancel")
        coding_stack.start("worker-1")
        assert cora.settled(thread, run)["status"] == "cancelled"
        events = stream.ended()
    Folded(events).equals_rest(cora)
    [step] = cora.steps(thread, run)
    assert step["status"] == "cancelled"
    assert calls_of(step)[0][2]["outputs"] == [{"type": "logs", "logs": "one\n"}]
    assert is_free(cora, thread)


def test_a_run_that_was_handed_back_is_cancelled(cora: CodingCaller, coding_stack: Stack) -> None:
    with QuirkServer(writing(code("print one", "sleep 60"))) as provider:
        cora.provided_by(provider.base_url)
        thread = cora.thread("Go")
        stream = cora.streamed(thread, cora.coder())
        run = run_of(cora, thread, "in_progress")
        cora.wait_for_executions(thread, 1)
        time.sleep(1)
        coding_stack.stop("worker-1")
        try:
            assert cora.get(f"threads/{thread}/runs/{run}")["status"] == "queued"
            assert [step["status"] for step in cora.steps(thread, run)] == ["in_progress"]
            cora.post(f"threads/{thread}/runs/{run}/cancel")
            events = stream.ended()
        finally:
            coding_stack.start("worker-1")
    assert shape(events)[-5:] == ["run.queued", "run.cancelling", "run.step.cancelled", "run.cancelled", "done"]
    Folded(events).equals_rest(cora)
    ended = cora.get(f"threads/{thread}/runs/{run}")
    [step] = cora.steps(thread, run)
    assert (step["usage"]["total_tokens"], ended["usage"]["total_tokens"]) == (10, 10)


def test_code_that_ends_three_workers_fails_its_run(cora: CodingCaller, coding_stack: Stack) -> None:
    with QuirkServer(writing(code("print one", "sleep 60")), said("Never.")) as provider:
        cora.provided_by(provider.base_url)
        thread = cora.thread("Go")
        stream = cora.streamed(thread, cora.coder())
        run = run_of(cora, thread, "in_progress")
        cora.wait_for_executions(thread, 1)
        for attempt in (1, 2, 3):
            deadline = time.monotonic() + 60
            while 0 <= held(cora, run) < attempt:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            time.sleep(0.3)
            killed(coding_stack)
        ended = cora.settled(thread, run)
        events = stream.ended()
        assert len(provider.requests) == 1
    assert ended["status"] == "failed"
    assert "interrupted 3 times" in ended["last_error"]["message"]
    Folded(events).equals_rest(cora)
    assert len(cora.executions(thread)) == 1
    [step] = cora.steps(thread, run)
    assert (step["status"], step["last_error"]["code"]) == ("failed", "server_error")


def held(cora: CodingCaller, run: str) -> Any:
    """The attempt under way; 0 if nobody holds the run, -1 if it has ended."""
    row = Run.objects.of(cora.tenant).get(pk=run)
    if row.status == "failed":  # on a busy machine an attempt may lose its lease by itself
        return -1
    steps = RunStep.objects.of(cora.tenant).filter(run=row)
    return row.attempt if row.status == "in_progress" and row.claim and steps.exists() else 0
