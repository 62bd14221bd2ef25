"""Threads with all that hangs on them: runs, steps, messages, what code has left, the events of runs."""

from collections.abc import Sequence

from django.db import IntegrityError, connection, transaction

from assistant_site import valkey
from assistant_site.wire.errors import NotFound
from erasure.steps import Steps, remove, remove_with_signals
from files import blobs
from files.models import UploadPart
from runs import events
from runs.machine import HELD, Status
from runs.models import Run, RunStep, SentPrompt
from tenants.models import Tenant
from threads import actions as thread_actions
from threads.models import Message, Thread
from tools.models import CodeFile, CodeSpace

RUNS = 50  # with their steps, in one transaction
BLOBS = 50


def erase_threads(tenant: Tenant, thread_ids: Sequence[str]) -> Steps:
    """Erases these threads of the tenant."""
    yield from _erase_runs(tenant, thread_ids)
    yield from remove(Message.objects.of(tenant).filter(thread_id__in=thread_ids))
    yield from erase_with_blobs(CodeFile, {"tenant": tenant, "thread_id__in": thread_ids})
    yield from remove_with_signals(CodeSpace.objects.of(tenant).filter(thread_id__in=thread_ids))
    _forget_answers(tenant, thread_ids)
    try:
        with transaction.atomic():
            threads = Thread.objects.of(tenant).filter(pk__in=thread_ids)
            threads._raw_delete(threads.db)
            connection.check_constraints()
    except IntegrityError:  # a request that was under way has added something meanwhile
        for thread_id in thread_ids:
            _erase_whole(tenant, thread_id)


def _erase_runs(tenant: Tenant, thread_ids: Sequence[str]) -> Steps:
    """A worker that holds one of them loses it: its next write finds no row and writes nothing."""
    runs = Run.objects.of(tenant).filter(thread_id__in=thread_ids).order_by("pk")
    while found := list(runs.values_list("pk", flat=True)[:RUNS]):
        with transaction.atomic():
            locked = dict(runs.filter(pk__in=found).select_for_update().values_list("pk", "status"))
            for model in (RunStep, SentPrompt):
                of_runs = model.objects.across_tenants().filter(run_id__in=list(locked))
                of_runs._raw_delete(of_runs.db)
            gone = Run.objects.across_tenants().filter(pk__in=list(locked))
            gone._raw_delete(gone.db)
        for run_id, status in locked.items():
            if Status(status) in HELD:
                valkey.tell_workers_to_stop(run_id)
        events.forget(list(locked))
        yield


def _erase_whole(tenant: Tenant, thread_id: str) -> None:
    try:
        thread_actions.delete_thread(tenant=tenant, thread_id=thread_id)
    except NotFound:
        return


def _forget_answers(tenant: Tenant, thread_ids: Sequence[str]) -> None:
    """Answers that are kept for repeated requests, and tell of these threads."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM tenants_keptanswer WHERE tenant_id = %s AND EXISTS "
            "(SELECT 1 FROM unnest(%s::text[]) AS thread WHERE position(convert_to(thread, 'UTF8') IN body) > 0)",
            [tenant.pk, list(thread_ids)],
        )


def erase_with_blobs(model: type[CodeFile] | type[UploadPart], which: dict[str, object]) -> Steps:
    """Rows that own a blob, and their blobs; one that the storage does not remove now is removed later."""
    rows = model.objects.across_tenants().filter(**which)
    while some := dict(rows.order_by().values_list("pk", "blob")[:BLOBS]):
        with transaction.atomic():
            rows.filter(pk__in=list(some)).delete()
        blobs.drop(*some.values())
        yield
