"""What a tenant may use of something that is counted in the database: runs, storage, seconds of code.

A limit that is not set costs nothing. Where one is set, requests of a tenant that count against it are decided one
after the other, under a lock that ends with the transaction: so it holds however many ask at once.
"""

from enum import IntEnum

from django.db import connection


class Of(IntEnum):
    """What is locked, as the first half of an advisory lock's key."""

    RUNS = 7_114_001
    QUEUE = 7_114_002
    STORAGE = 7_114_003
    STORES = 7_114_004


def lock(tenant_id: str, of: Of) -> None:
    """Part of a transaction: until it ends nobody else decides about this tenant's use of it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [of.value, tenant_id])
