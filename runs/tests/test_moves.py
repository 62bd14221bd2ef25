"""What every run writes on its way, one statement each: all of it is written or nothing, and only by who may."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from assistant_site.db import scope
from assistant_site.tests.callers import LocalCaller
from metering.models import Budget
from runs import holding, moves
from runs.machine import Status
from runs.models import Run, RunStep
from tenants import routes
from tenants.models import Tenant
from threads.models import Message, Thread


def queued(caller: LocalCaller, *said: str) -> Run:
    thread = caller.post("threads", {"messages": [{"role": "user", "content": text} for text in said]})["id"]
    made = caller.post(f"threads/{thread}/runs", {"assistant_id": caller.assistant()})
    run: Run = Run.objects.of(caller.tenant).get(pk=made["id"])
    return run


def claimed(run: Run) -> Run:
    found = holding.claim(run.pk, "worker", run.tenant_id)
    assert found is not None
    return found[0]


def lost(run: Run) -> Run:
    """The run as its holder knows it, when somebody else has taken it."""
    Run.objects.across_tenants().filter(pk=run.pk).update(claim=uuid.uuid4())
    return run


def rows_of(run: Run) -> list[Any]:
    """Everything that a move of the run may write."""
    return [
        Run.objects.across_tenants().filter(pk=run.pk).values().get(),
        Thread.objects.across_tenants().filter(pk=run.thread_id).values().get(),
        list(Message.objects.across_tenants().filter(thread_id=run.thread_id).order_by("pk").values()),
        list(RunStep.objects.across_tenants().filter(run=run).values()),
    ]


def test_a_claim_that_postgresql_has_lost_is_taken_again_and_its_holder_writes_nothing(alice: LocalCaller) -> None:
    """It need not have been on disk when PostgreSQL died."""
    run = queued(alice, "Hello")
    before = Run.objects.across_tenants().filter(pk=run.pk).values().get()
    holder = claimed(run)
    Run.objects.across_tenants().filter(pk=run.pk).update(**before)
    with pytest.raises(holding.LostClaim):
        holding.open_message(holder, holder.event_position + 1, 1)
    assert not Message.objects.across_tenants().filter(run_id=run.pk).exists()
    again = claimed(run)
    assert again.claim != holder.claim
    _, message, _ = holding.open_message(again, again.event_position + 1, 1)
    assert Message.objects.across_tenants().get(run_id=run.pk) == message


def test_a_run_is_not_stored_on_a_thread_that_takes_none(alice: LocalCaller, bob: LocalCaller) -> None:
    first = queued(alice, "Hello")
    for run in (
        Run(tenant=alice.tenant, thread_id=first.thread_id, assistant_id="a", expires_at=first.expires_at),
        Run(tenant=alice.tenant, thread_id="thread_of_nobody", assistant_id="a", expires_at=first.expires_at),
        Run(tenant=bob.tenant, thread_id=first.thread_id, assistant_id="a", expires_at=first.expires_at),
    ):
        assert not moves.start(run)
        assert not Run.objects.across_tenants().filter(pk=run.pk).exists()
    assert Thread.objects.of(alice.tenant).get(pk=first.thread_id).active_run_id == first.pk


def test_a_claim_brings_what_the_first_turn_needs(alice: LocalCaller, django_assert_num_queries: Any) -> None:
    run = queued(alice, *(f"number {number}" for number in range(25)))
    routes.forget()
    with scope.of_tenant(alice.tenant.pk), django_assert_num_queries(1):
        held = claimed(run)
        routes.directory_of(alice.tenant.pk)
    assert held.newest is not None
    assert [message.text for message in held.newest] == [f"number {number}" for number in range(24, 4, -1)]


def test_a_claim_is_of_its_tenants_runs(alice: LocalCaller, bob: LocalCaller) -> None:
    run = queued(alice, "Hello")
    now = timezone.now()
    found = moves.claim_at_once(
        run.pk,
        "worker",
        tenant_id=bob.tenant.pk,
        now=now,
        lease=timedelta(seconds=30),
        queued_after=now - timedelta(minutes=1),
        position=run.event_position,
    )
    assert found is None
    assert Run.objects.of(alice.tenant).get(pk=run.pk).status == Status.QUEUED


@pytest.mark.parametrize("has_limit", [False, True])
def test_both_ways_to_claim_agree(alice: LocalCaller, has_limit: bool) -> None:
    """A tenant with a limit is claimed for with care, any other at once."""
    Budget.objects.create(tenant=alice.tenant, unit="tokens", period="month", amount=1_000_000)
    run = queued(alice, "Hello")
    if has_limit:
        Tenant.objects.filter(pk=alice.tenant.pk).update(concurrent_runs=5)
    found = holding.claim(run.pk, "worker", alice.tenant.pk)
    assert found is not None
    held, told = found
    assert [name for name, _ in told] == ["thread.run.in_progress"]
    stored = Run.objects.of(alice.tenant).get(pk=run.pk)
    assert (stored.status, stored.claim, stored.claimed_by) == (Status.IN_PROGRESS, held.claim, "worker")
    assert (stored.attempt, stored.event_position) == (1, held.event_position + 1)
    assert stored.lease_until is not None
    assert stored.lease_until > timezone.now()
    assert holding.claim(run.pk, "another", alice.tenant.pk) is None


def test_who_lost_the_claim_opens_no_message(alice: LocalCaller) -> None:
    run = lost(claimed(queued(alice, "Hello")))
    before = rows_of(run)
    with pytest.raises(holding.LostClaim):
        holding.open_message(run, run.event_position, 1)
    assert rows_of(run) == before


def test_who_lost_the_claim_ends_nothing(alice: LocalCaller) -> None:
    run = claimed(queued(alice, "Hello"))
    step, message, told = holding.open_message(run, run.event_position + 1, 1)
    before = rows_of(lost(run))
    spent = {
        "prompt_tokens": 1,
        "completion_tokens": 1,
        "total_tokens": 2,
        "prompt_token_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    content = [{"type": "text", "text": {"value": "Hi", "annotations": []}}]
    with pytest.raises(holding.LostClaim):
        holding.finish(run, run.event_position + len(told), 1, spent, message=(step, message, content))
    now = rows_of(run)
    assert now[0]["status"] == Status.IN_PROGRESS
    assert {**now[0], "claim": 0} == {**before[0], "claim": 0}
    assert now[1:] == before[1:]
