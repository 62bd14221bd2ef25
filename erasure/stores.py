"""Vector stores with their lists of files, texts, passages and vectors, here and in R2R."""

import logging

from django.db import transaction

from erasure.steps import Steps, remove
from tenants.models import Tenant
from vector_stores import actions, claims, removals
from vector_stores.models import Engine, FileBatch, ParsedText, Removal, StoreFile, VectorStore

logger = logging.getLogger(__name__)

TEXTS = 50  # parsed texts may be large


class Unreachable(Exception):
    """R2R still has passages, and does not answer. Everything else can go on."""


def erase_store(tenant: Tenant, store_id: str) -> Steps:
    """Erases a store; passages in R2R are left to `Removal`. The files in it stay."""
    files = StoreFile.objects.of(tenant).filter(vector_store_id=store_id)
    with transaction.atomic():
        claims.give_up(files)  # who ingests one of them loses it
    while removals.delete_chunks(store_id):
        yield
    yield from remove(ParsedText.objects.of(tenant).filter(store_file__vector_store_id=store_id), at_once=TEXTS)
    yield from remove(StoreFile.batches.through.objects.filter(storefile__vector_store_id=store_id))
    yield from remove(files)
    yield from remove(FileBatch.objects.of(tenant).filter(vector_store_id=store_id))
    actions.delete_store(tenant=tenant, store_id=store_id, is_recorded=False)


def carry_out_removals(tenant: Tenant, *, leave_r2r: bool) -> Steps:
    """Removes what stores that are gone have left. Raises `Unreachable`, unless R2R's part is to be left there."""
    for removal in Removal.objects.of(tenant).order_by("pk"):
        if removal.engine == Engine.LOCAL:
            while removals.delete_chunks(removal.vector_store_id):
                yield
        else:
            _remove_from_r2r(removal, leave_r2r=leave_r2r)
        removal.delete()
        yield


def _remove_from_r2r(removal: Removal, *, leave_r2r: bool) -> None:
    from vector_stores import r2r  # loads an HTTP client, which most installations never need

    store_id, file_id = removal.vector_store_id, removal.store_file_id
    try:
        if file_id:
            r2r.remove_file(store_id, file_id, tenant_id=removal.tenant_id)
        else:
            r2r.remove_store(store_id, tenant_id=removal.tenant_id)
    except r2r.R2RFailed as failure:
        if not leave_r2r:
            raise Unreachable(str(failure)) from failure
        logger.error("R2R keeps the passages of %s, whose tenant is gone: %s", removal, failure)


def stores_of(tenant: Tenant) -> list[str]:
    """Some of the tenant's stores."""
    return list(VectorStore.objects.of(tenant).order_by("pk").values_list("pk", flat=True)[:100])
