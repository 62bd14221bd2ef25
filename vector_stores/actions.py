"""Writes to vector stores that span rows: one transaction each; ingestion is woken after the commit.

Rows are locked in one order everywhere: a thread, then its store, then files, then the files of stores in the order of
their ids. Who ingests a file holds its row in the store alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from assistant_site.wire.chunking import Chunking
from assistant_site.wire.errors import InvalidRequest, NotFound
from audit import log
from files.models import File
from tenants.models import Tenant, TenantQuerySet
from vector_stores import claims, counts, embedding_jobs
from vector_stores.models import (
    Chunk,
    Engine,
    FileBatch,
    ParsedText,
    Removal,
    StoreFile,
    StoreFileStatus,
    VectorStore,
)
from vector_stores.tasks import wake_ingestion

MAX_FILES = 10_000
TOUCHED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Entry:
    """A file that is to go into a store."""

    file_id: str
    chunking: Chunking = field(default_factory=Chunking)
    attributes: dict[str, Any] = field(default_factory=dict)


# --- Stores ----------------------------------------------------------------------------------------------------------


def create_store(
    *,
    tenant: Tenant,
    name: str | None = None,
    description: str | None = None,
    file_ids: Iterable[str] = (),
    expires_after_days: int | None = None,
    chunking: Chunking | None = None,
    metadata: dict[str, str] | None = None,
) -> VectorStore:
    """A store with these files; nothing is made if one of them is not there. Safe inside a caller's transaction."""
    with transaction.atomic():
        store: VectorStore = VectorStore.objects.create(
            tenant=tenant,
            name=name,
            description=description,
            expires_after_days=expires_after_days,
            metadata=metadata or {},
            engine=_engine_for(tenant),
        )
        entries = [Entry(file_id, chunking or Chunking()) for file_id in file_ids]
        if entries:
            add_files(store=store, entries=entries)
    return store


def _engine_for(tenant: Tenant) -> Engine:
    from vector_stores import r2r  # loads an HTTP client, which most installations never need

    try:
        return Engine.R2R if r2r.configured(tenant.pk) else Engine.LOCAL
    except r2r.R2RFailed:  # it is configured, and cannot be used at the moment
        return Engine.R2R


def stores_of(tenant: Tenant) -> "TenantQuerySet[VectorStore]":
    """The tenant's stores, each with `is_expired`."""
    return counts.stores(VectorStore.objects.of(tenant))


def fetch_usable(tenant: Tenant, store_id: str, *, lock: bool = False) -> VectorStore:
    """A store that can be written to and searched; the documented 404 or 400 if it cannot. `lock` until the commit."""
    stores = stores_of(tenant)
    store: VectorStore = (stores.select_for_update(no_key=True) if lock else stores).fetch(store_id)
    if counts.is_expired(store):
        raise InvalidRequest(f"Vector store '{store_id}' has expired.")
    return store


def modify_store(*, tenant: Tenant, store_id: str, changes: dict[str, Any]) -> VectorStore:
    with transaction.atomic():
        store = fetch_usable(tenant, store_id, lock=True)
        if changes:
            with log.changing(store):
                store.change(**changes)
    return store


def delete_store(*, tenant: Tenant, store_id: str, is_recorded: bool = True) -> None:
    """The store and its list of files are gone at once, the passages soon after. The files themselves stay."""
    with transaction.atomic():
        store = VectorStore.objects.of(tenant).select_for_update().fetch(store_id)
        if is_recorded:
            log.deleted(store)
        files = StoreFile.objects.of(tenant).filter(vector_store=store)
        list(files.select_for_update().order_by("pk").values_list("pk"))  # waits for whoever ends an ingestion just now
        ParsedText.objects.of(tenant).filter(store_file__vector_store=store).delete()
        StoreFile.batches.through.objects.filter(storefile__vector_store=store).delete()
        files._raw_delete(files.db)  # what hangs on them is gone; Django would load each row to look again
        store.delete()
        for engine in {Engine.LOCAL, Engine(store.engine)}:
            Removal.objects.create(tenant=tenant, engine=engine, vector_store_id=store_id)
        wake_ingestion()


def touch(stores: Iterable[VectorStore]) -> None:
    """Notes that these stores are used, to the minute: a busy store's row need not be written for each search.

    One that is locked at the moment is left out: whoever locks it uses it, and nobody has to wait for two stores.
    """
    ids = [store.pk for store in stores]
    rows = VectorStore.objects.across_tenants().filter(pk__in=ids)
    with transaction.atomic():
        resting = rows.filter(last_active_at__lt=Now() - TOUCHED_EVERY).exclude(counts.has_expired())
        free = list(resting.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True))
        rows.filter(pk__in=free).update(last_active_at=Now())


def stores_for_run(tenant: Tenant, store_ids: Iterable[str]) -> list[str]:
    """Those of the stores that a run can search; one that has expired is refused, deleted ones are left out."""
    wanted = list(store_ids)
    if not wanted:
        return []
    found = {store.pk: store for store in stores_of(tenant).filter(pk__in=wanted)}
    for store_id in wanted:
        if store_id in found and counts.is_expired(found[store_id]):
            raise InvalidRequest(f"Vector store {store_id} is expired.")
    touch(found.values())
    embedding_jobs.notice(found.values())
    return [store_id for store_id in wanted if store_id in found]


def in_progress(store_id: str) -> bool:
    """Whether files of the store are still to be ingested; cheap, for who waits for it."""
    return (
        StoreFile.objects.across_tenants().filter(vector_store_id=store_id, status=StoreFileStatus.IN_PROGRESS).exists()
    )


# --- Files of stores -------------------------------------------------------------------------------------------------


def not_in_store(file_id: str, store_id: str) -> NotFound:
    return NotFound(f"No file found with id '{file_id}' in vector store '{store_id}'.")


def fetch_file(tenant: Tenant, store_id: str, file_id: str) -> StoreFile:
    """The file of the store; the documented 404 for either."""
    row: StoreFile | None = StoreFile.objects.of(tenant).filter(vector_store_id=store_id, file_id=file_id).first()
    if row is not None:
        return row
    VectorStore.objects.of(tenant).only("pk").fetch(store_id)
    raise not_in_store(file_id, store_id)


def add_files(*, store: VectorStore, entries: list[Entry], batch: FileBatch | None = None) -> list[StoreFile]:
    """Puts files into the store, in the order given; safe inside a caller's transaction.

    A file that is there already stays as it is, unless its ingestion failed or was cancelled: then it is made anew.
    """
    with transaction.atomic():
        fetch_usable(store.tenant, store.pk, lock=True)
        wanted = {entry.file_id: entry for entry in reversed(entries)}  # of two for one file the first counts
        order = list(dict.fromkeys(entry.file_id for entry in entries))
        _hold_files(store.tenant_id, order)
        rows = StoreFile.objects.across_tenants().filter(vector_store=store)
        there = rows.filter(file_id__in=order).select_for_update(no_key=True, of=("self",)).order_by("pk")
        kept = {row.file_id: row for row in there.select_related("vector_store")}
        over = {StoreFileStatus.FAILED, StoreFileStatus.CANCELLED}
        remove_rows([row for row in kept.values() if row.status in over])
        kept = {file_id: row for file_id, row in kept.items() if row.status not in over}
        fresh = [_new_row(store, wanted[file_id]) for file_id in order if file_id not in kept]
        if fresh and rows.count() + len(fresh) > MAX_FILES:
            raise InvalidRequest(f"Vector store {store.pk} cannot have more than {MAX_FILES} files.")
        StoreFile.objects.insert(fresh)
        kept |= {row.file_id: row for row in fresh}
        if batch is not None:
            link = StoreFile.batches.through
            link.objects.bulk_create(link(storefile_id=row.pk, filebatch_id=batch.pk) for row in kept.values())
        VectorStore.objects.across_tenants().filter(pk=store.pk).update(last_active_at=Now())
        if fresh:
            wake_ingestion(len(fresh))
    return [kept[file_id] for file_id in order]


def _new_row(store: VectorStore, entry: Entry) -> StoreFile:
    return StoreFile(
        tenant_id=store.tenant_id,
        vector_store_id=store.pk,
        file_id=entry.file_id,
        max_chunk_size_tokens=entry.chunking.max_tokens,
        chunk_overlap_tokens=entry.chunking.overlap_tokens,
        attributes=entry.attributes,
    )


def _hold_files(tenant_id: str, file_ids: list[str]) -> None:
    """Keeps these files from being deleted until the commit; the documented 404 if one is not there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM files_file WHERE tenant_id = %s AND id = ANY(%s) "
            "AND (expires_at IS NULL OR expires_at > statement_timestamp()) ORDER BY id FOR KEY SHARE",
            [tenant_id, file_ids],
        )
        found = {row[0] for row in cursor.fetchall()}
    missing = [file_id for file_id in file_ids if file_id not in found]
    if len(missing) == 1:
        raise NotFound.of("file", missing[0])
    if missing:
        raise NotFound(f"Files [{', '.join(missing)}] were not found")


def remove_file(*, tenant: Tenant, store_id: str, file_id: str) -> None:
    """Takes a file out of a store, with its passages. The file stays, and so do other stores' copies."""
    with transaction.atomic():
        row = fetch_file(tenant, store_id, file_id)
        told = {"vector_store_id": store_id, "file_id": file_id, "attributes": row.attributes}
        log.record_row(row, "deleted", before=told)
        _lock_and_remove(StoreFile.objects.of(tenant).filter(pk=row.pk))


def remove_from_all_stores(file: File) -> None:
    """For who deletes a file, inside the deleting transaction."""
    _lock_and_remove(StoreFile.objects.across_tenants().filter(file=file))


def _lock_and_remove(rows: TenantQuerySet[StoreFile]) -> None:
    """Waits for whoever ends an ingestion of these just now: after that there is nothing more to come."""
    remove_rows(list(rows.select_for_update(of=("self",)).select_related("vector_store").order_by("pk")))


def remove_rows(rows: list[StoreFile]) -> None:
    """Deletes locked rows of a store's files, with their passages."""
    if not rows:
        return
    ids = sorted(row.pk for row in rows)
    StoreFile.objects.across_tenants().filter(pk__in=ids).delete()
    Chunk.objects.across_tenants().filter(
        vector_store_id__in={row.vector_store_id for row in rows}, store_file_id__in=ids
    ).delete()
    elsewhere = [row for row in rows if row.vector_store.engine != Engine.LOCAL]
    Removal.objects.insert(
        [
            Removal(
                tenant_id=row.tenant_id,
                engine=row.vector_store.engine,
                vector_store_id=row.vector_store_id,
                store_file_id=row.pk,
            )
            for row in elsewhere
        ]
    )
    if elsewhere:
        wake_ingestion()


def retry(rows: "QuerySet[StoreFile]") -> int:
    """Has failed and cancelled files ingested again, as an operator asks; returns how many."""
    with transaction.atomic():
        ids = list(rows.order_by("pk").values_list("pk", flat=True))
        over = StoreFile.objects.across_tenants().filter(
            pk__in=ids, status__in=[StoreFileStatus.FAILED, StoreFileStatus.CANCELLED]
        )
        now = timezone.now()
        count = over.update(
            status=StoreFileStatus.IN_PROGRESS, last_error=None, attempt=0, created_at=now, queued_at=now
        )
        if count:
            wake_ingestion(count)
    return count


# --- Batches ---------------------------------------------------------------------------------------------------------


def create_batch(*, tenant: Tenant, store_id: str, entries: list[Entry]) -> FileBatch:
    with transaction.atomic():
        store = fetch_usable(tenant, store_id, lock=True)
        batch: FileBatch = FileBatch.objects.create(tenant=tenant, vector_store=store)
        add_files(store=store, entries=entries, batch=batch)
    return batch


def fetch_batch(tenant: Tenant, store_id: str, batch_id: str) -> FileBatch:
    VectorStore.objects.of(tenant).only("pk").fetch(store_id)
    batch: FileBatch = FileBatch.objects.of(tenant).filter(vector_store_id=store_id).fetch(batch_id)
    return batch


def cancel_batch(*, tenant: Tenant, store_id: str, batch_id: str) -> FileBatch:
    """Gives up what is not ingested yet. A batch whose files are all done stays as it is."""
    batch = fetch_batch(tenant, store_id, batch_id)
    with transaction.atomic():
        given_up = claims.give_up(StoreFile.objects.of(tenant).filter(batches=batch))
        if given_up and batch.cancelled_at is None:
            batch.change(cancelled_at=timezone.now())
    return batch
