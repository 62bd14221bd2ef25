"""Passages that are to go: of deleted stores, of stores that have expired, and what a retrieval engine still has.

The API deletes the rows that make passages findable at once; the passages themselves, which may be hundreds of
thousands, go in small batches. What an engine elsewhere has not confirmed is asked again until it has.
"""

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from vector_stores import claims, counts
from vector_stores.models import Chunk, Engine, Removal, StoreFile, StoreFileStatus, VectorStore

logger = logging.getLogger(__name__)

BATCH = 2_000  # passages
REMOVALS_AT_ONCE = 20
LEASE = timedelta(minutes=5)
FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(minutes=10)


def carry_out() -> int:
    """Does what is due; returns how many removals were tried. Safe from every worker at once."""
    tried = 0
    while tried < REMOVALS_AT_ONCE and (removal := _take()) is not None:
        tried += 1
        if removal.engine == Engine.LOCAL:
            _remove_here(removal)
        else:
            _remove_from_r2r(removal)
    return tried


def _take() -> Removal | None:
    """The next one, out of the others' sight for some minutes."""
    due = Removal.objects.across_tenants().filter(due_at__lte=Now()).order_by("due_at", "pk")
    with transaction.atomic():
        removal: Removal | None = due.select_for_update(skip_locked=True).first()
        if removal is not None:
            Removal.objects.across_tenants().filter(pk=removal.pk).update(due_at=Now() + LEASE)
    return removal


def _done(removal: Removal) -> None:
    Removal.objects.across_tenants().filter(pk=removal.pk).delete()


def _remove_here(removal: Removal) -> None:
    while delete_chunks(removal.vector_store_id):
        Removal.objects.across_tenants().filter(pk=removal.pk).update(due_at=Now() + LEASE)
    _done(removal)


def delete_chunks(store_id: str) -> int:
    """Up to a batch of a store's passages, with their vectors; returns how many there were."""
    chunks = Chunk.objects.across_tenants()
    some = chunks.filter(vector_store_id=store_id).values("pk")[:BATCH]
    return chunks.filter(pk__in=list(some.values_list("pk", flat=True))).delete()[0]


def _remove_from_r2r(removal: Removal) -> None:
    from vector_stores import r2r

    try:
        if removal.store_file_id:
            r2r.remove_file(removal.vector_store_id, removal.store_file_id, tenant_id=removal.tenant_id)
        else:
            r2r.remove_store(removal.vector_store_id, tenant_id=removal.tenant_id)
    except r2r.R2RFailed as failure:
        logger.warning("R2R has not removed %s yet: %s", removal, failure)
        _later(removal, str(failure))
        return
    _done(removal)


def _later(removal: Removal, problem: str) -> None:
    """After a pause as long as it has been tried already, within bounds; it is never given up."""
    tried_for = removal.due_at - removal.created_at
    pause = min(max(tried_for, FIRST_PAUSE), LONGEST_PAUSE)
    Removal.objects.across_tenants().filter(pk=removal.pk).update(due_at=Now() + pause, problem=problem[:500])


def clear_expired_stores() -> int:
    """Deletes the passages of stores that have expired, and gives up their unfinished files; returns how many stores.

    The stores and the lists of their files stay.
    """
    chunks = Chunk.objects.across_tenants().filter(vector_store_id=OuterRef("pk"))
    unfinished = StoreFile.objects.across_tenants().filter(
        vector_store_id=OuterRef("pk"), status=StoreFileStatus.IN_PROGRESS
    )
    full = VectorStore.objects.across_tenants().filter(counts.has_expired(), Exists(chunks) | Exists(unfinished))
    stores = list(full[:REMOVALS_AT_ONCE])
    for store in stores:
        with transaction.atomic():
            claims.give_up(StoreFile.objects.across_tenants().filter(vector_store=store))
            if store.engine != Engine.LOCAL:  # noted first: a store without passages is not looked at again
                Removal.objects.create(tenant_id=store.tenant_id, engine=store.engine, vector_store_id=store.pk)
        while delete_chunks(store.pk):
            pass
    return len(stores)
