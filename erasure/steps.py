"""How an erasure is carried out: step after step, each a bounded transaction, by one process at a time."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.models import QuerySet

ROWS = 2_000  # of narrow tables, in one transaction

# Each `next` does a little. It must do something: an erasure begins anew in each slice of time, and would not get on.
Steps = Iterator[None]


@contextlib.contextmanager
def alone(what: str) -> Iterator[bool]:
    """Whether no other process is at this at the moment; the lock ends with the process that holds it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 7))", [f"erasure of {what}"])
        is_free = bool(cursor.fetchone()[0])
    try:
        yield is_free
    finally:
        if is_free:
            with contextlib.suppress(DatabaseError), connection.cursor() as cursor:  # it is lost, and the lock with it
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 7))", [f"erasure of {what}"])


def for_a_while(steps: Steps, seconds: float | None) -> bool:
    """Takes the steps until the time is over; whether all are done. None: however long it takes."""
    deadline = None if seconds is None else time.monotonic() + seconds
    return all(deadline is None or time.monotonic() < deadline for _ in steps)


def remove(rows: "QuerySet[Any]", *, at_once: int = ROWS) -> Steps:
    """Deletes rows on which nothing hangs any more, without loading them."""
    pks = rows.order_by().values_list("pk", flat=True)
    while some := list(pks[:at_once]):
        with transaction.atomic():
            gone = rows.model._base_manager.filter(pk__in=some)
            gone._raw_delete(gone.db)
        yield


def remove_with_signals(rows: "QuerySet[Any]", *, at_once: int = 200) -> Steps:
    """Deletes rows as Django does: with what hangs on them, and telling those who listen."""
    pks = rows.order_by().values_list("pk", flat=True)
    while some := list(pks[:at_once]):
        with transaction.atomic():
            rows.model._base_manager.filter(pk__in=some).delete()
        yield
