"""What the holder of a run's claim writes: one transaction each, each fenced by the claim.

Every function returns the events that tell of what it did; the caller appends them after it has returned, that is
after the commit. `position` is always the position of the last event told before.
"""

import contextlib
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from metering import budgets, quotas
from runs import charging, machine, moves
from runs.actions import MovedMeanwhile, close_open_objects, count_message, move
from runs.events import Telling, run_event
from runs.machine import Status
from runs.mending import FRESH_SECONDS, LAST_OF_A_NEW_RUN, is_new, mend, was_told
from runs.models import Run, RunStep, StepStatus, added_usage
from runs.serializers import step_object
from runs.turn import DECIDED
from threads.models import Message, MessageStatus
from threads.serializers import MessageObjectSerializer

# Of runs: those that may begin.
TENANT_IS_OPEN = Q(tenant__suspended_at=None, tenant__deletion_began_at=None)


class LostClaim(Exception):
    """The run is somebody else's by now, or cancelled, or gone: stop, write nothing more."""


class AtLimit(Exception):
    """The run's tenant has as many runs at work as it may have: this one stays queued."""


def lease_end() -> Any:
    """A moment in database time, so that the clocks of several machines do not matter."""
    return Now() + timedelta(seconds=settings.RUN_LEASE_SECONDS)


def claim(run_id: str, owner: str, tenant_id: str) -> tuple[Run, Telling] | None:
    """Takes a queued run; None if it is not to be had. Nothing of it is open: who queued it saw to that.

    Those of a suspended tenant stay in the queue, until it is resumed or their time is over. Raises `AtLimit` if its
    tenant may have no more runs at work.
    """
    now = timezone.now()
    taken_at_once = moves.claim_at_once(
        run_id,
        owner,
        tenant_id=tenant_id,
        now=now,
        lease=timedelta(seconds=settings.RUN_LEASE_SECONDS),
        queued_after=now - timedelta(seconds=FRESH_SECONDS),
        position=LAST_OF_A_NEW_RUN,
    )
    if taken_at_once is not None:
        run, has_budgets = taken_at_once
        budgets.note(run.tenant_id, has_budgets)
        run.event_position -= 1  # the log counts on from here
        return run, [run_event(run)]
    return _claim_with_care(run_id, owner)


def _claim_with_care(run_id: str, owner: str) -> tuple[Run, Telling] | None:
    """The same for a run that is not new, or may lack events, or whose tenant has a limit."""
    queued = budgets.flagged(Run).filter(TENANT_IS_OPEN, pk=run_id, status=Status.QUEUED, expires_at__gt=Now())
    found: QuerySet[Any] = queued.annotate(most_at_work=F("tenant__concurrent_runs"))
    for run in found[:1]:
        budgets.note(run.tenant_id, run.has_budgets)
        before = run.event_position
        if not was_told(run):
            mend(run)
        taken = {
            "claim": uuid.uuid4(),
            "claimed_by": owner,
            "lease_until": lease_end(),
            "started_at": timezone.now(),
            "attempt": run.attempt + 1,
        }
        try:
            with one_more_at_work(run):
                move(run, Status.IN_PROGRESS, **taken)
        except MovedMeanwhile:
            return None
        run.event_position = before  # the log counts on from here
        return run, [run_event(run)]
    return None


def most_at_work(run: Run) -> int | None:
    """How many runs of its tenant may be at work at once, as it was when this one was claimed; None: any number."""
    most: int | None = getattr(run, "most_at_work", None)
    return most


@contextlib.contextmanager
def one_more_at_work(run: Run) -> Iterator[None]:
    """Room for the claim of this run; `AtLimit` if there is none.

    Where the tenant has no limit the claim is one statement, which needs no transaction. Where it has one, claims of
    its runs come one after the other.
    """
    most = most_at_work(run)
    if most is None:
        yield
        return
    with transaction.atomic():
        quotas.lock(run.tenant_id, quotas.Of.RUNS)
        at_work = Run.objects.across_tenants().filter(tenant_id=run.tenant_id, status__in=machine.HELD)
        if at_work.count() >= most:
            raise AtLimit(run.pk)
        yield


def interrupted() -> dict[str, str]:
    return {"code": "server_error", "message": "The worker that carried this run was interrupted."}


def _write_run(run: Run, position: int, **changes: Any) -> None:
    """Proves the claim, and keeps the row locked until the transaction ends."""
    held = Run.objects.across_tenants().filter(pk=run.pk, claim=run.claim, status=Status.IN_PROGRESS)
    if not held.update(event_position=position, **changes):
        raise LostClaim(run.pk)
    for name, value in changes.items():
        setattr(run, name, value)


def _step(run: Run, kind: str, turn: int, details: dict[str, Any]) -> RunStep:
    return RunStep(
        tenant_id=run.tenant_id,
        run=run,
        thread_id=run.thread_id,
        assistant_id=run.assistant_id,
        type=kind,
        turn=turn,
        step_details=details,
        run_expires_at=run.expires_at,
    )


def open_message(run: Run, position: int, turn: int) -> tuple[RunStep, Message, Telling]:
    """An empty message and its step. The thread counts it when it ends: this is on the way to the first token."""
    message = Message(
        tenant_id=run.tenant_id,
        thread_id=run.thread_id,
        run_id=run.pk,
        assistant_id=run.assistant_id,
        role="assistant",
        status=MessageStatus.IN_PROGRESS,
    )
    step = _step(
        run, "message_creation", turn, {"type": "message_creation", "message_creation": {"message_id": message.pk}}
    )
    if not moves.open_message(run, position + 4, message, step):
        raise LostClaim(run.pk)
    told_step, told_message = step_object(step, run.include), MessageObjectSerializer.of(message)
    return (
        step,
        message,
        [
            ("thread.run.step.created", told_step),
            ("thread.run.step.in_progress", told_step),
            ("thread.message.created", told_message),
            ("thread.message.in_progress", told_message),
        ],
    )


def open_calls(run: Run, position: int, turn: int) -> tuple[RunStep, Telling]:
    """A step for the calls of a turn, empty: clients add the deltas to what was created."""
    step = _step(run, "tool_calls", turn, {"type": "tool_calls", "tool_calls": []})
    with transaction.atomic():
        _write_run(run, position + 2)
        step.save(force_insert=True)
    told = step_object(step, run.include)
    return step, [("thread.run.step.created", told), ("thread.run.step.in_progress", told)]


def _close_message(
    run: Run, step: RunStep, message: Message, content: list[dict[str, Any]], spent: dict[str, Any]
) -> Telling:
    _end_message(step, message, content, spent, None)
    message.save(update_fields=["content", "status", "completed_at", "incomplete_at", "incomplete_reason"])
    count_message(message.thread_id)
    step.save(update_fields=["status", "completed_at", "spent"])
    return _told_of_message(run, step, message)


def _end_message(
    step: RunStep, message: Message, content: list[dict[str, Any]], spent: dict[str, Any], reason: str | None
) -> None:
    """Notes, and does not store, that the message is whole, or `incomplete` for that reason."""
    now = timezone.now()
    message.content = content
    if reason is None:
        message.status, message.completed_at = MessageStatus.COMPLETED, now
    else:
        message.status, message.incomplete_at, message.incomplete_reason = MessageStatus.INCOMPLETE, now, reason
    step.status, step.completed_at, step.spent = StepStatus.COMPLETED, now, spent


def _told_of_message(run: Run, step: RunStep, message: Message) -> Telling:
    return [
        (f"thread.message.{message.status}", MessageObjectSerializer.of(message)),
        ("thread.run.step.completed", step_object(step, run.include)),
    ]


def close_message(
    run: Run, position: int, step: RunStep, message: Message, content: list[dict[str, Any]], spent: dict[str, Any]
) -> Telling:
    """The message is whole; the run goes on (with calls)."""
    with transaction.atomic():
        _write_run(run, position + 2)
        return _close_message(run, step, message, content, spent)


def wait_for_outputs(
    run: Run,
    position: int,
    step: RunStep,
    calls: list[dict[str, Any]],
    spent: dict[str, Any],
    turn: int,
    approvals: list[dict[str, Any]],
) -> Telling:
    """Stores the calls and gives the run to the caller, who is to answer or, those of `approvals`, to allow them."""
    cost = _cost(run, step, spent)
    step.step_details = {"type": "tool_calls", "tool_calls": calls}
    step.spent = spent
    asked = {approval["id"] for approval in approvals}
    functions = [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["function"]["name"], "arguments": call["function"]["arguments"]},
        }
        for call in calls
        if call["type"] == "function" and call["function"]["output"] is None and call["id"] not in asked
    ]
    # Clients that know of no approvals find what they look for, and nothing in it.
    action: dict[str, Any] = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": functions}}
    if approvals:
        action["submit_tool_approval"] = {"tool_calls": approvals}
        action["type"] = "submit_tool_outputs" if functions else "submit_tool_approval"
        step.carry = {**step.carry, DECIDED: {"spent": spent, "flawed": ""}}
    with transaction.atomic():
        _end_hold(
            run,
            Status.REQUIRES_ACTION,
            position + 1,
            required_action=action,
            turns=turn,
            **cost,
        )
        step.save(update_fields=["step_details", "spent", "carry"])
        if cost:
            charging.charge(run, turn, spent, len(calls))
    return [run_event(run)]


def keep_calls(
    run: Run, position: int, step: RunStep, calls: list[dict[str, Any]], spent: dict[str, Any], flawed: str
) -> Telling:
    """Stores calls that are about to be carried out: from now on the step outlives its worker, however it ends."""
    cost = _cost(run, step, spent)
    step.step_details = {"type": "tool_calls", "tool_calls": calls}
    step.carry = {**step.carry, DECIDED: {"spent": spent, "flawed": flawed}}
    step.spent = spent
    with transaction.atomic():
        _write_run(run, position, **cost)
        step.save(update_fields=["step_details", "carry", "spent"])
        if cost:
            charging.charge(run, step.turn, spent, len(calls))
    return []


def _cost(run: Run, step: RunStep, spent: dict[str, Any]) -> dict[str, Any]:
    """The run's tokens with those of the turn that these calls are of; they count once, at the step's first writing."""
    return {"spent": added_usage(run.spent, spent)} if step.spent is None else {}


def kept_calls(run: Run) -> RunStep | None:
    """The step whose calls another worker has begun to carry out, if there is one. Costs a new run nothing."""
    if is_new(run):
        return None
    steps = RunStep.objects.across_tenants().filter(run=run, type="tool_calls", status=StepStatus.IN_PROGRESS)
    return steps.filter(carry__has_key=DECIDED).first()


def complete_calls(
    run: Run, position: int, step: RunStep, calls: list[dict[str, Any]], spent: dict[str, Any], turn: int
) -> Telling:
    """Stores calls that were all answered here; the run goes on with the next turn."""
    cost = _cost(run, step, spent)
    step.step_details = {"type": "tool_calls", "tool_calls": calls}
    step.status, step.completed_at, step.spent = StepStatus.COMPLETED, timezone.now(), spent
    with transaction.atomic():
        _write_run(run, position + 1, turns=turn, **cost)
        step.save(update_fields=["step_details", "status", "completed_at", "spent", "carry"])
        if cost:
            charging.charge(run, turn, spent, len(calls))
    return [("thread.run.step.completed", step_object(step, run.include))]


def finish(
    run: Run,
    position: int,
    turn: int,
    spent: dict[str, Any],
    *,
    message: tuple[RunStep, Message, list[dict[str, Any]]] | None,
    incomplete: str | None = None,
    message_reason: str | None = None,
) -> Telling:
    """Ends the run well, or `incomplete` for that reason, and its open message with it."""
    now = timezone.now()
    changes: dict[str, Any] = {"spent": added_usage(run.spent, spent), "turns": turn, "completed_at": now}
    status = Status.COMPLETED
    if incomplete:
        status, changes["incomplete_reason"] = Status.INCOMPLETE, incomplete
    told: Telling = []
    with transaction.atomic():
        if message:
            step, row, content = message
            _end_message(step, row, content, spent, message_reason)
            if not moves.finish(run, status, position + 3, row, step, **changes):
                raise LostClaim(run.pk)
            told = _told_of_message(run, step, row)
        else:
            _end_hold(run, status, position + 1, **changes)
        charging.charge(run, turn, spent)
    return [*told, run_event(run)]


def fail(
    run: Run,
    position: int,
    error: dict[str, str],
    *,
    spent: dict[str, Any] | None = None,
    content: list[dict[str, Any]] | None = None,
) -> Telling:
    """Ends the run as failed, and what is open with it."""
    with transaction.atomic():
        _write_run(run, position)
        told = close_open_objects(run, StepStatus.FAILED, last_error=error, content=content, spent=spent)
        _end_hold(
            run,
            Status.FAILED,
            position + len(told) + 1,
            last_error=error,
            failed_at=timezone.now(),
            spent=added_usage(run.spent, spent or {}),
        )
        charging.charge(run, run.turns + 1, spent)
    return [*told, run_event(run)]


# What the model was doing when the run ended: the number of its turn, and what of it is to be counted, if anything.
CutOff = tuple[int, dict[str, Any] | None]


def expire(run: Run, position: int, *, content: list[dict[str, Any]] | None = None, cut_off: CutOff) -> Telling:
    """Ends a run whose time is over."""
    with transaction.atomic():
        _write_run(run, position)
        told, cost = _close_cut_off(run, StepStatus.EXPIRED, content, cut_off)
        _end_hold(run, Status.EXPIRED, position + len(told) + 1, **cost)
        charging.charge(run, cut_off[0], cut_off[1] if cost else None)
    return [*told, run_event(run)]


def finish_cancelled(
    run: Run, position: int, *, content: list[dict[str, Any]] | None = None, cut_off: CutOff
) -> Telling:
    """Ends a run that the caller cancelled while it was held; `LostClaim` if it was not cancelled but taken."""
    with transaction.atomic():
        now = Run.objects.across_tenants().filter(pk=run.pk, claim=run.claim).select_for_update().first()
        if now is None or now.status != Status.CANCELLING:
            raise LostClaim(run.pk)
        run.status, run.required_action, run.spent = Status.CANCELLING, None, now.spent
        cancelling = run_event(run)
        told, cost = _close_cut_off(run, StepStatus.CANCELLED, content, cut_off)
        _end_hold(run, Status.CANCELLED, position + len(told) + 2, cancelled_at=timezone.now(), **cost)
        charging.charge(run, cut_off[0], cut_off[1] if cost else None)
    return [cancelling, *told, run_event(run)]


def _close_cut_off(
    run: Run, how: StepStatus, content: list[dict[str, Any]] | None, cut_off: CutOff
) -> tuple[Telling, dict[str, Any]]:
    """Ends what is open; what is told of it, and the run's tokens with those of the turn unless they were counted."""
    spent = charging.cut_off(run, *cut_off)
    told = close_open_objects(run, how, content=content, spent=spent)
    return told, {} if spent is None else {"spent": added_usage(run.spent, spent)}


def hand_back(run: Run, position: int, *, content: list[dict[str, Any]] | None = None) -> Telling:
    """Queues the run again for another worker; what is open ends, finished steps stay."""
    with transaction.atomic():
        _write_run(run, position)
        told = close_open_objects(run, StepStatus.FAILED, last_error=interrupted(), content=content, keeps_calls=True)
        _end_hold(
            run, Status.QUEUED, position + len(told) + 1, queued_at=timezone.now(), attempt=max(0, run.attempt - 1)
        )
        charging.release(run)
    return [*told, run_event(run)]


def _end_hold(run: Run, status: Status, position: int, **changes: Any) -> None:
    try:
        move(run, status, event_position=position, **changes)
    except MovedMeanwhile:
        raise LostClaim(run.pk) from None


def renew(claims: dict[str, Run]) -> dict[str, Status]:
    """Lengthens the leases of these runs (by their claim) in one statement.

    Returns the status of those that are still held; who is missing has been lost.
    """
    held = Run.objects.across_tenants().filter(claim__in=list(claims), status__in=machine.HELD)
    with transaction.atomic():
        held.update(lease_until=lease_end())
        return {run_id: Status(status) for run_id, status in held.values_list("pk", "status")}
