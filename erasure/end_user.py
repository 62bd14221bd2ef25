"""An end user of a tenant: its threads with all that hangs on them, and its files that nobody else uses.

Runs that it had in threads of others stay without its name, and usage keeps its numbers under `ERASED`, so that every
sum stays what it was.
"""

import hashlib
import hmac
import logging
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, Sum
from django.utils import timezone

from assistant_site.wire.errors import NotFound
from audit import log
from erasure import used
from erasure.models import Erasure
from erasure.steps import ROWS, Steps, alone, for_a_while
from erasure.stores import erase_store
from erasure.threads import erase_threads
from files import actions as file_actions
from metering.models import Balance, Budget, LedgerEntry
from runs.models import Run
from tenants.models import EndUser, Tenant
from threads.models import Thread
from vector_stores.models import VectorStore

logger = logging.getLogger(__name__)

ERASED = "(erased)"  # the end user of usage that was somebody's
REQUEST_SECONDS = 2.0  # what is not done in a request by then is done by a worker
SLICE_SECONDS = 5.0
THREADS = 20
SECOND_LOOK = timedelta(minutes=15)


def erase(tenant: Tenant, name: str) -> None:
    """Begins the erasure, and ends it here if it is small. `NotFound` if the tenant has nothing of such an end user."""
    erasure = _begin(tenant, name)
    with alone(f"end user {erasure.pk}") as is_mine:
        if is_mine:
            for_a_while(_steps(erasure), REQUEST_SECONDS)


def is_known(tenant: Tenant, name: str) -> bool:
    """Whether the tenant has anything of an end user of this name."""
    if not name or name == ERASED or "\x00" in name:
        return False
    return (
        EndUser.objects.of(tenant).filter(name=name).exists()
        or any(model.objects.of(tenant).filter(end_user=name).exists() for model in (Thread, Run))
        or Erasure.objects.of(tenant).filter(end_user=name, ended_at=None).exists()
    )


def _begin(tenant: Tenant, name: str) -> Erasure:
    if not is_known(tenant, name):
        raise NotFound.of(EndUser.wire_noun, name)
    with transaction.atomic():
        user = EndUser.objects.of(tenant).filter(name=name).select_for_update(no_key=True).first()
        handle = str(user.pk) if user else _handle(tenant, name)
        erasure: Erasure
        erasure, is_new = Erasure.objects.across_tenants().get_or_create(
            tenant=tenant, end_user=name, defaults={"handle": handle}
        )
        if erasure.ended_at is not None:  # it was made anew since
            is_new = True
            erasure.change(handle=handle, began_at=timezone.now(), ended_at=None, counts={})
        if user and user.blocked_at is None:  # nothing new is made for it meanwhile
            user.change(blocked_at=timezone.now())
        if is_new:
            _record(erasure, "erasure_began")
    return erasure


def _handle(tenant: Tenant, name: str) -> str:
    """For an end user without a row: nobody without the server's key can tell whether it was a certain name's."""
    key = hmac.new(settings.SECRET_KEY.encode(), f"{tenant.pk} {name}".encode(), hashlib.sha256)
    return f"user_{key.hexdigest()[:24]}"


def _record(erasure: Erasure, what: str) -> None:
    log.record(
        f"end_user.{what}",
        tenant_id=str(erasure.tenant_id),
        object_type="end_user",
        object_id=erasure.handle,
        after=erasure.counts or None,
    )


def carry_on(seconds: float = SLICE_SECONDS) -> None:
    """Works for a while on erasures under way; safe from every worker at once."""
    due = Q(ended_at=None) | Q(ended_at__lt=timezone.now() - SECOND_LOOK)
    for erasure in Erasure.objects.across_tenants().filter(due).order_by("began_at")[:100]:
        with alone(f"end user {erasure.pk}") as is_mine:
            if is_mine:
                for_a_while(_steps(erasure) if erasure.ended_at is None else _look_again(erasure), seconds)


# --- What is done --------------------------------------------------------------------------------------------------


def _steps(erasure: Erasure) -> Steps:
    erasure.refresh_from_db()
    if erasure.ended_at is not None:
        return
    tenant, name = Tenant(pk=erasure.tenant_id), erasure.end_user
    threads = Thread.objects.of(tenant).filter(end_user=name).order_by("pk").values_list("pk", flat=True)
    while some := list(threads[:THREADS]):
        messages = _note(erasure, some)
        yield from erase_threads(tenant, some)
        _count(erasure, threads=len(some), messages=messages)
        yield
    yield from _forget_name(tenant, name)
    yield from _erase_stores(erasure)
    yield from _erase_files(erasure)
    with transaction.atomic():
        EndUser.objects.of(tenant).filter(name=name).delete()
        erasure.change(ended_at=timezone.now(), files=[], vector_stores=[])
        _record(erasure, "erased")


def _note(erasure: Erasure, thread_ids: list[str]) -> int:
    """Keeps in mind what else these threads have, before anything of them goes; returns how many messages they have."""
    tenant = Tenant(pk=erasure.tenant_id)
    stores = used.own_stores(tenant, thread_ids)
    files = used.files_of(tenant, thread_ids, stores)
    erasure.change(
        files=sorted({*erasure.files, *files}),
        vector_stores=sorted({*erasure.vector_stores, *stores}),
    )
    summed = Thread.objects.of(tenant).filter(pk__in=thread_ids).aggregate(sum=Sum("message_count"))
    return summed["sum"] or 0


def _count(erasure: Erasure, **more: int) -> None:
    """For the audit log. What a process that dies has just deleted is not counted."""
    erasure.change(
        counts=erasure.counts | {what: erasure.counts.get(what, 0) + number for what, number in more.items()}
    )


def _erase_stores(erasure: Erasure) -> Steps:
    tenant = Tenant(pk=erasure.tenant_id)
    there = VectorStore.objects.of(tenant).filter(pk__in=erasure.vector_stores).values_list("pk", flat=True)
    for store_id in sorted(set(there) - used.stores_in_use(tenant, list(there))):
        yield from erase_store(tenant, store_id)
        _count(erasure, vector_stores=1)
        yield


def _erase_files(erasure: Erasure) -> Steps:
    tenant = Tenant(pk=erasure.tenant_id)
    there = used.files_there(tenant, erasure.files)
    for file_id in sorted(there - used.files_in_use(tenant, there)):
        if file_actions.erase(file_id):
            _count(erasure, files=1)
        yield


def _look_again(erasure: Erasure) -> Steps:
    """At what a model call that was under way has written since."""
    yield from _forget_name(Tenant(pk=erasure.tenant_id), erasure.end_user)
    erasure.delete()


# --- Its name ------------------------------------------------------------------------------------------------------


def _forget_name(tenant: Tenant, name: str) -> Steps:
    runs = Run.objects.of(tenant).filter(end_user=name)
    while some := list(runs.values_list("pk", flat=True)[:ROWS]):
        Run.objects.of(tenant).filter(pk__in=some).update(end_user="")
        yield
    # The ledger before what is added up from it: who adds up meanwhile holds the entries' rows until that is there.
    entries = list(LedgerEntry.objects.of(tenant).filter(end_user=name).order_by("pk").values_list("pk", flat=True))
    for at in range(0, len(entries), ROWS):
        LedgerEntry.objects.of(tenant).filter(pk__in=entries[at : at + ROWS]).update(end_user=ERASED)
        yield
    _merge_usage(tenant, name)
    with transaction.atomic():
        Budget.objects.of(tenant).filter(end_user=name).delete()
        Balance.objects.of(tenant).filter(end_user=name).delete()


_SUMS = (
    "requests",
    "runs",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "tool_calls",
    "code_seconds",
    "cost",
)
_KEY = ("tenant_id", "day", "kind", "token_id", "model", "assistant_id", "end_user", "currency")


def _merge_usage(tenant: Tenant, name: str) -> None:
    """The days of the name are added to those of `ERASED`, in one statement."""
    columns = (*_KEY, *_SUMS)
    moved = ", ".join("%s" if column == "end_user" else column for column in columns)
    added = ", ".join(f"{column} = metering_usageday.{column} + EXCLUDED.{column}" for column in _SUMS)
    statement = (
        "WITH gone AS (DELETE FROM metering_usageday WHERE tenant_id = %s AND end_user = %s RETURNING *) "  # noqa: S608
        f"INSERT INTO metering_usageday ({', '.join(columns)}) SELECT {moved} FROM gone "
        f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET {added}"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [tenant.pk, name, ERASED])
