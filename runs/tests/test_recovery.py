"""What the ticker makes of a run whose worker died between its writes and their telling."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from assistant_site import valkey
from assistant_site.llm.chat import Usage
from assistant_site.tests.callers import Event, LocalCaller
from runs import events, holding, recovery
from runs.events import Telling
from runs.models import Run
from runs.tests.folding import Folded, shape
from runs.turn import usage_json
from threads.models import Message


class DyingWorker:
    """A holder that writes like a worker and tells only what the test lets it tell."""

    def __init__(self, alice: LocalCaller) -> None:
        self.alice = alice
        self.thread = alice.thread("Hello")
        made = alice.post(f"threads/{self.thread}/runs", {"assistant_id": alice.assistant()})
        claimed = holding.claim(made["id"], "somebody", alice.tenant.pk)
        assert claimed is not None
        self.run, told = claimed
        self.position = self.run.event_position
        self.tell(told)

    def tell(self, told: Telling, *, aloud: bool = True) -> None:
        if aloud:
            events.append(self.run.pk, self.position, told, wait=False)
        self.position += len(told)

    def tell_text(self, message: Message, *pieces: str) -> None:
        for at, piece in enumerate(pieces):
            part: dict[str, Any] = {"value": piece} | ({} if at else {"annotations": []})
            content = [{"index": 0, "type": "text", "text": part}]
            data = {"id": message.pk, "object": "thread.message.delta", "delta": {"content": content}}
            self.tell([("thread.message.delta", data)])

    def die(self) -> Run:
        """Its lease ends, and a ticker looks."""
        runs = Run.objects.of(self.alice.tenant).filter(pk=self.run.pk)
        runs.update(lease_until=timezone.now() - timedelta(seconds=1))
        recovery.tick()
        run: Run = runs.get()
        return run

    def told(self) -> list[Event]:
        """What a reader from the start has got, as if the stream ended here."""
        told = [Event(t.name.decode(), json.loads(t.data), t.position) for t in events.told_of(self.run.pk)]
        return [*told, Event("done", None)]


@pytest.fixture
def worker(alice: LocalCaller) -> DyingWorker:
    return DyingWorker(alice)


def test_a_message_that_nobody_was_told_of(worker: DyingWorker) -> None:
    _, message, told = holding.open_message(worker.run, worker.position, 1)
    worker.tell(told, aloud=False)
    assert worker.die().status == "queued"
    assert shape(worker.told())[3:-1] == [
        "run.step.created", "run.step.in_progress", "message.created", "message.in_progress",
        "message.incomplete", "run.step.failed", "run.queued",
    ]  # fmt: skip
    Folded(worker.told())
    message.refresh_from_db()
    assert (message.status, message.text) == ("incomplete", "")


def test_a_message_keeps_what_readers_know_of_it(worker: DyingWorker) -> None:
    _, message, told = holding.open_message(worker.run, worker.position, 1)
    worker.tell(told)
    worker.tell_text(message, "Half ", "a text")
    worker.die()
    folded = Folded(worker.told())
    message.refresh_from_db()
    assert message.text == "Half a text"
    assert folded.messages[message.pk]["content"] == message.content


def test_a_message_whose_end_nobody_was_told_of(worker: DyingWorker) -> None:
    """It was complete, and stays so; readers get the rest of its text."""
    step, message, told = holding.open_message(worker.run, worker.position, 1)
    worker.tell(told)
    worker.tell_text(message, "Half ")
    content = [{"type": "text", "text": {"value": "Half a text", "annotations": []}}]
    holding.close_message(worker.run, worker.position + 1, step, message, content, {})
    worker.die()
    assert shape(worker.told())[-5:] == [
        "message.delta", "message.completed", "run.step.completed", "run.queued", "done",
    ]  # fmt: skip
    assert Folded(worker.told()).messages[message.pk]["content"] == content


def test_calls_that_were_answered_and_not_told(worker: DyingWorker) -> None:
    step, told = holding.open_calls(worker.run, worker.position, 1)
    worker.tell(told)
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}', "output": "no"}}]
    holding.complete_calls(worker.run, worker.position, step, calls, {}, 1)
    worker.die()
    folded = Folded(worker.told())
    assert folded.steps[step.pk]["status"] == "completed"
    assert folded.steps[step.pk]["step_details"]["tool_calls"] == calls
    assert "run.step.delta" in shape(worker.told())


def test_of_a_stream_that_was_lost_nothing_is_told_twice(worker: DyingWorker) -> None:
    step, message, told = holding.open_message(worker.run, worker.position, 1)
    worker.tell(told)
    holding.close_message(worker.run, worker.position, step, message, [], {})
    valkey.blocking().delete(events.key(worker.run.pk))
    worker.die()
    assert shape(worker.told()) == ["run.queued", "done"]


def test_the_third_death_fails_the_run(worker: DyingWorker) -> None:
    for _ in range(2):
        assert worker.die().status == "queued"
        claimed = holding.claim(worker.run.pk, "another", worker.run.tenant_id)
        assert claimed is not None
        worker.run = claimed[0]
    failed = worker.die()
    assert failed.status == "failed"
    assert failed.last_error == {
        "code": "server_error",
        "message": "The run was interrupted 3 times and is not tried again.",
    }
    assert worker.alice.post(f"threads/{worker.thread}/messages", {"role": "user", "content": "x"}).status == 200


def test_a_message_whose_beginning_was_lost_with_valkey_is_not_kept_from_its_middle(worker: DyingWorker) -> None:
    _, message, told = holding.open_message(worker.run, worker.position, 1)
    worker.tell(told)
    worker.tell_text(message, "Half ")
    valkey.blocking().delete(events.key(worker.run.pk))
    worker.tell_text(message, "a text")
    assert worker.die().status == "queued"
    message.refresh_from_db()
    assert (message.status, message.text) == ("incomplete", "")


def citation(at: int, text: str) -> dict[str, Any]:
    place = {"start_index": at, "end_index": at + len(text)}
    return {"type": "file_citation", "text": text, **place, "file_citation": {"file_id": "file-1", "quote": "q"}}


def test_citations_that_readers_know_are_kept_with_the_text(worker: DyingWorker) -> None:
    _, message, told = holding.open_message(worker.run, worker.position, 1)
    worker.tell(told)
    worker.tell_text(message, "It is so")
    part = {"value": "【1:0†a】", "annotations": [{"index": 0, **citation(8, "【1:0†a】")}]}
    data = {"content": [{"index": 0, "type": "text", "text": part}]}
    worker.tell([("thread.message.delta", {"id": message.pk, "object": "thread.message.delta", "delta": data})])
    worker.die()
    Folded(worker.told())
    message.refresh_from_db()
    text = {"value": "It is so【1:0†a】", "annotations": [citation(8, "【1:0†a】")]}
    assert message.content == [{"type": "text", "text": text}]


def test_citations_that_nobody_was_told_of_come_with_the_rest_of_the_text(worker: DyingWorker) -> None:
    step, message, told = holding.open_message(worker.run, worker.position, 1)
    worker.tell(told)
    worker.tell_text(message, "A ")
    text = {"value": "A 【1:0†a】 b", "annotations": [citation(2, "【1:0†a】")]}
    holding.close_message(worker.run, worker.position + 1, step, message, [{"type": "text", "text": text}], {})
    worker.die()
    Folded(worker.told())
    rest = worker.told()[-5].data["delta"]["content"][0]["text"]
    assert rest == {"value": "【1:0†a】 b", "annotations": [{"index": 0, **citation(2, "【1:0†a】")}]}


def test_a_search_that_nobody_was_told_of(worker: DyingWorker) -> None:
    step, told = holding.open_calls(worker.run, worker.position, 1)
    worker.tell(told)
    found = {"file_id": "file-1", "file_name": "a", "score": 0.5, "attributes": {}}
    details = {"ranking_options": {"ranker": "default_2024_08_21", "score_threshold": 0.0}, "results": [found]}
    calls = [{"id": "c1", "type": "file_search", "file_search": details}]
    holding.complete_calls(worker.run, worker.position + 1, step, calls, {}, 1)
    worker.die()
    folded = Folded(worker.told())
    [opening] = worker.told()[-4].data["delta"]["step_details"]["tool_calls"]
    assert opening == {"index": 0, "id": "c1", "type": "file_search", "file_search": {**details, "results": []}}
    assert folded.steps[step.pk]["step_details"]["tool_calls"] == calls


SEARCHED: dict[str, Any] = {
    "id": "c0",
    "type": "file_search",
    "file_search": {
        "ranking_options": {"ranker": "default_2024_08_21", "score_threshold": 0.0},
        "results": [{"file_id": "file-1", "file_name": "a", "score": 0.5, "attributes": {}}],
    },
}
FUNCTION = {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}", "output": None}}
COST = usage_json(Usage(7, 3))


def code_call(input: str, *logs: str) -> dict[str, Any]:
    outputs = [{"type": "logs", "logs": text} for text in logs]
    return {"id": "c1", "type": "code_interpreter", "code_interpreter": {"input": input, "outputs": outputs}}


def test_code_that_a_dead_worker_was_running_is_kept(worker: DyingWorker) -> None:
    """What was told of it counts, also if it is not stored; what is stored and was not told is told now, once."""
    step, told = holding.open_calls(worker.run, worker.position, 1)
    worker.tell(told)
    details = {"input": "print", "outputs": []}
    opening = {"index": 1, "id": "c1", "type": "code_interpreter", "code_interpreter": details}
    searched = {"index": 0, **SEARCHED, "file_search": {**SEARCHED["file_search"], "results": []}}
    worker.tell([("thread.run.step.delta", events.step_delta(step.pk, [searched, opening]))])
    step.carry = {"served": {}}
    holding.keep_calls(worker.run, worker.position, step, [SEARCHED, code_call("print(1)"), FUNCTION], COST, "")
    growth = {"index": 1, "type": "code_interpreter", "code_interpreter": {"input": "(1)"}}
    worker.tell([("thread.run.step.delta", events.step_delta(step.pk, [growth]))])
    output = {"outputs": [{"index": 0, "type": "logs", "logs": "1\n"}]}
    growth = {"index": 1, "type": "code_interpreter", "code_interpreter": output}
    worker.tell([("thread.run.step.delta", events.step_delta(step.pk, [growth]))])

    run = worker.die()
    assert (run.status, run.spent["total_tokens"]) == ("queued", 10)
    step.refresh_from_db()
    assert step.status == "in_progress"
    assert step.step_details["tool_calls"] == [SEARCHED, code_call("print(1)", "1\n"), FUNCTION]
    [rest] = worker.told()[-3].data["delta"]["step_details"]["tool_calls"]
    assert rest == {"index": 2, **FUNCTION}
    claimed = holding.claim(run.pk, "another", run.tenant_id)
    assert claimed is not None
    assert holding.kept_calls(claimed[0]) == step

    worker.run = claimed[0]
    holding.complete_calls(worker.run, worker.run.event_position, step, step.step_details["tool_calls"], COST, 1)
    assert worker.run.spent["total_tokens"] == 10  # counted once


def test_code_that_nobody_was_told_of_is_told_in_one_entry(worker: DyingWorker) -> None:
    """Clients put what they do not know of into a list as it is: two entries for one call would stay two."""
    step, told = holding.open_calls(worker.run, worker.position, 1)
    worker.tell(told)
    holding.complete_calls(worker.run, worker.position + 3, step, [code_call("print(1)", "1\n")], COST, 1)
    worker.die()
    [delta] = [event for event in worker.told() if event.name == "thread.run.step.delta"]
    outputs = [{"index": 0, "type": "logs", "logs": "1\n"}]
    details = {"input": "print(1)", "outputs": outputs}
    assert delta.data["delta"]["step_details"]["tool_calls"] == [
        {"index": 0, "id": "c1", "type": "code_interpreter", "code_interpreter": details}
    ]
    Folded(worker.told())
