"""What a tenant may use of what is counted in the database: runs, storage, vector stores, seconds of code.

A limit that is not set costs nothing. Where one is set, requests of a tenant that count against it are decided one
after the other, under a lock that ends with the transaction: so it holds however many ask at once.
"""

from collections.abc import Callable
from datetime import datetime
from enum import IntEnum

from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone

from assistant_site.wire.errors import InvalidRequest
from metering.models import EntryKind, EntryState, LedgerEntry
from tenants.models import Tenant

MIB = 1024 * 1024

# What the apps above have stored for a tenant (its id), in bytes: each counts its own rows.
STORED: list[Callable[[str], int]] = []


class Of(IntEnum):
    """What is locked, as the first half of an advisory lock's key."""

    RUNS = 7_114_001
    QUEUE = 7_114_002
    STORAGE = 7_114_003
    STORES = 7_114_004
    CODE = 7_114_005


def lock(tenant_id: str, of: Of) -> None:
    """Part of a transaction: until it ends nobody else decides about this tenant's use of it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [of.value, tenant_id])


def known(tenant: Tenant) -> Tenant:
    """The tenant with its limits: its row is read if nothing but its id is known, as in a worker."""
    return Tenant.objects.get(pk=tenant.pk) if tenant._state.adding else tenant


# --- Storage ---------------------------------------------------------------------------------------------------------


def stored_bytes(tenant_id: str) -> int:
    """All that is stored for the tenant: files, parts of uploads, what code has left."""
    return sum(count(tenant_id) for count in STORED)


def check_storage(tenant: Tenant, more: int) -> None:
    """Part of the transaction that stores `more` bytes: refuses them, in OpenAI's words, if the tenant has no room."""
    most = known(tenant).storage_mb
    if most is None:
        return
    lock(tenant.pk, Of.STORAGE)
    if stored_bytes(tenant.pk) + more > most * MIB:
        raise InvalidRequest(
            f"You have exceeded your file storage quota. This organization is limited to {most:,} MB of files. Please "
            "delete old files or attempt with a smaller file size."
        )


# --- Vector stores ---------------------------------------------------------------------------------------------------


def stores_full(tenant: Tenant, used: Callable[[], int], more: int = 0) -> str:
    """Part of the transaction that adds `more` bytes to a store: why it must not be; empty: it may.

    `used` counts what the tenant's stores take. With nothing more: whether anything may be added at all.
    """
    most = known(tenant).vector_store_mb
    if most is None:
        return ""
    lock(tenant.pk, Of.STORES)
    if used() + max(more, 1) <= most * MIB:
        return ""
    return (
        f"The vector stores of this organization are limited to {most:,} MB, and there is no room for this file. "
        "Please remove files from vector stores, or ask the operator of this server for more room."
    )


# --- Seconds of code -------------------------------------------------------------------------------------------------


def month_began(moment: datetime) -> datetime:
    """In UTC."""
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def code_seconds_used(tenant_id: str) -> float:
    """In this month: what executions took, and all that those under way may take."""
    began = month_began(timezone.now())
    code = LedgerEntry.objects.across_tenants().filter(tenant_id=tenant_id, kind=EntryKind.CODE)
    settled = code.filter(state=EntryState.SETTLED, settled_at__gte=began)
    reserved = code.filter(state=EntryState.RESERVED, settled_at=None, created_at__gte=began)
    return sum(rows.aggregate(seconds=Sum("code_seconds"))["seconds"] or 0.0 for rows in (settled, reserved))


def begin_code(tenant: Tenant, call_id: str, seconds: float) -> str:
    """Reserves what this call may take, once however often it is asked for; a sentence if no seconds are left."""
    most = tenant.code_seconds_per_month
    if most is None:
        return ""
    with transaction.atomic():
        lock(tenant.pk, Of.CODE)
        if LedgerEntry.objects.across_tenants().filter(key=_key(call_id)).exists():
            return ""
        if code_seconds_used(tenant.pk) >= most:
            return (
                f"The code was not run: this organization may run code for {most:,} seconds a month, and they are used "
                "up. Do not try again; tell the user that the operator of this server can raise the limit."
            )
        _entry(tenant, call_id, seconds, EntryState.RESERVED).save(force_insert=True)
    return ""


def end_code(tenant_id: str, call_id: str, seconds: float | None) -> None:
    """Notes what a call took, once; what it had reserved is free again. None: not known, at most since it began."""
    mine = LedgerEntry.objects.across_tenants().filter(key=_key(call_id))
    now = timezone.now()
    reserved = mine.filter(state=EntryState.RESERVED).first()
    if reserved is not None:
        if seconds is None:
            seconds = min(reserved.code_seconds, (now - reserved.created_at).total_seconds())
        mine.filter(state=EntryState.RESERVED).update(state=EntryState.SETTLED, settled_at=now, code_seconds=seconds)
    elif seconds:
        entry = _entry(Tenant.objects.get(pk=tenant_id), call_id, seconds, EntryState.SETTLED)
        entry.settled_at = now
        LedgerEntry.objects.across_tenants().bulk_create([entry], ignore_conflicts=True)


def _key(call_id: str) -> str:
    return f"code/{call_id}"


def _entry(tenant: Tenant, call_id: str, seconds: float, state: EntryState) -> LedgerEntry:
    return LedgerEntry(
        tenant_id=tenant.pk,
        key=_key(call_id),
        kind=EntryKind.CODE,
        state=state,
        code_seconds=seconds,
        currency=tenant.currency,
    )
