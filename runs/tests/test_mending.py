"""Events that were lost between a commit and their telling are told by whoever takes the run up, or follows it."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from assistant_site.tests.callers import Event, LocalCaller
from runs import actions, endings, events, holding, recovery
from runs.models import Run
from runs.tests.folding import Folded, shape

FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}", "output": None}}


def told(run_id: str) -> list[Event]:
    """What a reader from the start has got, as if the stream ended here."""
    entries = [Event(t.name.decode(), json.loads(t.data), t.position) for t in events.told_of(run_id)]
    return [*entries, Event("done", None)]


def queued_long_ago(alice: LocalCaller, run_id: str) -> Run:
    runs = Run.objects.of(alice.tenant).filter(pk=run_id)
    runs.update(queued_at=timezone.now() - timedelta(seconds=5))
    run: Run = runs.get()
    return run


def claimed(run_id: str) -> Run:
    """Claimed and told, as a worker does it."""
    found = holding.claim(run_id, "somebody", Run.objects.across_tenants().get(pk=run_id).tenant_id)
    assert found is not None
    run, telling = found
    events.append(run.pk, run.event_position, telling, wait=False)
    run.event_position += len(telling)
    return run


@pytest.fixture
def mute(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on nobody tells anything: a process that dies right after its commit."""
    append = events.append

    def silence() -> None:
        monkeypatch.setattr(events, "append", lambda *args, **options: None)
        monkeypatch.setattr(actions, "enqueue_run", lambda run_id, tenant_id, told=None: None)

    def speak() -> None:
        monkeypatch.setattr(events, "append", append)

    silence.speak = speak  # type: ignore[attr-defined]
    return silence


def test_a_new_run_that_nobody_was_told_of(alice: LocalCaller, mute: Any) -> None:
    assistant = alice.assistant()
    mute()
    first = alice.post(
        "threads/runs", {"assistant_id": assistant, "thread": {"messages": [{"role": "user", "content": "Hi"}]}}
    )
    second = alice.post(f"threads/{alice.thread('Hi')}/runs", {"assistant_id": assistant})
    mute.speak()
    for made in (first, second):
        queued_long_ago(alice, made["id"])
        claimed(made["id"])
    assert shape(told(first["id"]))[:-1] == ["created", "run.created", "run.queued", "run.in_progress"]
    assert shape(told(second["id"]))[:-1] == ["run.created", "run.queued", "run.in_progress"]


def waiting(alice: LocalCaller, *, tell: bool = True) -> tuple[str, Run]:
    """A run that waits for the output of a call: its thread and itself. With `tell` its readers know all of it."""
    thread = alice.thread("Hi")
    made = alice.post(f"threads/{thread}/runs", {"assistant_id": alice.assistant(tools=[FUNCTION])})
    run = claimed(made["id"])
    step, telling = holding.open_calls(run, run.event_position, 1)
    events.append(run.pk, run.event_position, telling)
    details = {"type": "tool_calls", "tool_calls": [{"index": 0, **json.loads(json.dumps(CALL))}]}
    call = {"id": step.pk, "object": "thread.run.step.delta", "delta": {"step_details": details}}
    position = run.event_position + len(telling) + 1
    spent: dict[str, Any] = {}
    telling = holding.wait_for_outputs(run, position, step, [json.loads(json.dumps(CALL))], spent, 1, [])
    if tell:
        events.append(run.pk, position - 1, [("thread.run.step.delta", call), *telling])
    return thread, run


def test_outputs_that_nobody_was_told_of(alice: LocalCaller, mute: Any) -> None:
    thread, run = waiting(alice)
    mute()
    body = {"tool_outputs": [{"tool_call_id": "call_1", "output": "x"}]}
    assert alice.post(f"threads/{thread}/runs/{run.pk}/submit_tool_outputs", body)["status"] == "queued"
    mute.speak()
    claimed(run.pk)
    seen = told(run.pk)
    assert shape(seen)[-6:-1] == [
        "run.step.delta", "run.requires_action", "run.step.completed", "run.queued", "run.in_progress",
    ]  # fmt: skip
    assert seen[-4].data["step_details"]["tool_calls"][0]["function"]["output"] == "x"
    assert [event.position for event in seen[:-1]] == list(range(1, len(seen)))
    assert claimed_position(alice, run.pk) == len(seen) - 1
    Folded(seen)


def claimed_position(alice: LocalCaller, run_id: str) -> int:
    run: Run = Run.objects.of(alice.tenant).get(pk=run_id)
    return run.event_position


def test_what_is_told_late_is_told_once(alice: LocalCaller, mute: Any) -> None:
    """The teller was only slow: it tells the same, at the same positions."""
    thread, run = waiting(alice)
    before = claimed_position(alice, run.pk)
    mute()
    body = {"tool_outputs": [{"tool_call_id": "call_1", "output": "x"}]}
    alice.post(f"threads/{thread}/runs/{run.pk}/submit_tool_outputs", body)
    mute.speak()
    claimed(run.pk)
    seen = told(run.pk)
    events.append(run.pk, before, [("thread.run.step.completed", {}), ("thread.run.queued", {})])
    assert told(run.pk) == seen


def test_an_end_told_from_the_rows_is_in_the_stream_for_the_next_reader(alice: LocalCaller) -> None:
    thread = alice.thread("Hi")
    run = claimed(alice.post(f"threads/{thread}/runs", {"assistant_id": alice.assistant()})["id"])
    position = run.event_position
    step, message, telling = holding.open_message(run, position, 1)
    events.append(run.pk, position, telling)
    position += len(telling)
    content = [{"type": "text", "text": {"value": "Hello", "annotations": []}}]
    holding.finish(run, position + 1, 1, {}, message=(step, message, content))  # one delta, and nothing is told
    ending = endings.from_rows(run.pk, position, step.pk, message.pk)
    assert ending is not None
    seen = told(run.pk)
    assert shape(seen)[-5:] == [
        "message.delta",
        "message.completed",
        "run.step.completed",
        "run.completed",
        "done",
    ]
    assert [entry.position for entry in ending.told] == [event.position for event in seen[-5:-1]]
    Folded(seen)


def test_a_reader_who_was_not_given_the_end_yet_waits_for_its_stream(alice: LocalCaller) -> None:
    thread = alice.thread("Hi")
    run = claimed(alice.post(f"threads/{thread}/runs", {"assistant_id": alice.assistant()})["id"])
    before = position = run.event_position
    step, message, telling = holding.open_message(run, position, 1)
    events.append(run.pk, position, telling)
    position += len(telling)
    content = [{"type": "text", "text": {"value": "", "annotations": []}}]
    events.append(run.pk, position, holding.finish(run, position, 1, {}, message=(step, message, content)))
    seen = events.told_of(run.pk)
    assert endings.from_rows(run.pk, before, None, None) is None
    assert events.told_of(run.pk) == seen


@pytest.mark.parametrize("end", ["cancelled", "expired"])
def test_a_run_that_ends_behind_outputs_that_nobody_was_told_of(alice: LocalCaller, mute: Any, end: str) -> None:
    """The step's end comes before the run's: readers have seen it begin."""
    thread, run = waiting(alice)
    mute()
    path = f"threads/{thread}/runs/{run.pk}"
    outputs = {"tool_outputs": [{"tool_call_id": "call_1", "output": "7"}]}
    assert alice.post(f"{path}/submit_tool_outputs", outputs).status == 200
    mute.speak()
    if end == "cancelled":
        assert alice.post(f"{path}/cancel").status == 200
    else:
        Run.objects.of(alice.tenant).filter(pk=run.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
        recovery.tick()
    names = [name for name in shape(told(run.pk)) if name != "run.cancelling"]
    assert names[-4:] == ["run.step.completed", "run.queued", f"run.{end}", "done"]
    Folded(told(run.pk))


def test_outputs_behind_a_wait_that_nobody_was_told_of(alice: LocalCaller, mute: Any) -> None:
    thread, run = waiting(alice, tell=False)
    outputs = {"tool_outputs": [{"tool_call_id": "call_1", "output": "7"}]}
    assert alice.post(f"threads/{thread}/runs/{run.pk}/submit_tool_outputs", outputs).status == 200
    assert shape(told(run.pk))[-5:] == [
        "run.step.delta",
        "run.requires_action",
        "run.step.completed",
        "run.queued",
        "done",
    ]
