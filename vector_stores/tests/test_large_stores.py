"""Indexes of large stores: made at rest, used by searches of their store only, gone when they are in the way."""

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from assistant_site.tests.callers import new_tenant
from vector_stores import large_stores, vectors
from vector_stores.models import StoreFile, StoreFileStatus, VectorStore
from vector_stores.tests.shelf import Shelf

pytestmark = pytest.mark.slow

DIMENSION = 24


class Crowd:
    """Vectors around a few centres, as those of real texts are."""

    def __init__(self) -> None:
        self.random = random.Random(11)
        self.centres = [[self.random.gauss(0, 1) for _ in range(DIMENSION)] for _ in range(20)]

    def __call__(self, text: str = "") -> list[float]:
        return [value + self.random.gauss(0, 0.3) for value in self.random.choice(self.centres)]


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


@pytest.fixture(autouse=True)
def few_is_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_stores, "WORTH_IT", 1_000)
    monkeypatch.setattr(large_stores, "TOO_FEW", 500)


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Indexes are made outside of transactions, so nothing is rolled back here: the stores go at the end."""
    with django_db_blocker.unblock():
        before = set(VectorStore.objects.across_tenants().values_list("pk", flat=True))
        yield
        left = VectorStore.objects.across_tenants().exclude(pk__in=before)
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM vector_stores_chunk WHERE vector_store_id = ANY(%s)", [[s.pk for s in left]])
        left.delete()
        large_stores.tend_now()
        assert not large_stores.existing()


@pytest.fixture
def large(committed: None, crowd: Crowd) -> Shelf:
    """A store of 3,000 passages in 3 files that rests."""
    shelf = Shelf(new_tenant("Lars")[0], crowd, dimension=DIMENSION)
    for number in range(3):
        shelf.put(f"{number}.txt", *[f"passage {at}" for at in range(1_000)], attributes={"number": number})
    rest(shelf)
    return shelf


def rest(shelf: Shelf) -> None:
    StoreFile.objects.across_tenants().filter(vector_store=shelf.store).update(
        queued_at=timezone.now() - timedelta(minutes=2)
    )


def place(shelf: Shelf) -> vectors.Place:
    shelf.store.refresh_from_db()
    return vectors.Place(
        shelf.tenant.pk, shelf.store.pk, shelf.store.generation, DIMENSION, is_indexed=shelf.store.indexed_chunks > 0
    )


def plan_of(place: vectors.Place, **options: Any) -> str:
    """How PostgreSQL carries out the statement that `nearest` sends."""
    with CaptureQueriesContext(connection) as captured:
        vectors.nearest(place, vectors.literal([1.0] * DIMENSION), 20, **options)
    statement = next(each["sql"] for each in captured if "<=>" in each["sql"])
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {statement}")
        return "\n".join(line for (line,) in cursor.fetchall())


def test_a_large_store_at_rest_gets_an_index_that_its_searches_use(large: Shelf, crowd: Crowd) -> None:
    exact = place(large)
    assert not exact.is_indexed
    assert "hnsw" not in plan_of(exact)

    large_stores.tend_now()
    indexed = place(large)
    assert indexed.is_indexed
    assert large_stores.existing() == {large_stores.index_name(large.store): True}
    assert large_stores.index_name(large.store) in plan_of(indexed)

    missed = 0
    for _ in range(20):
        query = vectors.literal(crowd())
        right = {hit.chunk_id for hit in vectors.nearest(exact, query, 20)}
        missed += len(right - {hit.chunk_id for hit in vectors.nearest(indexed, query, 20)})
    assert missed <= 20  # of 400

    again = large_stores.existing()
    large_stores.tend_now()
    assert large_stores.existing() == again


def test_a_small_neighbour_is_searched_without_the_index_and_exactly(large: Shelf, crowd: Crowd) -> None:
    small = Shelf(new_tenant("Nina")[0], crowd, dimension=DIMENSION)
    small.put("a.txt", *[f"passage {at}" for at in range(50)])
    large_stores.tend_now()
    assert not place(small).is_indexed
    assert "hnsw" not in plan_of(place(small))
    assert "embeddings_of_store" in plan_of(place(small))
    assert len(vectors.nearest(place(small), vectors.literal(crowd()), 50)) == 50


def test_a_filter_on_an_indexed_store_still_finds_enough(large: Shelf, crowd: Crowd) -> None:
    large_stores.tend_now()
    one = StoreFile.objects.across_tenants().filter(vector_store=large.store).values_list("pk", flat=True)[:1]
    found = vectors.nearest(place(large), vectors.literal(crowd()), 50, store_file_ids=list(one))
    assert len(found) == 50


def test_a_store_that_does_not_rest_gets_none(large: Shelf) -> None:
    StoreFile.objects.across_tenants().filter(vector_store=large.store).update(queued_at=timezone.now())
    large_stores.tend_now()
    assert not large_stores.existing()
    rest(large)
    large.put("busy.txt", status=StoreFileStatus.IN_PROGRESS)
    rest(large)
    large_stores.tend_now()
    assert not large_stores.existing()


def test_an_index_goes_before_many_are_added_and_stays_for_few(large: Shelf) -> None:
    large_stores.tend_now()
    large.store.refresh_from_db()
    assert large.store.indexed_chunks == 3_000
    large_stores.before_bulk(large.store, 299)
    assert large_stores.existing()
    large_stores.before_bulk(large.store, 301)
    assert not large_stores.existing()
    assert large.store.indexed_chunks == 0
    large.store.refresh_from_db()
    assert large.store.indexed_chunks == 0
    large_stores.tend_now()
    assert large_stores.existing()


def test_an_index_goes_while_many_files_wait_and_stays_for_few(large: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    large_stores.tend_now()
    monkeypatch.setattr(large_stores, "MANY_ADDITIONS", 0.4)
    large.put("1.txt", status=StoreFileStatus.IN_PROGRESS)
    large_stores.tend_now()
    assert place(large).is_indexed
    large.put("2.txt", status=StoreFileStatus.IN_PROGRESS)
    large_stores.tend_now()
    assert not large_stores.existing()
    assert not place(large).is_indexed


def test_an_index_goes_when_its_store_has_shrunk(large: Shelf) -> None:
    large_stores.tend_now()
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM vector_stores_chunk WHERE vector_store_id = %s AND position > 100", [large.store.pk]
        )
    large_stores.tend_now()
    assert not large_stores.existing()
    assert not place(large).is_indexed


def test_vectors_by_another_model_can_be_written_beside_the_index_and_get_their_own(large: Shelf) -> None:
    large_stores.tend_now()
    former = large_stores.index_name(large.store)
    large.store.generation, large.store.embedding_dimension = 1, 7
    large.embed = lambda text: [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, float(len(text))]
    large.put("new.txt", *[f"passage {at}" for at in range(1_200)])
    rest(large)
    large.store.indexed_chunks = 0
    large.store.save()
    large_stores.tend_now()
    assert large_stores.existing() == {large_stores.index_name(large.store): True}
    assert former not in large_stores.existing()


def test_what_a_build_that_was_cut_short_has_left_is_made_again(large: Shelf) -> None:
    large_stores.tend_now()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass",
            [f'"{large_stores.index_name(large.store)}"'],
        )
    large_stores.tend_now()
    assert large_stores.existing() == {large_stores.index_name(large.store): True}
    assert place(large).is_indexed


def test_there_are_never_more_than_so_many(large: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_stores, "MAX_INDEXES", 0)
    large_stores.tend_now()
    assert not large_stores.existing()


def test_one_process_at_a_time_and_each_once_a_minute(large: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [large_stores._LOCK])
    large_stores.tend_now()
    assert not large_stores.existing()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock(%s)", [large_stores._LOCK])
    other.close()

    monkeypatch.setattr(large_stores, "_next_look", 0.0)
    large_stores.tend()
    assert large_stores.existing()
    large_stores.before_bulk(VectorStore.objects.across_tenants().get(pk=large.store.pk), 10_000)
    large_stores.tend()
    assert not large_stores.existing()


def test_the_name_of_an_index_is_harmless_and_short() -> None:
    names = {large_stores.index_name(VectorStore(pk=pk)) for pk in ("vs_1", "VS_1", "vs_" + "x" * 60, 'vs_"; DROP')}
    assert len(names) == 4
    assert all(len(name) < 63 and name.replace("_", "").isalnum() for name in names)
