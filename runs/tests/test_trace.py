"""The trace of a run: when each thing of it happened, and what it cost."""

import json
import time
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from assistant_site.llm.tests.quirk_server import HANG, Answer, QuirkServer, called, delta, said, streaming
from assistant_site.tests.callers import LiveCaller, LocalCaller, pauses
from metering.models import Price
from runs.models import Run, RunStep
from runs.tests.coding import CodingCaller, code, writing
from runs.tests.test_file_search import assistant_with, search_for, store_of
from runs.tests.test_streams import FUNCTION

WAIT = 0.3  # before a model's first word


def slow(answer: Answer) -> Answer:
    return Answer((WAIT, *answer.pieces))


def trace_of(caller: LiveCaller | LocalCaller, thread: str, run: str) -> dict[str, Any]:
    body: dict[str, Any] = caller.get(f"threads/{thread}/runs/{run}/trace").body
    return body


def rise(*moments: float) -> bool:
    return all(earlier <= later for earlier, later in pairwise(moments))


def test_a_plain_run(lena: LiveCaller) -> None:
    with QuirkServer(slow(said("Hello", " there.", usage=(20, 5)))) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Hi")
        run = lena.run(thread, lena.assistant(model="m"))
        secrets = provider.base_url
    told = trace_of(lena, thread, run["id"])

    [turn] = told.pop("turns")
    [step], [_, message] = lena.steps(thread, run["id"]), lena.messages(thread)
    assert rise(told["created_at"], told["started_at"], told["first_word_at"], told["ended_at"])
    assert rise(told["started_at"], turn["began_at"], turn["spoke_at"], turn["settled_at"], turn["ended_at"])
    assert turn["spoke_at"] == told["first_word_at"] >= turn["began_at"] + WAIT * 0.9
    assert abs(told["created_at"] - run["created_at"]) <= 1
    assert abs(told["ended_at"] - run["completed_at"]) <= 1
    usage = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
    assert turn == {
        **{name: turn[name] for name in ("began_at", "spoke_at", "settled_at", "ended_at")},
        "number": 1,
        "status": "completed",
        "model": "m",
        "step_ids": [step["id"]],
        "message_id": message["id"],
        "usage": usage,
        "costs": [],
        "error": None,
        "calls": [],
    }
    assert told == {
        **{name: told[name] for name in ("created_at", "started_at", "first_word_at", "ended_at")},
        "object": "thread.run.trace",
        "run_id": run["id"],
        "thread_id": thread,
        "status": "completed",
        "attempts": 1,
        "usage": usage,
        "costs": [],
    }
    assert secrets not in json.dumps([told, turn]), "who answers is the operator's"


def test_a_run_that_waits_for_its_caller_and_what_it_costs(lena: LiveCaller) -> None:
    for prompt, completion in ((Decimal(3), Decimal(6)),):
        day = date(2020, 1, 1)
        Price.objects.create(tenant=lena.tenant, model="m", prompt=prompt, completion=completion, valid_from=day)
    numbers = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
    counted = streaming({"id": "c", "choices": [], "usage": numbers}).pieces
    look = Answer((*called(("look", '{"at": "it"}')).pieces[:-1], *counted))
    with QuirkServer(look, slow(said("Done", usage=(20, 5)))) as provider:
        lena.provided_by(provider.base_url)
        function = {"type": "function", "function": {"name": "look"}}
        thread, assistant = lena.thread("go"), lena.assistant(model="m", tools=[function])
        run = lena.run(thread, assistant)
        assert run["status"] == "requires_action"
        resting = trace_of(lena, thread, run["id"])
        time.sleep(0.3)
        outputs = {"tool_outputs": [{"tool_call_id": "call_0", "output": "seen"}]}
        lena.post(f"threads/{thread}/runs/{run['id']}/submit_tool_outputs", outputs)
        lena.settled(thread, run["id"], beyond="requires_action")
    ended = trace_of(lena, thread, run["id"])

    call = {"id": "call_0", "type": "function", "name": "look", "arguments": '{"at": "it"}'}
    unknown = {"began_at": None, "ended_at": None}
    [turn] = resting["turns"]
    assert (resting["status"], resting["ended_at"], turn["status"], turn["ended_at"]) == (
        *("requires_action", None),
        *("in_progress", None),
    )
    assert turn["calls"] == [{**call, "output": None, **unknown}]
    assert (turn["usage"], turn["costs"]) == (numbers, [{"amount": "0.000057", "currency": "USD"}])
    assert (resting["usage"], resting["costs"]) == (turn["usage"], turn["costs"])

    first, second = ended["turns"]
    assert first["calls"] == [{**call, "output": "seen", **unknown}]
    assert second["calls"] == []
    assert first["ended_at"] >= first["settled_at"] + 0.3, "until its caller answered"
    assert rise(first["ended_at"], second["began_at"], second["spoke_at"] - WAIT * 0.9)
    assert rise(ended["created_at"], first["began_at"], first["spoke_at"], first["settled_at"])
    assert ended["first_word_at"] == first["spoke_at"]
    assert second["costs"] == [{"amount": "0.00009", "currency": "USD"}]
    assert ended["costs"] == [{"amount": "0.000147", "currency": "USD"}]
    assert ended["usage"]["total_tokens"] == 40


def test_a_search_is_told_with_its_query_and_what_it_found(lena: LiveCaller) -> None:
    store = store_of(lena, cats="Cats sleep all day.")
    with QuirkServer(called(search_for("cats")), said("They sleep.")) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("What do cats do?")
        run = lena.run(thread, assistant_with(lena, store))
    first, second = trace_of(lena, thread, run["id"])["turns"]
    [call] = first["calls"]
    assert (call["type"], call["name"], call["arguments"]) == ("file_search", "file_search", search_for("cats")[1])
    assert "Cats sleep all day." in call["output"]
    moments = (call["began_at"], call["ended_at"], first["ended_at"], second["began_at"], second["spoke_at"])
    assert rise(first["settled_at"], *moments)


def test_a_run_under_way_and_one_that_failed(lena: LiveCaller) -> None:
    hanging = Answer((*streaming(delta(role="assistant", content=""), delta(content="We"), done=False).pieces, HANG))
    with QuirkServer(hanging) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Hi")
        run = lena.post(f"threads/{thread}/runs", {"assistant_id": lena.assistant()})["id"]
        waiting = pauses()
        while not (told := trace_of(lena, thread, run))["first_word_at"]:
            assert told["ended_at"] is None
            assert next(waiting, False), told
        answer = lena.get(f"threads/{thread}/runs/{run}/trace")
        assert int(answer.headers["openai-poll-after-ms"]) > 0
        lena.post(f"threads/{thread}/runs/{run}/cancel")
        lena.settled(thread, run)
    [turn] = told["turns"]
    assert (told["status"], told["ended_at"], told["usage"]) == ("in_progress", None, None)
    assert (turn["status"], turn["settled_at"], turn["ended_at"], turn["usage"]) == ("in_progress", None, None, None)
    assert rise(told["created_at"], told["started_at"], turn["began_at"], turn["spoke_at"])
    ended = trace_of(lena, thread, run)
    assert (ended["status"], ended["turns"][0]["status"]) == ("cancelled", "cancelled")
    assert rise(turn["spoke_at"], ended["turns"][0]["ended_at"], ended["ended_at"])


def test_a_run_that_nobody_has_taken_up(alice: LocalCaller) -> None:
    thread = alice.thread("Hi")
    run = alice.post(f"threads/{thread}/runs", {"assistant_id": alice.assistant()})["id"]
    told = trace_of(alice, thread, run)
    for name in ("started_at", "first_word_at", "ended_at", "usage"):
        assert told[name] is None, name
    assert (told["status"], told["attempts"], told["turns"], told["costs"]) == ("queued", 0, [], [])


def test_what_a_failed_turn_says(alice: LocalCaller) -> None:
    thread = alice.thread("Hi")
    run = alice.post(f"threads/{thread}/runs", {"assistant_id": alice.assistant()})["id"]
    step_of(alice, run, status="failed", last_error={"code": "server_error", "message": "The model broke off."})
    assert [turn["error"] for turn in trace_of(alice, thread, run)["turns"]] == ["The model broke off."]


def test_it_is_for_nobody_else(alice: LocalCaller, bob: LocalCaller) -> None:
    thread = alice.thread("Hi")
    run = alice.post(f"threads/{thread}/runs", {"assistant_id": alice.assistant()})["id"]
    for caller, path in (
        (bob, f"threads/{thread}/runs/{run}/trace"),
        (alice, f"threads/{alice.thread()}/runs/{run}/trace"),
        (alice, f"threads/{thread}/runs/run_none/trace"),
    ):
        refused = caller.get(path)
        assert (refused.status, refused.error["type"]) == (404, "invalid_request_error")
    assert alice.get(f"threads/{thread}/runs/nonsense/trace").status == 400


def step_of(caller: LocalCaller, run_id: str, **fields: Any) -> RunStep:
    run = Run.objects.of(caller.tenant).get(pk=run_id)
    call = {"id": "x", **FUNCTION, "function": {"name": "look", "arguments": "{}", "output": None}}
    made: RunStep = RunStep.objects.create(
        tenant=caller.tenant,
        run=run,
        thread_id=run.thread_id,
        assistant_id=run.assistant_id,
        type="tool_calls",
        run_expires_at=run.expires_at,
        **{"step_details": {"type": "tool_calls", "tool_calls": [call]}, **fields},
    )
    return made


def test_a_long_run_takes_no_more_queries(alice: LocalCaller) -> None:
    thread = alice.thread("Hi")
    run = alice.post(f"threads/{thread}/runs", {"assistant_id": alice.assistant()})["id"]

    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            trace_of(alice, thread, run)
        return len(asked)

    step_of(alice, run)
    few = queries()
    for turn in range(2, 12):
        step_of(alice, run, turn=turn)
    assert len(trace_of(alice, thread, run)["turns"]) == 11
    assert queries() == few


@pytest.mark.slow
def test_code_is_told_with_the_time_it_ran(cora: CodingCaller) -> None:
    with QuirkServer(writing(code("sleep 0.4")), said("Done.")) as provider:
        cora.provided_by(provider.base_url)
        thread = cora.thread("Go")
        run = cora.run(thread, cora.coder())
    first, _ = trace_of(cora, thread, run["id"])["turns"]
    [call] = first["calls"]
    assert (call["name"], json.loads(call["arguments"])) == ("code_interpreter", {"code": "sleep 0.4"})
    assert rise(first["settled_at"], call["began_at"], call["ended_at"] - 0.4, first["ended_at"] - 0.4)
