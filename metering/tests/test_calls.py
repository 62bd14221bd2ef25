"""What is in the ledger of runs, and of calls that belong to no run."""

import time
from decimal import Decimal
from typing import Any

import pytest
import requests
from django.db import connection
from django.test.utils import CaptureQueriesContext

from assistant_site.llm.tests.quirk_server import QuirkServer, answering, delta, refusing, said, streaming
from assistant_site.tests.callers import LiveCaller, LocalCaller
from metering import budgets, prices
from metering.calls import estimate_input
from metering.models import Balance, Budget, LedgerEntry
from runs import holding
from runs.models import Run

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi there"}], "user": "eve"}
USAGE = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15, "prompt_tokens_details": {"cached_tokens": 3}}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def entries(caller: LiveCaller | LocalCaller, count: int) -> list[LedgerEntry]:
    """As many settled entries, when they are there: a stream is settled when its caller has read it."""
    until = time.monotonic() + 20
    while True:
        found = list(LedgerEntry.objects.of(caller.tenant).filter(state="settled").order_by("pk"))
        if len(found) >= count or time.monotonic() > until:
            assert len(found) == count
            return found
        time.sleep(0.05)


def test_each_turn_of_a_run_is_an_entry(lena: LiveCaller) -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    called = streaming(delta(tool_calls=[call]), delta("tool_calls"), {"id": "c", "choices": [], "usage": USAGE})
    with QuirkServer(called, said("Done", usage=(20, 5))) as provider:
        lena.provided_by(provider.base_url)
        thread, assistant = lena.thread("go"), lena.assistant(model="m", tools=[FUNCTION])
        run = lena.run(thread, assistant)
        outputs = [{"tool_call_id": "call_1", "output": "1"}]
        lena.post(f"threads/{thread}/runs/{run['id']}/submit_tool_outputs", {"tool_outputs": outputs})
        ended = lena.settled(thread, run["id"], beyond="requires_action")
    first, second = entries(lena, 2)
    assert [first.key, second.key] == [f"{run['id']}/1", f"{run['id']}/2"]
    assert (first.runs, second.runs, first.tool_calls, second.tool_calls) == (1, 0, 1, 0)
    assert (first.prompt_tokens, first.cached_tokens, first.completion_tokens) == (11, 3, 4)
    assert (first.assistant_id, first.model, first.run_id) == (assistant, "m", run["id"])
    assert ended["usage"]["total_tokens"] == 15 + 25


def test_a_run_without_budgets_pays_one_statement(alice: LocalCaller) -> None:
    budgets.forget()
    prices.forget()
    spent = {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "prompt_token_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }

    def carried(**usage: Any) -> tuple[list[str], list[str]]:
        with CaptureQueriesContext(connection) as creating:
            made = alice.post(f"threads/{alice.thread('hi')}/runs", {"assistant_id": assistant})
        assert made.status == 200
        run, _ = holding.claim(made["id"], "test", alice.tenant.pk) or pytest.fail("not to be had")
        with CaptureQueriesContext(connection) as finishing:
            holding.finish(run, run.event_position, 1, usage or spent, message=None)
        return [query["sql"] for query in creating], [query["sql"] for query in finishing]

    assistant = alice.assistant()
    carried()
    created, finished = carried()
    assert not [sql for sql in created if sql.startswith("SELECT") and 'FROM "metering_b' in sql[:200]]
    assert len([sql for sql in finished if "metering_" in sql]) == 1
    assert Run.objects.of(alice.tenant).count() == LedgerEntry.objects.of(alice.tenant).count() == 2


def test_a_run_within_a_budget_asks_for_no_longer_answer_than_there_is(lena: LiveCaller) -> None:
    budget = Budget.objects.create(tenant=lena.tenant, amount=200)
    with QuirkServer(said("One", usage=(30, 150))) as provider:
        lena.provided_by(provider.base_url)
        assistant = lena.assistant(model="m")
        assert lena.run(lena.thread("hi"), assistant, max_completion_tokens=1_000)["status"] == "completed"
        refused = lena.run(lena.thread("hi"), assistant)
        asked = [request.body for request in provider.requests]
    assert refused["last_error"]["code"] == "rate_limit_exceeded"
    assert refused["last_error"]["message"].startswith("You exceeded your current quota")
    assert len(asked) == 1
    assert 16 <= asked[0]["max_completion_tokens"] < 200
    shown = Balance.objects.of(lena.tenant).get(budget=budget)
    assert (shown.spent, shown.reserved) == (180, 0)


def test_lists_in_lists_without_end_are_estimated_too() -> None:
    nested: Any = ["seven b"]
    for _ in range(2_000):
        nested = [nested]
    assert estimate_input(nested) == estimate_input("seven b") == 2
    assert estimate_input([[1, 2], [3]]) == 3


def test_calls_of_no_run_are_entries_too(lena: LiveCaller) -> None:
    whole = {"id": "x", "choices": [{"message": {"role": "assistant", "content": "Hello"}}], "usage": USAGE}
    silent = {"id": "x", "choices": [{"message": {"role": "assistant", "content": "Seven!!"}}]}
    streamed = said("Hel", "lo", usage=(12, 2))
    untold = said("Seven!!", usage=None)
    embedded = {"object": "list", "data": [], "usage": {"prompt_tokens": 5, "total_tokens": 5}}
    script = [answering(whole), answering(silent), streamed, untold, answering(embedded), refusing(400, "bad", "No.")]
    with QuirkServer(*script) as provider:
        lena.provided_by(provider.base_url)
        assert lena.send("POST", "/v1/chat/completions", CHAT).body == whole
        assert lena.send("POST", "/v1/chat/completions", CHAT).body == silent
        for answer in (streamed, untold):
            headers = {"Authorization": f"Bearer {lena.token}"}
            body = {**CHAT, "stream": True}
            got = requests.post(f"{lena.base_url}/chat/completions", json=body, headers=headers, timeout=10)
            assert got.content == b"".join(piece for piece in answer.pieces if isinstance(piece, bytes))
        assert lena.send("POST", "/v1/embeddings", {"model": "e", "input": ["a", "b"]}).body == embedded
        assert lena.send("POST", "/v1/chat/completions", CHAT).status == 400
        asked = provider.requests[0].body
    found = entries(lena, 5)
    assert asked == CHAT  # no budget, so nothing is added
    told = [(each.kind, each.model, each.prompt_tokens, each.completion_tokens, each.end_user) for each in found]
    estimated = found[1].prompt_tokens
    assert estimated > 5
    assert sorted(told) == sorted(
        [
            ("chat", "m", 11, 4, "eve"),
            ("chat", "m", estimated, 2, "eve"),
            ("chat", "m", 12, 2, "eve"),
            ("chat", "m", estimated, 2, "eve"),
            ("embedding", "e", 5, 0, ""),
        ]
    )
    assert {each.token_id for each in found} == {lena.tenant.tokens.get().pk}


def test_what_the_ledger_could_not_write_down_is_not_asked(lena: LiveCaller) -> None:
    with QuirkServer() as provider:
        lena.provided_by(provider.base_url)
        for changes, status, param in (
            ({"model": "m\x00"}, 400, "model"),
            ({"user": "eve\x00"}, 400, "user"),
            ({"model": "m" * 257}, 404, "model"),
        ):
            refused = lena.send("POST", "/v1/chat/completions", {**CHAT, **changes})
            assert (refused.status, refused.error["param"]) == (status, param)
        assert not provider.requests


def test_a_budget_counts_what_a_provider_may_read_in_another_way(lena: LiveCaller) -> None:
    Budget.objects.create(tenant=lena.tenant, amount=Decimal(1_000))
    whole = {"id": "x", "choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 60, "total_tokens": 80}}
    with QuirkServer(answering(whole)) as provider:
        lena.provided_by(provider.base_url)
        for changes in ({"n": 1_000}, {"n": "128"}, {"max_tokens": "5000"}, {"max_completion_tokens": 1e300}):
            refused = lena.send("POST", "/v1/chat/completions", {**CHAT, **changes})
            assert (refused.status, refused.error["param"]) == (400, next(iter(changes)))
        hidden = {"functions": [{"name": "f", "description": "words " * 2_000}]}
        assert lena.send("POST", "/v1/chat/completions", {**CHAT, **hidden}).status == 429
        both = {"max_completion_tokens": 10, "max_tokens": 100_000, "n": 2.0}
        assert lena.send("POST", "/v1/chat/completions", {**CHAT, **both}).status == 200
        [asked] = [request.body for request in provider.requests]
    assert (asked["max_completion_tokens"], asked.get("max_tokens")) == (10, None)


def test_calls_of_no_run_keep_within_a_budget(lena: LiveCaller) -> None:
    Budget.objects.create(tenant=lena.tenant, amount=Decimal(100), end_user="*")
    whole = {"id": "x", "choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 60, "total_tokens": 80}}
    with QuirkServer(answering(whole)) as provider:
        lena.provided_by(provider.base_url)
        assert lena.send("POST", "/v1/chat/completions", {**CHAT, "max_tokens": 5_000}).status == 200
        refused = lena.send("POST", "/v1/chat/completions", {**CHAT, "messages": CHAT["messages"] * 3})
        assert lena.send("POST", "/v1/chat/completions", {**CHAT, "user": "ada"}).status == 200
        asked = [request.body for request in provider.requests]
    assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")
    assert 16 <= asked[0]["max_tokens"] < 100
    assert "max_completion_tokens" in asked[1]
    entries(lena, 2)
