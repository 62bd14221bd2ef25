"""What an ingestion worker does beside ingesting, each at its own pace; safe to do from every worker at once."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from files import actions as file_actions
from vector_stores import embedding_jobs, large_stores, removals


@dataclass
class Chore:
    """`work` is done again after a pause; its answer is not looked at."""

    work: Callable[[], object]
    pause_seconds: float
    due_at: float = 0.0

    def do_if_due(self) -> None:
        if time.monotonic() < self.due_at:
            return
        self.due_at = time.monotonic() + self.pause_seconds
        self.work()


# What apps above have done here: each with its pause in seconds.
MORE: list[tuple[Callable[[], object], float]] = []


def quick_chores() -> list[Chore]:
    """Database work of moments, and short calls to an engine."""
    return [
        *(Chore(work, pause) for work, pause in MORE),
        Chore(removals.carry_out, 2),
        Chore(removals.clear_expired_stores, 60),
        Chore(file_actions.forget_expired, 60),
    ]


def _embed() -> None:
    while embedding_jobs.tend():
        pass


def slow_chores() -> list[Chore]:
    """What may take minutes: embedding, building an index."""
    return [Chore(_embed, 3), Chore(large_stores.tend, 30)]
