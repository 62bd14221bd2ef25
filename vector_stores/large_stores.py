"""Indexes of large stores: a partial HNSW index for one store's vectors, made when it has many and rests.

Never one index for all stores: filtered by store, that is slower than an exact search and misses what it should find.
With its own index a store of 200,000 passages is searched in milliseconds; but adding to it becomes a hundred times as
slow, so the index goes before many are added and comes back when the store rests.

Everything here runs outside of transactions: the indexes are made and dropped CONCURRENTLY.
"""

import contextlib
import hashlib
import logging
import time
from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Count, Max, Q, Sum
from django.db.models.functions import Now

from assistant_site.db import scope
from assistant_site.db.errors import first_line
from vector_stores.models import Engine, StoreFile, StoreFileStatus, VectorStore

WORTH_IT = 20_000  # vectors
TOO_FEW = 10_000
REST = timedelta(minutes=1)
MANY_ADDITIONS = 0.1  # of what is indexed
MAX_INDEXES = 200  # each makes planning every search of the table a little longer
LOOK_SECONDS = 60.0

_PREFIX = "hnsw_"
_LOCK = 7_114_203_559  # of this advisory lock, for all processes on the database
_log = logging.getLogger(__name__)
_next_look = 0.0


def index_name(store: VectorStore) -> str:
    """The same for the same vectors, and short and harmless whatever the store's id is."""
    return f"{_PREFIX}{hashlib.sha256(store.pk.encode()).hexdigest()[:32]}_{store.generation}"


def tend() -> None:
    """Drops indexes that are no longer wanted and makes those that are missing; looks once a minute at most.

    May take minutes: call it in a thread or task of its own. Two processes do not do it at the same time.
    """
    global _next_look
    if time.monotonic() >= _next_look:
        _next_look = time.monotonic() + LOOK_SECONDS
        tend_now()


def tend_now() -> None:
    """The same without waiting for the minute."""
    with _alone() as alone:
        if not alone:
            return
        _drop_unwanted()
        _tidy_words()
        room = MAX_INDEXES - len(existing())
        for store in _without_index()[: max(room, 0)]:
            _build(store)


def before_bulk(store: VectorStore, additions: int) -> None:
    """To be called before so many vectors are added at once. What comes file by file is seen by `tend`."""
    if store.indexed_chunks and additions > store.indexed_chunks * MANY_ADDITIONS:
        _log.info("%s gets %s passages: its index is dropped and made anew when it rests.", store.pk, additions)
        _record(store, 0)
        with scope.everything():  # an index belongs to whoever owns the table
            _drop(index_name(store))


# --- Which -----------------------------------------------------------------------------------------------------------


def existing() -> dict[str, bool]:
    """The indexes that are there, and whether each is whole."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
            "WHERE indrelid = 'vector_stores_embedding'::regclass AND starts_with(relname, %s)",
            [_PREFIX],
        )
        return dict(cursor.fetchall())


def _drop_unwanted() -> None:
    """Of stores that are gone, have shrunk or grow fast, of former generations, and what a cut short build has left."""
    present = existing()
    wanted = set()
    for store in VectorStore.objects.across_tenants().filter(indexed_chunks__gt=0):
        if present.get(index_name(store)) and _vectors(store) >= TOO_FEW and not _grows_fast(store):
            wanted.add(index_name(store))
        else:
            _record(store, 0)
    for name in present.keys() - wanted:
        _drop(name)


def _grows_fast(store: VectorStore) -> bool:
    """Whether many files wait to be read into the store, measured by those that it has."""
    files = StoreFile.objects.across_tenants().filter(vector_store=store)
    waiting = files.filter(status=StoreFileStatus.IN_PROGRESS).count()
    return waiting > MANY_ADDITIONS * files.filter(status=StoreFileStatus.COMPLETED).count()


def _without_index() -> list[VectorStore]:
    """Large stores at rest, the ones that were searched or changed last first."""
    files = StoreFile.objects.across_tenants().filter(
        vector_store__engine=Engine.LOCAL, vector_store__embedding_dimension__gt=0, vector_store__indexed_chunks=0
    )
    large = (
        files.values("vector_store")
        .annotate(
            chunks=Sum("chunk_count"),
            busy=Count("pk", filter=Q(status=StoreFileStatus.IN_PROGRESS)),
            latest=Max("queued_at"),
        )
        .filter(chunks__gte=WORTH_IT, busy=0, latest__lt=Now() - REST)
    )
    stores = VectorStore.objects.across_tenants().filter(pk__in=[each["vector_store"] for each in large])
    return [store for store in stores.order_by("-last_active_at") if _vectors(store) >= WORTH_IT]


def _vectors(store: VectorStore) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM vector_stores_embedding WHERE vector_store_id = %s AND generation = %s",
            [store.pk, store.generation],
        )
        return int(cursor.fetchone()[0])


# --- How -------------------------------------------------------------------------------------------------------------


def _build(store: VectorStore) -> None:
    """Makes the index and records it. What fails is logged and tried again at the next look."""
    began = time.monotonic()
    dimension = f"halfvec({store.embedding_dimension:d})"
    with connection.cursor() as cursor:
        try:
            # In shared memory, parallel builders would need more than containers usually have.
            cursor.execute(f"SET maintenance_work_mem = '{settings.VECTOR_INDEX_MEMORY_MB:d}MB'")
            cursor.execute("SET max_parallel_maintenance_workers = 0")
            cursor.execute(
                f'CREATE INDEX CONCURRENTLY "{index_name(store)}" ON vector_stores_embedding '
                f"USING hnsw ((vector::{dimension}) halfvec_cosine_ops) "
                f"WHERE vector_store_id = %s AND generation = {store.generation:d}",
                [store.pk],
            )
        except DatabaseError as error:
            _log.warning("The index of %s could not be made: %s", store.pk, first_line(error))
            return
        finally:
            cursor.execute("RESET maintenance_work_mem")
            cursor.execute("RESET max_parallel_maintenance_workers")
    indexed = _vectors(store)
    _record(store, indexed)
    _log.info("%s got an index of its %s vectors in %.0f s.", store.pk, indexed, time.monotonic() - began)


def _drop(name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"')


def _record(store: VectorStore, indexed: int) -> None:
    """Unless its vectors have been made anew meanwhile: then the index is one too many, and goes at the next look."""
    same = VectorStore.objects.across_tenants().filter(pk=store.pk, generation=store.generation)
    same.update(indexed_chunks=indexed)
    store.indexed_chunks = indexed


def _tidy_words() -> None:
    """Puts the words of passages that were added lately into their index, so that searches need not read a list."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT gin_clean_pending_list('words_of_chunks'::regclass)")


@contextlib.contextmanager
def _alone() -> Iterator[bool]:
    """Whether no other process tends the stores at the moment."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        alone = bool(cursor.fetchone()[0])
    try:
        yield alone
    finally:
        if alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
