"""The ledger through its functions: settled once, never twice; budgets and usage that agree with it."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from assistant_site.llm.chat import Usage
from assistant_site.tests.callers import LocalCaller
from metering import budgets, ledger, prices, usage
from metering.budgets import InsufficientQuota, Spender
from metering.ledger import Call, InFlight
from metering.models import Balance, Budget, EntryKind, LedgerEntry, Price, Unit


@pytest.fixture(autouse=True)
def _fresh() -> None:
    budgets.forget()
    prices.forget()


def call(caller: LocalCaller, key: str, **more: Any) -> Call:
    spender = Spender(caller.tenant.pk, more.pop("token_id", ""), more.pop("end_user", ""))
    return Call(key=f"{caller.tenant.pk}/{key}", kind=EntryKind.RUN, spender=spender, model="m", **more)


def budget(caller: LocalCaller, amount: int | str, **fields: Any) -> Budget:
    made: Budget = Budget.objects.create(tenant=caller.tenant, amount=Decimal(amount), **fields)
    budgets.forget()
    return made


def balance(of: Budget, end_user: str = "") -> tuple[Any, Any]:
    row = Balance.objects.across_tenants().get(budget=of, end_user=end_user)
    return row.spent, row.reserved


def settle(of: Call, prompt: int, completion: int, **more: Any) -> bool:
    with transaction.atomic():
        return ledger.settle(of, Usage(prompt, completion), **more)


def reserve(of: Call, prompt: int, completion: int, **more: Any) -> int:
    with transaction.atomic():
        return ledger.reserve(of, prompt=prompt, completion=completion, **more)


def test_a_call_counts_once(alice: LocalCaller, django_assert_num_queries: Any) -> None:
    settle(call(alice, "0"), 1, 1)
    first = call(alice, "1", runs=1, run_id="run_x")
    with django_assert_num_queries(3):  # one visit, in its savepoint
        assert settle(first, 10, 5, tool_calls=2)
    assert not settle(first, 99, 99)

    entry = LedgerEntry.objects.of(alice.tenant).get(key=first.key)
    assert (entry.prompt_tokens, entry.completion_tokens, entry.tool_calls, entry.runs) == (10, 5, 2, 1)


def test_usage_is_the_same_before_and_after_it_is_added_up(alice: LocalCaller) -> None:
    for number in range(5):
        settle(call(alice, str(number), end_user="eve" if number % 2 else "ada"), 100 + number, 10)
    reserved = budget(alice, 10_000)
    reserve(call(alice, "open"), 100, 100)

    def seen() -> list[usage.Total]:
        return usage.totals(start=usage.today(), tenant_id=alice.tenant.pk, group_by=["day", "end_user"])

    before = seen()
    assert [(each.end_user, each.requests, each.tokens) for each in before] == [("ada", 3, 336), ("eve", 2, 224)]
    rest = LedgerEntry.objects.of(alice.tenant).filter(state="settled", is_rolled_up=False)
    while rest.exists():  # a worker that adds up others' at this moment makes it a matter of patience
        usage.roll_up(2)
        assert seen() == before
    assert balance(reserved) == (560, 200)


def test_a_budget_stops_what_does_not_fit(alice: LocalCaller) -> None:
    settle(call(alice, "before"), 300, 0)  # a balance that begins in the middle knows it
    limit = budget(alice, 1_000)
    first, second = call(alice, "1"), call(alice, "2")

    assert reserve(first, 100, 200) == 200
    with pytest.raises(InFlight):
        reserve(second, 100, 400)
    assert reserve(second, 100, 400, patient=False) == 300
    assert balance(limit) == (300, 700)

    settle(first, 90, 10)
    settle(first, 90, 10)
    settle(second, 100, 200)
    assert balance(limit) == (700, 0)
    assert reserve(call(alice, "3"), 100, 400) == 200
    assert ledger.release(call(alice, "3").key) == 1
    assert ledger.release(call(alice, "3").key) == 0
    assert balance(limit) == (700, 0)
    with pytest.raises(InsufficientQuota):
        reserve(call(alice, "4"), 300, 10)
    budgets.refuse_if_exhausted(Spender(alice.tenant.pk))
    settle(call(alice, "5"), 300, 0)  # what was not reserved counts too
    with pytest.raises(InsufficientQuota):
        budgets.refuse_if_exhausted(Spender(alice.tenant.pk))


def test_a_turn_that_is_taken_up_holds_no_more_than_once(alice: LocalCaller) -> None:
    limit = budget(alice, 1_000)
    turn = call(alice, "run/1", run_id=f"run_of_{alice.tenant.pk}")
    reserve(turn, 100, 100)
    reserve(turn, 100, 300)
    assert balance(limit) == (0, 400)
    ledger.release_abandoned(lambda ids: ())
    assert balance(limit) == (0, 400)
    ledger.release_abandoned(lambda ids: {turn.run_id} & set(ids))
    assert balance(limit) == (0, 0)
    reserve(turn, 100, 300)
    settle(turn, 100, 20)
    assert balance(limit) == (120, 0)


def test_each_budget_counts_what_it_is_for(alice: LocalCaller, bob: LocalCaller) -> None:
    token = alice.tenant.tokens.get()
    of_all, of_token = budget(alice, 1_000), budget(alice, 1_000, token=token)
    of_each, of_eve = budget(alice, 1_000, end_user="*"), budget(alice, 150, end_user="eve", period="day")
    for end_user in ("eve", "ada"):
        assert reserve(call(alice, end_user, end_user=end_user), 100, 50) == 50
    assert reserve(call(alice, "t", token_id=token.pk), 100, 50) == 50
    assert balance(of_all) == (0, 450)
    assert balance(of_token) == (0, 150)
    assert balance(of_each, "eve") == balance(of_each, "ada") == balance(of_eve) == (0, 150)
    assert reserve(call(bob, "x", end_user="eve"), 10**9, 10) == 10
    with pytest.raises(InFlight):
        reserve(call(alice, "eve2", end_user="eve"), 1, 50)

    of_each.delete()  # while calls hold it
    for name in ("eve", "ada"):
        settle(call(alice, name, end_user=name), 70, 50)
    assert balance(of_all) == (240, 150)
    assert balance(of_eve) == (120, 0)


def test_money_is_counted_by_the_price_list(alice: LocalCaller) -> None:
    alice.tenant.currency = "EUR"
    alice.tenant.save()
    day = date(2020, 1, 1)
    listed: tuple[tuple[str, int, dict[str, Any]], ...] = (
        ("m", 5, {}),  # the wrong currency
        ("m", 2, {"currency": "EUR"}),
        ("*", 7, {"currency": "EUR", "tenant": alice.tenant, "valid_from": date(2019, 1, 1)}),
        ("m*", 3, {"currency": "EUR", "tenant": alice.tenant, "valid_from": date(2019, 1, 1)}),
        ("m*", 4, {"currency": "EUR", "tenant": alice.tenant, "cached_prompt": 1}),
        ("m*", 9, {"currency": "EUR", "tenant": alice.tenant, "valid_from": date(9999, 1, 1)}),
    )
    for model, amount, fields in listed:
        rates = {"prompt": Decimal(amount), "completion": Decimal(2 * amount)}
        Price.objects.create(model=model, **{**rates, "valid_from": day, **fields})
    limit = budget(alice, "0.01", unit=Unit.COST)

    assert reserve(call(alice, "1"), 500, 5_000) == 1_000
    with transaction.atomic():
        ledger.settle(call(alice, "1"), Usage(500, 7, cached_tokens=100))
    # 400 x 4 + 100 x 1 + 7 x 8 millionths
    assert balance(limit) == (Decimal("0.001756"), 0)
    [total] = usage.totals(tenant_id=alice.tenant.pk, group_by=["model"])
    assert (total.cost, total.currency, total.cached_tokens) == (Decimal("0.001756"), "EUR", 100)


def test_periods_begin_at_midnight_utc() -> None:
    moment = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    assert [budgets.began_on(period, moment) for period in ("day", "month", "total")] == [
        date(2026, 12, 31),
        date(2026, 12, 1),
        date(1970, 1, 1),
    ]
    next_year = datetime(2027, 1, 1, tzinfo=UTC)
    assert [budgets.resets_at(period, moment) for period in ("day", "month", "total")] == [next_year, next_year, None]
