"""Advisory locks of a session: for what takes long and must not keep a transaction open meanwhile.

They are the database connection's, so they go with a process that dies.
"""

import contextlib
from collections.abc import Iterator
from enum import IntEnum

from django.db import DatabaseError, connection


class Kind(IntEnum):
    """What is locked, as the first half of the lock's key; the numbers go on behind those of `metering.quotas.Of`."""

    BLOBS = 7_114_006
    MOVING = 7_114_007
    JOINING = 7_114_008


@contextlib.contextmanager
def held(kind: Kind, name: str = "", *, is_waiting: bool = True) -> Iterator[bool]:
    """Inside, nobody else holds the lock of this name. Without waiting it may be another's: False."""
    key = [kind.value, name]
    with connection.cursor() as cursor:
        if is_waiting:
            cursor.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", key)
            is_ours = True
        else:
            cursor.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", key)
            is_ours = bool(cursor.fetchone()[0])
    try:
        yield is_ours
    finally:
        if is_ours:
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", key)
            except DatabaseError:
                connection.close()  # which ends the session, and with it the lock


def is_held(kind: Kind, name: str = "") -> bool:
    """Whether another session holds it, or waits for it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock_shared(%s, hashtext(%s))", [kind.value, name])
        return not cursor.fetchone()[0]
