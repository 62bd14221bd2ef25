"""How runs end other than well, and what is told and kept then."""

import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from assistant_site.llm.chat import Usage
from assistant_site.llm.tests.quirk_server import (
    CUT,
    HANG,
    Answer,
    QuirkServer,
    answering,
    called,
    delta,
    refusing,
    said,
    streaming,
)
from assistant_site.tests.callers import Event, LiveCaller, LocalCaller, pauses
from assistant_site.tests.stack import Stack
from metering.models import Balance, Budget, LedgerEntry
from runs import holding
from runs.models import Run
from runs.tests.folding import Folded, shape
from runs.turn import usage_json

FUNCTION = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}}}
HALF_A_TEXT = Answer((*streaming(delta(role="assistant", content="Half a "), done=False).pieces, HANG))


class Background(threading.Thread):
    """A streamed run in a thread of its own."""

    def __init__(self, lena: LiveCaller, path: str, body: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.lena, self.path, self.body = lena, path, body
        self.events: list[Event] = []
        self.start()

    def run(self) -> None:
        other = LiveCaller(self.lena.tenant, self.lena.token, self.lena.url)  # a session is for one thread
        self.events = other.stream(self.path, self.body)

    def ended(self) -> list[Event]:
        self.join(60)
        assert self.events, "the stream did not end"
        return self.events


def run_of(lena: LiveCaller, thread: str, status: str) -> str:
    """The thread's newest run, once it is in this state."""
    waiting = pauses()
    while True:
        runs = lena.get(f"threads/{thread}/runs")["data"]
        if runs and runs[0]["status"] == status:
            return str(runs[0]["id"])
        assert next(waiting, False), runs


def is_free(lena: LiveCaller, thread: str) -> bool:
    return lena.post(f"threads/{thread}/messages", {"role": "user", "content": "next"}).status == 200


def test_cancelling_while_the_model_speaks(lena: LiveCaller) -> None:
    with QuirkServer(HALF_A_TEXT) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Hello")
        stream = Background(lena, f"threads/{thread}/runs", {"assistant_id": lena.assistant()})
        run = run_of(lena, thread, "in_progress")
        while not lena.get(f"threads/{thread}/messages?run_id={run}")["data"]:
            time.sleep(0.01)

        started = time.monotonic()
        answer = lena.post(f"threads/{thread}/runs/{run}/cancel")
        assert answer["status"] == "cancelling"
        ended = lena.settled(thread, run)
        assert time.monotonic() - started < 8  # a heartbeat would notice it later
        events = stream.ended()
        deadline = time.monotonic() + 60
        while not provider.left:  # the model's connection was closed
            assert time.monotonic() < deadline
            time.sleep(0.01)

    assert (ended["status"], ended["last_error"], ended["expires_at"]) == ("cancelled", None, None)
    assert ended["cancelled_at"]
    assert shape(events)[-6:] == [
        "message.delta", "run.cancelling", "message.incomplete", "run.step.cancelled", "run.cancelled", "done",
    ]  # fmt: skip
    Folded(events).equals_rest(lena)
    message = lena.messages(thread)[-1]
    assert (message["status"], message["incomplete_details"]) == ("incomplete", {"reason": "run_cancelled"})
    assert message["content"][0]["text"]["value"] == "Half a "
    [entry] = LedgerEntry.objects.of(lena.tenant)
    assert (entry.key, entry.state, entry.completion_tokens) == (f"{run}/1", "settled", 2)
    assert entry.prompt_tokens > 5
    assert ended["usage"]["total_tokens"] == entry.prompt_tokens + entry.completion_tokens
    assert lena.steps(thread, run)[0]["usage"]["total_tokens"] == ended["usage"]["total_tokens"]
    assert is_free(lena, thread)
    again = lena.post(f"threads/{thread}/runs/{run}/cancel")
    assert (again.status, again.error["message"]) == (400, "Cannot cancel run with status 'cancelled'.")


def test_a_cancel_that_comes_at_the_last_moment_spares_no_tokens(lena: LiveCaller) -> None:
    budget = Budget.objects.create(tenant=lena.tenant, amount=10_000)
    long = Answer((*streaming(delta(role="assistant", content="ab " * 1_000), done=False).pieces, HANG))
    with QuirkServer(long) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Hello")
        run = lena.post(f"threads/{thread}/runs", {"assistant_id": lena.assistant(), "max_completion_tokens": 300})[
            "id"
        ]
        while not lena.get(f"threads/{thread}/messages?run_id={run}")["data"]:
            time.sleep(0.01)
        lena.post(f"threads/{thread}/runs/{run}/cancel")
        ended = lena.settled(thread, run)
    balance = Balance.objects.of(lena.tenant).get(budget=budget)
    assert ended["usage"]["completion_tokens"] == 300  # never more than it was allowed
    assert (balance.spent, balance.reserved) == (ended["usage"]["total_tokens"], 0)


def test_a_turn_that_was_counted_is_not_counted_again_when_its_run_is_cancelled(alice: LocalCaller) -> None:
    thread = alice.thread("Hello")
    made = alice.post(f"threads/{thread}/runs", {"assistant_id": alice.assistant()})
    run, _ = holding.claim(made["id"], "test", alice.tenant.pk) or pytest.fail("not to be had")
    spent = usage_json(Usage(7, 3))
    step, _ = holding.open_calls(run, run.event_position, 1)
    holding.keep_calls(run, run.event_position, step, [], spent, "")
    assert alice.post(f"threads/{thread}/runs/{made['id']}/cancel")["status"] == "cancelling"
    holding.finish_cancelled(run, run.event_position, cut_off=(1, spent))
    ended = alice.get(f"threads/{thread}/runs/{made['id']}")
    assert (ended["status"], ended["usage"]["total_tokens"]) == ("cancelled", 10)
    assert [entry.prompt_tokens + entry.completion_tokens for entry in LedgerEntry.objects.of(alice.tenant)] == [10]


def test_cancelling_while_functions_are_awaited(lena: LiveCaller) -> None:
    thread = lena.thread("call:lookup {}")
    run = lena.run(thread, lena.assistant(tools=[FUNCTION]))
    assert lena.post(f"threads/{thread}/runs/{run['id']}/cancel")["status"] == "cancelling"
    ended = lena.settled(thread, run["id"], beyond="requires_action")
    assert (ended["status"], ended["required_action"]) == ("cancelled", None)
    assert ended["usage"]["total_tokens"] > 0
    [step] = lena.steps(thread, run["id"])
    assert step["status"] == "cancelled"
    refused = lena.post(f"threads/{thread}/runs/{run['id']}/submit_tool_outputs", {"tool_outputs": []})
    assert refused.error["message"] == 'Runs in status "cancelled" do not accept tool outputs.'
    assert is_free(lena, thread)


def test_outputs_that_do_not_fit(lena: LiveCaller) -> None:
    thread = lena.thread("call:lookup {}\ncall:lookup {}")
    run = lena.run(thread, lena.assistant(tools=[FUNCTION]))
    first, second = [call["id"] for call in run["required_action"]["submit_tool_outputs"]["tool_calls"]]
    path = f"threads/{thread}/runs/{run['id']}/submit_tool_outputs"

    for given in ([first], [], [first, first], [first, second, "call_x"], ["call_x", second]):
        refused = lena.post(path, {"tool_outputs": [{"tool_call_id": id, "output": ""} for id in given]})
        assert refused.status == 400
        assert refused.error["message"] == f"Expected tool outputs for call_ids {[first, second]}, got {given}"
    bad = lena.post(path, {"tool_outputs": [{"tool_call_id": first, "output": {"a": 1}}]})
    assert bad.error["param"] == "tool_outputs[0].output"

    outputs = [{"tool_call_id": first, "output": ""}, {"tool_call_id": second, "output": "x"}]
    answer = lena.post(path, {"tool_outputs": outputs})
    assert answer["status"] == "queued"
    assert answer["required_action"] is None
    assert answer.headers["openai-poll-after-ms"]
    twice = lena.post(path, {"tool_outputs": outputs})
    assert twice.status == 400
    assert twice.error["message"].startswith('Runs in status "')
    assert lena.settled(thread, run["id"])["status"] == "completed"


def test_a_run_under_way_cannot_be_modified(lena: LiveCaller) -> None:
    with QuirkServer(HALF_A_TEXT) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Hello")
        lena.post(f"threads/{thread}/runs", {"assistant_id": lena.assistant()})
        run = run_of(lena, thread, "in_progress")
        refused = lena.post(f"threads/{thread}/runs/{run}", {"metadata": {"a": "b"}})
        assert (refused.status, refused.error["message"]) == (400, "Cannot update run with status 'in_progress'.")
        lena.post(f"threads/{thread}/runs/{run}/cancel")
        lena.settled(thread, run)
    assert lena.post(f"threads/{thread}/runs/{run}", {"metadata": {"a": "b"}})["metadata"] == {"a": "b"}


def test_an_answer_that_is_too_long(lena: LiveCaller) -> None:
    with QuirkServer(said("A long ", "story", finish="length", usage=(10, 256))) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Tell")
        body = {"assistant_id": lena.assistant(), "max_completion_tokens": 256}
        events = lena.stream(f"threads/{thread}/runs", body)
    assert shape(events)[-4:] == ["message.incomplete", "run.step.completed", "run.incomplete", "done"]
    folded = Folded(events)
    folded.equals_rest(lena)
    assert folded.run["incomplete_details"] == {"reason": "max_completion_tokens"}
    assert folded.run["usage"]["completion_tokens"] == 256
    assert lena.messages(thread)[-1]["incomplete_details"] == {"reason": "max_tokens"}
    assert is_free(lena, thread)


QUOTA = "You exceeded your current quota, please check your plan and billing details."
FAILURES = [
    (refusing(429), "rate_limit_exceeded", ""),
    (refusing(429, "insufficient_quota"), "rate_limit_exceeded", QUOTA),
    (refusing(401, message="Incorrect API key provided: sk-operator"), "server_error", "credential"),
    (refusing(500), "server_error", ""),
    (refusing(400, "context_length_exceeded", "Too many tokens."), "invalid_prompt", "Too many tokens."),
    (answering(b"<html>", headers={"content-type": "text/html"}), "server_error", "OpenAI-compatible"),
    (streaming({"error": {"message": "boom", "code": None}}, done=False), "server_error", ""),
    (streaming(), "server_error", ""),
    (Answer((b"not json at all",)), "server_error", ""),
    (Answer((CUT,)), "server_error", ""),
]


@pytest.mark.parametrize(("answer", "code", "words"), FAILURES)
def test_a_model_that_fails(lena: LiveCaller, answer: Answer, code: str, words: str) -> None:
    with QuirkServer(answer) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Hello")
        events = lena.stream(f"threads/{thread}/runs", {"assistant_id": lena.assistant()})
        address = provider.base_url
    assert shape(events)[-2:] == ["run.failed", "done"]
    folded = Folded(events)
    folded.equals_rest(lena)
    error = folded.run["last_error"]
    assert error["code"] == code
    assert words in error["message"]
    assert error["message"]
    assert "sk-operator" not in error["message"]
    assert address not in error["message"]
    assert folded.run["failed_at"]
    assert folded.run["usage"] is not None
    assert is_free(lena, thread)


def test_a_model_that_breaks_off_keeps_what_it_said(lena: LiveCaller) -> None:
    pieces = streaming(delta(role="assistant", content="Half a "), delta(content="text"), done=False).pieces
    with QuirkServer(Answer((*pieces, 0.05, CUT))) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Hello")
        events = lena.stream(f"threads/{thread}/runs", {"assistant_id": lena.assistant()})
    assert shape(events)[-4:] == ["message.incomplete", "run.step.failed", "run.failed", "done"]
    folded = Folded(events)
    folded.equals_rest(lena)
    [step] = folded.steps.values()
    assert step["last_error"]["code"] == "server_error"
    assert lena.last_text(thread) == "Half a text"
    assert lena.messages(thread)[-1]["incomplete_details"] == {"reason": "run_failed"}


def test_a_provider_that_is_not_there(lena: LiveCaller) -> None:
    lena.provided_by("http://127.0.0.1:1/v1")
    run = lena.run(lena.thread("Hello"), lena.assistant())
    assert (run["status"], run["last_error"]["code"]) == ("failed", "server_error")
    assert "127.0.0.1" not in run["last_error"]["message"]


def test_a_rate_limit_that_passes_is_waited_for(lena: LiveCaller) -> None:
    with QuirkServer(refusing(429, retry_after="1"), said("Hello")) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Hi")
        assert lena.run(thread, lena.assistant())["status"] == "completed"
    assert lena.last_text(thread) == "Hello"


def test_the_content_filter(lena: LiveCaller) -> None:
    with QuirkServer(said("I ", finish="content_filter")) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Hello")
        run = lena.run(thread, lena.assistant())
    assert run["status"] == "failed"
    assert "content filter" in run["last_error"]["message"]
    [step] = lena.steps(thread, run["id"])
    assert step["usage"] == run["usage"]
    assert step["usage"]["total_tokens"] == 10


def test_a_run_without_end_is_ended(lena: LiveCaller) -> None:
    with QuirkServer(called(("nothing", "{}"))) as provider:
        lena.provided_by(provider.base_url)
        run = lena.run(lena.thread("Go"), lena.assistant(tools=[FUNCTION]))
        assert len(provider.requests) == 25
    assert run["status"] == "failed"
    assert "25 model turns" in run["last_error"]["message"]


def test_a_budget_over_several_turns(lena: LiveCaller) -> None:
    turn = streaming(
        delta(tool_calls=[{"index": 0, "id": "c", "type": "function", "function": {"name": "no", "arguments": "{}"}}]),
        delta("tool_calls"),
        {"choices": [], "usage": {"prompt_tokens": 200, "completion_tokens": 150, "total_tokens": 350}},
    )
    with QuirkServer(turn) as provider:
        lena.provided_by(provider.base_url)
        run = lena.run(lena.thread("Go"), lena.assistant(tools=[FUNCTION]), max_completion_tokens=256)
        budgets = [request.body["max_completion_tokens"] for request in provider.requests]
    assert (run["status"], run["incomplete_details"]) == ("incomplete", {"reason": "max_completion_tokens"})
    assert budgets == [256, 106]
    assert (run["usage"]["prompt_tokens"], run["usage"]["completion_tokens"]) == (400, 300)


@pytest.mark.parametrize(("limit", "spent"), [("prompt", (300, 10)), ("completion", (10, 256))])
def test_a_budget_that_is_used_up_before_the_outputs_come(lena: LiveCaller, limit: str, spent: tuple[int, int]) -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}
    usage = {"prompt_tokens": spent[0], "completion_tokens": spent[1], "total_tokens": sum(spent)}
    turn = streaming(delta(tool_calls=[call]), delta("tool_calls"), {"choices": [], "usage": usage})
    with QuirkServer(turn) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Go")
        run = lena.run(thread, lena.assistant(tools=[FUNCTION]), **{f"max_{limit}_tokens": 256})
        assert run["status"] == "requires_action"
        path = f"threads/{thread}/runs/{run['id']}/submit_tool_outputs"
        events = lena.stream(path, {"tool_outputs": [{"tool_call_id": "c", "output": "42"}]})
        assert len(provider.requests) == 1
    assert shape(events) == ["run.step.completed", "run.queued", "run.in_progress", "run.incomplete", "done"]
    folded = Folded(events)
    folded.equals_rest(lena)
    assert folded.run["incomplete_details"] == {"reason": f"max_{limit}_tokens"}
    assert is_free(lena, thread)


def test_a_model_that_breaks_off_in_a_call_keeps_what_it_called(lena: LiveCaller) -> None:
    opening = {"index": 0, "id": "c", "type": "function", "function": {"name": "lookup", "arguments": '{"ke'}}
    pieces = streaming(delta(tool_calls=[opening]), done=False).pieces
    with QuirkServer(Answer((*pieces, 0.05, CUT))) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Go")
        events = lena.stream(f"threads/{thread}/runs", {"assistant_id": lena.assistant(tools=[FUNCTION])})
    assert shape(events)[-4:] == ["run.step.delta", "run.step.failed", "run.failed", "done"]
    folded = Folded(events)
    folded.equals_rest(lena)
    [step] = folded.steps.values()
    [call] = step["step_details"]["tool_calls"]
    assert call["function"] == {"name": "lookup", "arguments": '{"ke', "output": None}


def test_functions_awaited_for_too_long(lena: LiveCaller) -> None:
    thread = lena.thread("call:lookup {}")
    run = lena.run(thread, lena.assistant(tools=[FUNCTION]))
    Run.objects.of(lena.tenant).filter(pk=run["id"]).update(expires_at=timezone.now() - timedelta(seconds=1))
    ended = lena.settled(thread, run["id"], beyond="requires_action")
    assert (ended["status"], ended["required_action"], ended["expires_at"]) == ("expired", None, None)
    assert lena.steps(thread, run["id"])[0]["status"] == "expired"
    assert is_free(lena, thread)


@pytest.mark.slow
def test_a_run_that_outlives_its_time(lena: LiveCaller, tmp_path: Path) -> None:
    with (
        QuirkServer(HALF_A_TEXT) as provider,
        Stack(
            folder=tmp_path, env={"RUN_SECONDS": "6"}, workers=0, ingestions=0
        ) as short,  # the web decides on `expires_at`; long enough for a busy machine
    ):
        lena.provided_by(provider.base_url)
        impatient = LiveCaller(lena.tenant, lena.token, short.url)
        thread = lena.thread("Hello")
        events = impatient.stream(f"threads/{thread}/runs", {"assistant_id": lena.assistant()})
    assert shape(events)[-4:] == ["message.incomplete", "run.step.expired", "run.expired", "done"]
    Folded(events).equals_rest(lena)
    assert lena.messages(thread)[-1]["incomplete_details"] == {"reason": "run_expired"}
    assert is_free(lena, thread)


def test_deleting_the_thread_ends_its_run(lena: LiveCaller) -> None:
    with QuirkServer(HALF_A_TEXT) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Hello")
        lena.post(f"threads/{thread}/runs", {"assistant_id": lena.assistant()})
        run = run_of(lena, thread, "in_progress")
        assert lena.delete(f"threads/{thread}").status == 200
        deadline = time.monotonic() + 60
        while not provider.left:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert lena.get(f"threads/{thread}/runs/{run}").status == 404
