"""Budgets and the ledger when many spend at once: in threads, and in workers that are killed."""

import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection, transaction

from assistant_site.llm.chat import Usage
from assistant_site.tests.callers import new_tenant
from assistant_site.tests.stack import Stack
from metering import budgets, ledger, usage
from metering.budgets import InsufficientQuota, Spender
from metering.ledger import Call, InFlight
from metering.models import Balance, Budget, EntryKind, LedgerEntry
from metering.tests.exactness import ENVIRONMENT, Trial

TURNS = 4
PERIODS = ("day", "month", "total")
KINDS = [(end_user, period) for end_user in ("*", "0", "") for period in PERIODS]


@pytest.mark.slow
def test_a_million_tokens_with_workers_killed(live: Stack, tmp_path: Path) -> None:
    with (
        Stack.workers_of_others_rest(),
        Stack(folder=tmp_path, workers=2, env=ENVIRONMENT) as stack,
    ):
        trial = Trial(stack, tmp_path)
        trial.carry_out()
    assert not trial.complaints, f"{trial}\n" + "\n".join(trial.complaints[:20])


@pytest.mark.slow
def test_budgets_come_and_go_while_64_threads_spend(live: Stack) -> None:
    """No deadlock, and each balance is what the ledger says, though it begins in the middle of settlements."""
    tenant, _ = new_tenant("Threads")
    total = Budget.objects.create(tenant=tenant, amount=10**9, period="total")
    made: list[Budget] = []
    start = threading.Barrier(64)

    def spend(number: int) -> None:
        start.wait(30)
        try:
            for turn in range(TURNS):
                call = Call(f"{tenant.pk}/{number}/{turn}", EntryKind.RUN, Spender(tenant.pk, end_user=f"{number % 3}"))
                if number % 2:
                    with transaction.atomic():
                        ledger.reserve(call, prompt=10, completion=100)
                if turn % 3 == 2:
                    ledger.release(call.key)
                with transaction.atomic():
                    ledger.settle(call, Usage(number + 1, turn + 1))
                if turn == 1 and number % 8 == 0:
                    end_user, period = KINDS[number // 8]
                    fields = {"end_user": end_user, "period": period}
                    made.append(Budget.objects.create(tenant=tenant, amount=10**9, **fields))
                usage.roll_up(20)
        finally:
            connection.close()

    with ThreadPoolExecutor(64) as pool:
        for done in [pool.submit(spend, number) for number in range(64)]:
            done.result(60)

    spent = sum(number + 1 + turn + 1 for number in range(64) for turn in range(TURNS))
    assert sum(each.tokens for each in usage.totals(tenant_id=tenant.pk)) == spent
    assert LedgerEntry.objects.of(tenant).count() == 64 * TURNS
    assert len(made) == 8
    balances = list(Balance.objects.of(tenant).select_related("budget"))
    assert {balance.budget_id for balance in balances} > {total.pk}
    for balance in balances:
        named = balance.end_user or balance.budget.end_user or None
        expected = sum(each.tokens for each in usage.totals(tenant_id=tenant.pk, end_user=named))
        assert (balance.spent, balance.reserved) == (Decimal(expected), Decimal(0)), balance.budget


def test_threads_never_overdraw_a_budget(live: Stack) -> None:
    tenant, _ = new_tenant("Few")
    budget = Budget.objects.create(tenant=tenant, amount=1_000)
    budgets.forget()

    def spend(number: int) -> str:
        call = Call(f"{tenant.pk}/{number}", EntryKind.RUN, Spender(tenant.pk))
        try:
            with transaction.atomic():
                allowed = ledger.reserve(call, prompt=50, completion=100)
            with transaction.atomic():
                ledger.settle(call, Usage(50, allowed))
        except InFlight:
            return "waits"
        except InsufficientQuota:
            return "refused"
        else:
            return "spent"
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(spend, range(40)))
    balance = Balance.objects.of(tenant).get(budget=budget)
    assert balance.reserved == 0
    assert balance.spent == sum(each.tokens for each in usage.totals(tenant_id=tenant.pk)) <= 1_000
    assert done.count("spent") >= 6
    assert "refused" in done
