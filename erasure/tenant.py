"""A tenant with everything it owns. Audit entries stay, usage goes with the tenant, its tokens are the last but it."""

import logging
import time
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.db import IntegrityError, connection, models, transaction
from django.db.models import Sum
from django.utils import timezone

from assistants.models import Assistant
from audit import log
from erasure import stores
from erasure.steps import Steps, alone, for_a_while, remove_with_signals
from erasure.threads import erase_threads, erase_with_blobs
from files import actions as file_actions
from files.models import File, Upload, UploadPart
from runs.actions import interrupt_run
from runs.machine import Status
from runs.models import Run, RunStep
from tenants.models import ApiToken, Tenant
from threads.models import Message, Thread
from vector_stores.models import Chunk, FileBatch, ParsedText, StoreFile, VectorStore

logger = logging.getLogger(__name__)

SLICE_SECONDS = 5.0  # of a worker's time, before it looks after other things
THREADS = 100
FILES = 50
R2R_PATIENCE = timedelta(days=1)  # from the beginning of the deletion on
PAUSE_SECONDS = 60.0  # while R2R does not answer
# Found by what they belong to, and without an index that begins with the tenant: emptied before, and looked through
# only if something is left.
_LARGE = (Run, RunStep, Message, Chunk, ParsedText, StoreFile, FileBatch, UploadPart)

_resting: dict[str, float] = {}  # tenants whose R2R does not answer, until when


# --- Its beginning (`tenants.deletion`) ------------------------------------------------------------------------------


def owned_by(tenant: Tenant) -> dict[str, Any]:
    """What the tenant has, in numbers."""
    threads = Thread.objects.of(tenant)
    counted: dict[str, Any] = {
        "threads": threads.count(),
        "messages": threads.aggregate(sum=Sum("message_count"))["sum"] or 0,
    }
    for name, model in (("runs", Run), ("assistants", Assistant), ("files", File), ("vector_stores", VectorStore)):
        counted[name] = model.objects.of(tenant).count()
    return counted | {"tokens": ApiToken.objects.filter(tenant=tenant).count()}


def stop_runs(tenant: Tenant) -> None:
    """Cancels the runs that workers hold. Those that wait are never begun: their tenant is closed."""
    held = Run.objects.of(tenant).filter(status=Status.IN_PROGRESS)
    for run_id, thread_id in held.values_list("pk", "thread_id"):
        interrupt_run(tenant, thread_id, run_id)


# --- Its course ------------------------------------------------------------------------------------------------------


def carry_on(seconds: float = SLICE_SECONDS) -> None:
    """Works for a while on the tenants whose deletion has begun; safe from every worker at once."""
    for tenant in Tenant.objects.exclude(deletion_began_at=None).order_by("deletion_began_at"):
        if _resting.get(tenant.pk, 0.0) > time.monotonic():
            continue
        try:
            if carry_out(tenant, seconds=seconds):
                _resting.pop(tenant.pk, None)
        except stores.Unreachable as problem:
            _resting[tenant.pk] = time.monotonic() + PAUSE_SECONDS
            logger.warning("The deletion of tenant %s waits for R2R: %s", tenant.pk, problem)


def carry_out(tenant: Tenant, *, seconds: float | None = None, leave_r2r: bool = False) -> bool:
    """Deletes what is left of a tenant whose deletion has begun; whether it is gone.

    False: the time is over, or another process is at it. Raises `stores.Unreachable`.
    """
    assert tenant.deletion_began_at is not None
    leave_r2r = leave_r2r or timezone.now() - tenant.deletion_began_at > R2R_PATIENCE
    with alone(f"tenant {tenant.pk}") as is_mine:
        for_a_while(_steps(tenant, leave_r2r=leave_r2r) if is_mine else iter(()), seconds)
    return not Tenant.objects.filter(pk=tenant.pk).exists()


def _steps(tenant: Tenant, *, leave_r2r: bool) -> Steps:
    threads = Thread.objects.of(tenant).order_by("pk").values_list("pk", flat=True)
    while some := list(threads[:THREADS]):
        yield from erase_threads(tenant, some)
        yield
    yield from remove_with_signals(Assistant.objects.of(tenant))
    while found := stores.stores_of(tenant):
        for store_id in found:
            yield from stores.erase_store(tenant, store_id)
            yield
    yield from stores.carry_out_removals(tenant, leave_r2r=leave_r2r)
    yield from _erase_files(tenant)
    for model in owned_models():
        if model not in _LARGE:
            yield from remove_with_signals(model._base_manager.filter(tenant=tenant))
    if not _end(tenant):  # something was written meanwhile, by a request or an ingestion that was under way
        for model in owned_models():
            yield from remove_with_signals(model._base_manager.filter(tenant=tenant))
        _end(tenant)


def _erase_files(tenant: Tenant) -> Steps:
    for upload_id in Upload.objects.of(tenant).values_list("pk", flat=True):
        yield from erase_with_blobs(UploadPart, {"upload_id": upload_id})
    files = File.objects.of(tenant).order_by("pk").values_list("pk", flat=True)
    while some := list(files[:FILES]):
        for file_id in some:
            file_actions.erase(file_id)
        yield


def owned_models() -> list[type[models.Model]]:
    """Every model whose rows belong to a tenant, from above to below; API tokens last."""
    found = [
        model
        for model in apps.get_models()
        if any(field.related_model is Tenant for field in model._meta.concrete_fields)
    ]
    return [*(model for model in reversed(found) if model is not ApiToken), ApiToken]


def _end(tenant: Tenant) -> bool:
    """Deletes the row; False if something is still there. PostgreSQL looks through every table for that, once."""
    try:
        with transaction.atomic():
            row = Tenant.objects.filter(pk=tenant.pk)
            if row._raw_delete(row.db):
                log.record_row(tenant, "deleted", after={"deletion_began_at": tenant.deletion_began_at})
            connection.check_constraints()
    except IntegrityError as error:
        logger.info("Something of tenant %s is left: %s", tenant.pk, error)
        return False
    return True
