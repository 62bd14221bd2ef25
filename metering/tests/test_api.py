"""Budgets, prices and usage over REST, and the commands."""

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from assistant_site.llm.chat import Usage
from assistant_site.tests.callers import LocalCaller
from audit.models import AuditEntry
from metering import budgets, ledger, prices
from metering.budgets import Spender
from metering.ledger import Call
from metering.models import Balance, Budget, EntryKind, Price
from tenants.auth import forget_tokens
from tenants.models import ApiToken

OPERATOR = "an admin token of these tests"


@pytest.fixture
def operator(settings: Any, alice: LocalCaller) -> LocalCaller:
    settings.ADMIN_TOKEN = OPERATOR
    return LocalCaller(alice.tenant, OPERATOR)


@pytest.fixture(autouse=True)
def _fresh(alice: LocalCaller, bob: LocalCaller) -> None:
    budgets.forget()
    prices.forget()
    ApiToken.objects.filter(tenant__in=[alice.tenant, bob.tenant]).update(scopes=["read", "write", "admin"])
    forget_tokens()


def spend(caller: LocalCaller, key: str, tokens: int, **more: str) -> None:
    spender = Spender(caller.tenant.pk, end_user=more.get("end_user", ""))
    call = Call(f"{caller.tenant.pk}/{key}", EntryKind.CHAT, spender, more.get("model", "m"))
    with transaction.atomic():
        ledger.settle(call, Usage(tokens, 1))


def test_a_budget_from_beginning_to_end(alice: LocalCaller, bob: LocalCaller, operator: LocalCaller) -> None:
    spend(alice, "1", 99, end_user="eve")
    made = alice.post("budgets", {"amount": 100, "period": "day"})
    assert made["object"] == "budget"
    assert (made["amount"], made["unit"], made["tenant"], made["token"]) == ("100", "tokens", alice.tenant.pk, None)
    assert (made["balance"]["spent"], made["balance"]["left"]) == ("100", "0")
    assert made["balance"]["resets_at"] % 86_400 == 0
    path = f"budgets/{made['id']}"

    # Nothing more is begun, and the error is OpenAI's.
    thread, assistant = alice.thread("hi"), alice.assistant()
    for refused in (
        alice.post(f"threads/{thread}/runs", {"assistant_id": assistant}),
        alice.post(
            "threads/runs", {"assistant_id": assistant, "thread": {"messages": [{"role": "user", "content": "x"}]}}
        ),
        alice.post("chat/completions", {"model": "m", "messages": [{"role": "user", "content": "x"}]}),
        alice.post("embeddings", {"model": "m", "input": "x"}),
    ):
        assert refused.status == 429
        assert (refused.error["type"], refused.error["code"]) == ("insufficient_quota", "insufficient_quota")
        assert refused.error["message"].startswith("You exceeded your current quota")
    assert alice.get(f"threads/{thread}/runs")["data"] == []

    assert alice.post(path, {"amount": "150.5"})["balance"]["left"] == "50.5"
    assert alice.post(f"threads/{thread}/runs", {"assistant_id": assistant}).status == 200
    again = alice.post("budgets", {"amount": 5, "period": "day"})
    assert (again.status, "already" in again.error["message"]) == (400, True)

    each = operator.post("budgets", {"tenant": alice.tenant.pk, "end_user": "*", "amount": "1", "unit": "cost"})
    assert each["balance"] is None
    assert operator.get(f"budgets/{each['id']}?end_user=eve")["balance"]["spent"] == "0"
    assert (made["kept_by"], each["kept_by"]) == ("tenant", "operator")
    for refused in (alice.post(f"budgets/{each['id']}", {"amount": 10}), alice.delete(f"budgets/{each['id']}")):
        assert refused.status == 403
    assert operator.get(f"budgets/{each['id']}")["amount"] == "1"
    assert [row["id"] for row in alice.get("budgets")["data"]] == [each["id"], made["id"]]
    assert [row["id"] for row in alice.get(f"budgets?after={each['id']}")["data"]] == [made["id"]]
    assert bob.get("budgets")["data"] == []
    assert alice.delete(path)["deleted"]
    assert not Balance.objects.of(alice.tenant).exists()
    spend(alice, "2", 5)
    assert [
        (entry.action, entry.before and entry.before["amount"], entry.after and entry.after["amount"])
        for entry in AuditEntry.objects.filter(object_id=made["id"].split("_")[1], object_type="budget").order_by("id")
    ] == [
        ("budget.created", None, "100"),
        ("budget.modified", "100.0000000000", "150.5"),
        ("budget.deleted", "150.5000000000", None),
    ]


def test_what_is_refused(alice: LocalCaller, bob: LocalCaller, operator: LocalCaller) -> None:
    for caller, body, status in (
        (alice, {}, 400),
        (alice, {"amount": -1}, 400),
        (alice, {"amount": "NaN"}, 400),
        (alice, {"amount": "1e400"}, 400),
        (alice, {"amount": "0.00000000001"}, 400),
        (alice, {"amount": True}, 400),
        (alice, {"amount": 1, "period": "week"}, 400),
        (alice, {"amount": 1, "token": bob.tenant.tokens.get().pk}, 404),
        (alice, {"amount": 1, "tenant": bob.tenant.pk}, 404),
        (operator, {"amount": 1}, 400),
        (operator, {"amount": 1, "tenant": "tenant_none"}, 404),
    ):
        assert caller.post("budgets", body).status == status, body
    for path in ("budgets/budget_", "budgets/budget_x", "budgets/12", "budgets/budget_999999999999999999"):
        assert alice.get(path).status == 404, path
    for path in ("usage?start=x", "usage?group_by=moon", "usage?format=xml"):
        assert alice.get(path).status == 400, path
    for method, path in (("GET", "prices"), ("POST", "prices"), ("DELETE", "prices/price_1")):
        assert alice.call(method, path, {} if method == "POST" else None).status == 403
    assert not Budget.objects.of(alice.tenant).exists()


def test_usage_by_day_model_and_end_user(alice: LocalCaller, bob: LocalCaller, operator: LocalCaller) -> None:
    price = operator.post("prices", {"model": "m*", "prompt": 3, "completion": "6.5", "tenant": alice.tenant.pk})
    assert (price["prompt"], price["completion"], price["cached_prompt"]) == ("3", "6.5", None)
    for number in range(3):
        spend(alice, str(number), 10 + number, end_user="=eve()" if number else "")
    spend(bob, "1", 1_000)

    assert alice.get("usage")["data"] == [
        {
            "object": "usage",
            "requests": 3,
            "runs": 0,
            "prompt_tokens": 33,
            "cached_tokens": 0,
            "completion_tokens": 3,
            "tool_calls": 0,
            "code_seconds": 0.0,
            "cost": "0.0001185",
            "currency": "USD",
        }
    ]
    grouped = alice.get("usage?group_by=end_user,model,day")["data"]
    assert [(row["end_user"], row["model"], row["requests"]) for row in grouped] == [("", "m", 1), ("=eve()", "m", 2)]
    assert alice.get("usage?start=2020-01-01&end=2020-01-31")["data"] == []
    mine = f"tenant={alice.tenant.pk}"
    assert operator.get(f"usage?{mine}")["data"] == alice.get("usage")["data"]
    assert alice.get(f"usage?tenant={bob.tenant.pk}").status == 404

    answer = alice.send("GET", "/v1/usage?group_by=end_user", Accept="text/csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert [(row["end_user"], row["requests"], row["cost"]) for row in rows] == [
        ("", "1", "0.0000365"),
        ("'=eve()", "2", "0.000082"),
    ]
    out = io.StringIO()
    call_command("usage", group_by="end_user", tenant=alice.tenant.pk, stdout=out)
    assert out.getvalue() == answer.body.decode()
    assert operator.delete(f"prices/{price['id']}")["deleted"]


def test_price_lists_are_read_from_files(alice: LocalCaller, operator: LocalCaller, tmp_path: Path) -> None:
    table = tmp_path / "prices.csv"
    table.write_text(f"model,prompt,completion,tenant\nimported-a,1,2.5,\nimported-*,3,4,{alice.tenant.name}\n")
    theirs = tmp_path / "model_prices_and_context_window.json"
    listed = {
        "sample_spec": {"input_cost_per_token": "what it is"},
        "imported-b": {"input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07, "mode": "chat"},
        "imported-c": {"input_cost_per_token": 1e-06, "cache_read_input_token_cost": 1e-07, "mode": "embedding"},
        "imported-d": {"output_cost_per_image": 0.04, "mode": "image_generation"},
    }
    theirs.write_text(json.dumps(listed))

    def run(*given: Any) -> str:
        out = io.StringIO()
        call_command("import_prices", *given, stdout=out)
        return out.getvalue().strip()

    def stored() -> dict[str, tuple[Decimal, Decimal]]:
        rows = Price.objects.filter(model__startswith="imported-")
        return {row.model: (row.prompt, row.completion) for row in rows}

    assert run(table, "--dry-run") == "2 prices were read; 2 would be new or changed."
    assert not stored()
    assert run(table) == "2 prices were read; 2 were new or changed."
    recorded = AuditEntry.objects.filter(object_type="price", object_name__startswith="imported-")
    assert {entry.actor_name for entry in recorded} == {"manage.py import_prices"}
    assert run(table) == "2 prices were read; 0 were new or changed."
    assert run(theirs) == "2 prices were read; 2 were new or changed."
    assert stored() == {
        "imported-a": (Decimal(1), Decimal("2.5")),
        "imported-*": (Decimal(3), Decimal(4)),
        "imported-b": (Decimal("0.15"), Decimal("0.6")),
        "imported-c": (Decimal(1), Decimal(0)),
    }
    assert Price.objects.get(model="imported-c").cached_prompt == Decimal("0.1")
    for text in (
        "model,prompt\na,1\n",
        "model,prompt,completion\nimported-x,1,2\n,1,2\n",
        "model,prompt,completion\na,x,1\n",
    ):
        table.write_text(text)
        with pytest.raises(CommandError):
            run(table)
    assert "imported-x" not in stored()
