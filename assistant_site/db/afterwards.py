"""What must not happen before the rows are committed: telling events, asking for a worker.

An action commits and then tells. Where the whole request is one transaction (an idempotent one), the telling waits for
its end. Django's `on_commit` is not used: in tests that are rolled back it would never run.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from django.db import transaction

_waiting: ContextVar[list[Callable[[], None]] | None] = ContextVar("waiting", default=None)


def once_committed(tell: Callable[[], None]) -> None:
    """Calls `tell` now, or after the commit of the transaction around the whole request."""
    waiting = _waiting.get()
    if waiting is None:
        tell()
    else:
        waiting.append(tell)


@contextlib.contextmanager
def one_transaction() -> Iterator[None]:
    """All that is written inside is committed together; what was to be told of it is told then, or never."""
    waiting: list[Callable[[], None]] = []
    before = _waiting.set(waiting)
    try:
        with transaction.atomic():
            yield
            if transaction.get_rollback():
                waiting.clear()
    finally:
        _waiting.reset(before)
    for tell in waiting:
        tell()
