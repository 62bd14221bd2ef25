"""The life of a run as a table: which status may follow which. No queries, no clock.

Everything about moves stands here; only `actions.move` and `moves` carry one out.
"""

from django.db import models


class Status(models.TextChoices):
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    REQUIRES_ACTION = "requires_action"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    EXPIRED = "expired"


S = Status

MOVES: dict[Status, frozenset[Status]] = {
    # A worker claims it; it is cancelled, or its time ends, before one does.
    S.QUEUED: frozenset({S.IN_PROGRESS, S.CANCELLING, S.EXPIRED, S.FAILED}),
    # Its worker ends it, stops for the caller's functions, or hands it back (also: somebody takes it from a dead one).
    S.IN_PROGRESS: frozenset(
        {S.REQUIRES_ACTION, S.COMPLETED, S.INCOMPLETE, S.FAILED, S.EXPIRED, S.CANCELLING, S.QUEUED}
    ),
    # All outputs came, or the caller gave up, or the time ended.
    S.REQUIRES_ACTION: frozenset({S.QUEUED, S.CANCELLING, S.EXPIRED}),
    # Whoever carries it stops and closes what is open.
    S.CANCELLING: frozenset({S.CANCELLED}),
    S.CANCELLED: frozenset(),
    S.COMPLETED: frozenset(),
    S.INCOMPLETE: frozenset(),
    S.FAILED: frozenset(),
    S.EXPIRED: frozenset(),
}

TERMINAL = frozenset(status for status, following in MOVES.items() if not following)
ACTIVE = frozenset(Status) - TERMINAL  # the thread is locked
HELD = frozenset({S.IN_PROGRESS, S.CANCELLING})  # a worker has it, or had
RESTING = TERMINAL | {S.REQUIRES_ACTION}  # nobody works on it: streams end here

RESTING_EVENTS = frozenset(f"thread.run.{status.value}".encode() for status in RESTING)
TERMINAL_EVENTS = frozenset(f"thread.run.{status.value}".encode() for status in TERMINAL)


class IllegalMove(Exception):
    """The table does not know this move; nothing was changed."""

    def __init__(self, old: Status, new: Status) -> None:
        super().__init__(f"{old.value} → {new.value}")


def check(old: Status, new: Status) -> None:
    if new not in MOVES[old]:
        raise IllegalMove(old, new)
