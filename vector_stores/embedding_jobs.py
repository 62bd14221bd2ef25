"""Vectors that are to be made later or anew: after a failure of the provider, and when the model was changed.

`VectorStore.embedding_due_at` says that something is to be done; what, the rows say: each passage needs a vector of the
wanted model. A changed model fills the vectors of the next generation while the present one is searched; then one
UPDATE makes it the present one. A job that is broken off goes on where it was, because only what is missing is made.
"""

import logging
import time
from array import array
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from tenants.models import TenantQuerySet
from vector_stores import embedding, vectors
from vector_stores.embedding import Embedder, EmbeddingFailed
from vector_stores.models import Chunk, Engine, VectorStore
from vector_stores.vectors import VectorRow

logger = logging.getLogger(__name__)

BATCH = 256
DELETED_AT_ONCE = 5_000
LEASE = timedelta(minutes=5)  # longer than one batch takes with a slow provider
SLICE_SECONDS = 60.0  # then another store has its turn
PAUSE_SECONDS = 0.05  # between two batches: others need the provider and the database too
AFTER_FAILURE = timedelta(minutes=2)
AFTER_REFUSAL = timedelta(hours=1)  # of a provider that has no such model; `reembed` does not wait
AFTER_SWAP = timedelta(seconds=30)  # files whose ingestion began before the swap have ended by then, or come later


class LostLease(Exception):
    """Another worker has the store, or it is gone."""


# --- What asks for a job ---------------------------------------------------------------------------------------------


def _stores() -> "TenantQuerySet[VectorStore]":
    found: TenantQuerySet[VectorStore] = VectorStore.objects.across_tenants()
    return found


def ask_for(store_ids: Iterable[str]) -> int:
    """Has these stores looked after now; returns how many there are."""
    local = _stores().filter(pk__in=list(store_ids), engine=Engine.LOCAL)
    return local.update(embedding_due_at=Now())


def wanted_model_of(store: VectorStore) -> str:
    """The name of the model that is to embed the store; empty if there is none, or it cannot be told."""
    try:
        wanted = embedding.wanted_model(store.tenant_id)
    except EmbeddingFailed as failure:
        logger.warning("It is not known by which model %s is to be embedded: %s", store.pk, failure)
        return ""
    return wanted.model if wanted else ""


def notice(stores: Iterable[VectorStore]) -> None:
    """For who searches: a store whose model is no longer the wanted one is embedded anew in the background."""
    for store in stores:
        if store.engine != Engine.LOCAL or store.embedding_due_at is not None:
            continue
        wanted = wanted_model_of(store)
        if wanted in ("", store.embedding_model):
            continue
        if store.embedding_model or _chunks(store).exists():
            with transaction.atomic():  # not waiting for a row: whoever holds it may wait for one of ours
                free = _stores().filter(pk=store.pk, embedding_due_at=None)
                for _ in free.select_for_update(skip_locked=True, no_key=True).values_list("pk"):
                    free.update(embedding_due_at=Now())


def after_ingestion(store_id: str, generation: int, model: str, problem: str) -> None:
    """Notes what an ingestion left undone: no vectors, or such of a generation that is no longer the present one."""
    store = _stores().filter(pk=store_id).first()
    if store is None or store.engine != Engine.LOCAL:
        return
    if problem:
        _stores().filter(pk=store_id).update(embedding_problem=problem[:500])
        _stores().filter(pk=store_id, embedding_due_at=None).update(embedding_due_at=Now() + AFTER_FAILURE)
        return
    changed = store.embedding_model and wanted_model_of(store) not in ("", store.embedding_model)
    if changed or (model and (store.generation, store.embedding_model) != (generation, model)):
        ask_for([store_id])


# --- The job ---------------------------------------------------------------------------------------------------------


def tend() -> bool:
    """Works on the store that is due for the longest, for a minute at most; False if none is due."""
    taken = _take()
    if taken is None:
        return False
    store, lease = taken
    job = Job(store, lease)
    try:
        job.work()
    except EmbeddingFailed as failure:
        logger.warning("Vector store %s cannot be embedded at the moment: %s", store.pk, failure)
        job.end(due_in=AFTER_FAILURE if failure.transient else AFTER_REFUSAL, problem=str(failure))
    except LostLease:
        logger.info("Another worker embeds %s, or it is gone.", store.pk)
    return True


def _take() -> tuple[VectorStore, datetime] | None:
    due = _stores().filter(
        Q(embedding_lease_until=None) | Q(embedding_lease_until__lt=Now()), embedding_due_at__lte=Now()
    )
    with transaction.atomic():
        store = due.select_for_update(skip_locked=True, no_key=True).order_by("embedding_due_at").first()
        if store is None:
            return None
        _stores().filter(pk=store.pk).update(embedding_lease_until=Now() + LEASE)
        store.refresh_from_db()
        assert store.embedding_lease_until is not None
        return store, store.embedding_lease_until


class Job:
    """A worker's turn with one store. The end of its lease is also its proof that the store is still its own."""

    def __init__(self, store: VectorStore, lease: datetime) -> None:
        self.store = store
        self.lease = lease
        self.until = time.monotonic() + SLICE_SECONDS

    def mine(self) -> "TenantQuerySet[VectorStore]":
        return _stores().filter(pk=self.store.pk, embedding_lease_until=self.lease)

    def write(self, **changes: object) -> None:
        if not self.mine().update(**changes):
            raise LostLease(self.store.pk)

    def renew(self) -> None:
        self.write(embedding_lease_until=Now() + LEASE)
        self.store.refresh_from_db()
        assert self.store.embedding_lease_until is not None
        self.lease = self.store.embedding_lease_until

    def end(self, *, due_in: timedelta | None, problem: str = "") -> None:
        due = None if due_in is None else Now() + due_in
        self.write(embedding_due_at=due, embedding_lease_until=None, embedding_problem=problem[:500])

    def work(self) -> None:
        wanted = embedding.wanted_model(self.store.tenant_id)
        if wanted is None:
            self.end(due_in=None, problem="No embedding model is configured: only words are searched.")
            return
        changes = self.store.embedding_model not in ("", wanted.model)
        target = self.store.generation + 1 if changes else self.store.generation
        if not self.drop_others(wanted, changes) or not self.fill(wanted, target):
            self.end(due_in=timedelta(0))  # another store's turn
        elif changes or not self.store.embedding_model:
            self.swap(wanted, target)
        else:
            self.end_if_whole(target)

    def drop_others(self, wanted: Embedder, changes: bool) -> bool:
        """Deletes vectors of generations that are no longer, or no more, to be; False if the time is over."""
        if changes and self.store.embedding_next_model == wanted.model:
            return True  # goes on where it was
        for generation in generations_of(self.store.pk) - {self.store.generation}:
            while vectors.delete_generation(self.store.pk, generation, DELETED_AT_ONCE):
                if time.monotonic() > self.until:
                    return False
        self.write(embedding_next_model=wanted.model if changes else "")
        return True

    def fill(self, wanted: Embedder, target: int) -> bool:
        """Makes what is missing, batch after batch; False if the time is over first."""
        after = ""
        while passages := missing(self.store, target, after):
            if time.monotonic() > self.until:
                return False
            made = wanted.embed([passage.text for passage in passages])
            self.insert(passages, target, [array("f", vector) for vector in made])
            after = passages[-1].store_file_id
            time.sleep(PAUSE_SECONDS)
        return not missing(self.store, target, "")

    def insert(self, passages: list[Chunk], target: int, made: list["array[float]"]) -> None:
        by_id = {passage.pk: (passage, vector) for passage, vector in zip(passages, made, strict=True)}
        with transaction.atomic():
            self.renew()
            kept = [(pk, *by_id[pk]) for pk in _kept(list(by_id))]  # some may be deleted by now
            vectors.insert(
                VectorRow(pk, target, each.tenant_id, each.vector_store_id, each.store_file_id, vector)
                for pk, each, vector in kept
            )

    def swap(self, wanted: Embedder, target: int) -> None:
        """Makes the filled generation the one that is searched."""
        with transaction.atomic():
            if not self.mine().select_for_update(no_key=True).exists():
                raise LostLease(self.store.pk)
            dimension = dimension_of(self.store.pk, target)
            if missing(self.store, target, "", most=1):
                self.end(due_in=timedelta(0))
                return
            if dimension:
                self.write(
                    generation=target,
                    embedding_model=wanted.model,
                    embedding_dimension=dimension,
                    embedding_next_model="",
                    indexed_chunks=0,
                )
            self.end(due_in=AFTER_SWAP if dimension else None)

    def end_if_whole(self, target: int) -> None:
        with transaction.atomic():
            whole = not missing(self.store, target, "", most=1)
            self.end(due_in=None if whole else timedelta(0))


# --- SQL -------------------------------------------------------------------------------------------------------------


def _chunks(store: VectorStore) -> "TenantQuerySet[Chunk]":
    found: TenantQuerySet[Chunk] = Chunk.objects.across_tenants().filter(vector_store_id=store.pk)
    return found


def missing(store: VectorStore, generation: int, after: str, *, most: int = 0) -> list[Chunk]:
    """Passages without a vector of this generation, from those of the file `after` on: a batch, or `most`."""
    return list(
        Chunk.objects.across_tenants().raw(
            "SELECT c.id, c.tenant_id, c.vector_store_id, c.store_file_id, c.text FROM vector_stores_chunk c "
            "WHERE c.vector_store_id = %s AND c.store_file_id >= %s AND NOT EXISTS ("
            "SELECT 1 FROM vector_stores_embedding e WHERE e.chunk_id = c.id AND e.generation = %s) "
            "ORDER BY c.store_file_id, c.id LIMIT %s",
            [store.pk, after, generation, most or BATCH],
        )
    )


def _kept(chunk_ids: list[int]) -> list[int]:
    """Those that still exist, and will until the commit."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM vector_stores_chunk WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE SKIP LOCKED", [chunk_ids]
        )
        return [row[0] for row in cursor.fetchall()]


def generations_of(store_id: str) -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT generation FROM vector_stores_embedding WHERE vector_store_id = %s", [store_id])
        return {row[0] for row in cursor.fetchall()}


def dimension_of(store_id: str, generation: int) -> int:
    """Of the vectors of this generation; 0 if there is none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT vector_dims(vector) FROM vector_stores_embedding "
            "WHERE vector_store_id = %s AND generation = %s LIMIT 1",
            [store_id, generation],
        )
        row = cursor.fetchone()
    return row[0] if row else 0
