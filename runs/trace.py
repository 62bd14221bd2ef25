"""When each thing of a run happened and what it cost, as its rows and the ledger know it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar

from metering.models import EntryState, LedgerEntry
from runs.machine import Status
from runs.models import Run, RunStep, StepStatus


@dataclass(frozen=True)
class Call:
    """A tool that the model called, by the name under which the model knows it.

    `entry` is how it stands in its step, `kept` what of a server's tool only the model sees.
    """

    id: str
    type: str
    name: str
    arguments: str
    output: str | None
    began: datetime | None
    ended: datetime | None
    entry: dict[str, Any]
    kept: dict[str, Any]


@dataclass
class Turn:
    """A model turn: when it began, spoke, stopped speaking and was over; `None` for what is not known or not yet so."""

    number: int
    model: str = ""  # as it was asked for
    began: datetime | None = None
    spoke: datetime | None = None
    settled: datetime | None = None
    ended: datetime | None = None
    status: str = ""
    error: str | None = None
    step_ids: list[str] = field(default_factory=list)
    message_id: str | None = None
    calls: list[Call] = field(default_factory=list)
    spent: dict[str, Any] = field(default_factory=dict)
    entry: LedgerEntry | None = None

    @property
    def usage(self) -> dict[str, int] | None:
        if self.spent:
            return _tokens(self.spent["prompt_tokens"], self.spent["completion_tokens"])
        if self.entry is not None and self.entry.state == EntryState.SETTLED:
            return _tokens(self.entry.prompt_tokens, self.entry.completion_tokens)
        return None

    @property
    def costs(self) -> list[dict[str, str]]:
        return costs_of([self.entry] if self.entry is not None else [])


T = TypeVar("T", bound=Turn)


@dataclass(frozen=True)
class Trace(Generic[T]):
    run: Run
    turns: list[T]
    entries: list[LedgerEntry]  # the ledger's, of its model turns

    @property
    def first_word(self) -> datetime | None:
        return min((turn.spoke for turn in self.turns if turn.spoke), default=None)

    @property
    def last_moment(self) -> datetime | None:
        """The run's end, or of one under way the last that is known."""
        run = self.run
        known = run.completed_at or run.failed_at or run.cancelled_at
        return known or max((turn.ended for turn in self.turns if turn.ended), default=None)

    @property
    def ended(self) -> datetime | None:
        """No row has the moment when a run expired: it is that of its last step, else when its time was over."""
        if not self.run.is_terminal:
            return None
        return self.last_moment or (self.run.expires_at if self.run.status == Status.EXPIRED else None)

    @property
    def usage(self) -> dict[str, int] | None:
        spent = self.run.spent
        return _tokens(spent["prompt_tokens"], spent["completion_tokens"]) if spent else None

    @property
    def costs(self) -> list[dict[str, str]]:
        return costs_of(self.entries)


def of(run: Run, kind: type[T]) -> Trace[T]:
    """The run's trace, with its turns as this class. Two queries."""
    mine = {"tenant_id": run.tenant_id}
    steps = list(RunStep.objects.across_tenants().filter(**mine, run_id=run.pk).order_by("pk"))
    entries = list(LedgerEntry.objects.across_tenants().filter(**mine, run_id=run.pk).order_by("pk"))
    return Trace(run, _turns(run, steps, {entry.key: entry for entry in entries}, kind), entries)


def sums_of(entries: Iterable[LedgerEntry]) -> dict[str, Decimal]:
    """What they cost, by currency."""
    sums: dict[str, Decimal] = {}
    for entry in entries:
        sums[entry.currency] = sums.get(entry.currency, Decimal(0)) + entry.cost
    return sums


def costs_of(entries: Iterable[LedgerEntry]) -> list[dict[str, str]]:
    """What they cost, as it is told; nothing for a model without a price."""
    told = ((f"{cost.normalize():f}", currency) for currency, cost in sums_of(entries).items() if cost)
    return [{"amount": amount, "currency": currency} for amount, currency in told]


def _tokens(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


# --- Turns -----------------------------------------------------------------------------------------------------------


def _turns(run: Run, steps: list[RunStep], entries: dict[str, LedgerEntry], kind: type[T]) -> list[T]:
    turns: dict[int, T] = {}
    for step in steps:
        turn = turns.setdefault(step.turn, kind(step.turn, run.model))
        turn.step_ids.append(step.pk)
        turn.spoke = min(filter(None, [turn.spoke, step.created_at]))
        end = step.completed_at or step.failed_at or step.cancelled_at or step.expired_at
        turn.ended = max(filter(None, [turn.ended, end]), default=None)
        turn.status = step.status
        turn.error = (step.last_error or {}).get("message") or turn.error
        turn.spent = step.spent or turn.spent
        if step.type == "message_creation":
            turn.message_id = step.step_details["message_creation"]["message_id"]
        else:
            turn.calls += _calls(step)
    is_at_a_step = any(step.status == StepStatus.IN_PROGRESS for step in steps)
    if run.status == Status.IN_PROGRESS and run.turns + 1 not in turns and not is_at_a_step:
        turns[run.turns + 1] = kind(run.turns + 1, run.model, status=StepStatus.IN_PROGRESS)
    ordered = [turns[number] for number in sorted(turns)]
    before = run.created_at
    for turn in ordered:
        turn.entry = entries.get(f"{run.pk}/{turn.number}")
        turn.settled = _settled(turn)
        turn.began = _began(run, turn, before)
        before = turn.ended or before
    return ordered


def _settled(turn: Turn) -> datetime | None:
    """When the model had said all: its tokens are counted then, or when tools that change nothing are done as well."""
    counted = turn.entry.settled_at if turn.entry is not None else None
    known = min(filter(None, [counted, *(call.began for call in turn.calls)]), default=None)
    return min(filter(None, [known, turn.ended]), default=None) if known else None


def _began(run: Run, turn: Turn, before: datetime) -> datetime:
    """When the turn was asked: as its reservation says, else when the run was claimed, else where the one before ended.

    Of several claims only the last is known; it may have come behind this turn. An entry without a reservation is
    made when it is settled.
    """
    entry = turn.entry
    if entry is not None and entry.created_at != entry.settled_at:
        known = entry.created_at
    elif run.started_at is not None and (turn.spoke is None or run.started_at <= turn.spoke):
        known = max(before, run.started_at)
    else:
        known = before
    return known if turn.spoke is None else min(known, turn.spoke)


# --- Calls -----------------------------------------------------------------------------------------------------------


def _calls(step: RunStep) -> list[Call]:
    served = step.carry.get("served", {})
    found = []
    for index, call in enumerate(step.step_details.get("tool_calls", [])):
        kept = served.get(str(index)) or {}
        function = call.get("function") or {}
        output = kept.get("output", function.get("output"))
        began, ended = kept.get("times", (None, None))
        found.append(
            Call(
                id=call.get("id", ""),
                type=call["type"],
                name=kept.get("name") or function.get("name") or call["type"],
                arguments=kept.get("arguments") or function.get("arguments") or "",
                output=output if isinstance(output, str) else None,
                began=_moment(began),
                ended=_moment(ended),
                entry=call,
                kept=kept,
            )
        )
    return found


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
