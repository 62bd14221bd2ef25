"""Passages that go after the API has forgotten them."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from assistant_site.tests.callers import LocalCaller
from vector_stores import removals
from vector_stores.models import Chunk, Engine, Removal, StoreFile, VectorStore
from vector_stores.tests.drain import ingest_all


def test_a_deleted_stores_passages_go_in_batches(alice: LocalCaller, monkeypatch: Any) -> None:
    monkeypatch.setattr(removals, "BATCH", 2)
    file = alice.upload("a.txt", b"word " * 8000)
    doomed, other = alice.store(file_ids=[file]), alice.store(file_ids=[file])
    ingest_all()
    assert Chunk.objects.of(alice.tenant).filter(vector_store_id=doomed).count() > 4
    alice.delete(f"vector_stores/{doomed}")
    removals.carry_out()
    assert set(Chunk.objects.of(alice.tenant).values_list("vector_store_id", flat=True)) == {other}
    assert not Removal.objects.of(alice.tenant).exists()


def test_r2r_is_asked_until_it_has_removed(alice: LocalCaller, settings: Any) -> None:
    settings.R2R_BASE_URL = "http://127.0.0.1:9"
    store, file = alice.store(), alice.upload("a.txt", b"a")
    alice.post(f"vector_stores/{store}/files", {"file_id": file})
    alice.delete(f"vector_stores/{store}/files/{file}")
    [removal] = Removal.objects.of(alice.tenant)
    assert (removal.engine, removal.vector_store_id) == ("r2r", store)
    removals.carry_out()
    removal.refresh_from_db()
    assert removal.problem
    assert removal.due_at > timezone.now() + timedelta(seconds=5)
    alice.delete(f"vector_stores/{store}")
    assert sorted(Removal.objects.of(alice.tenant).values_list("engine", "store_file_id")) == [
        ("local", ""),
        ("r2r", ""),
        ("r2r", removal.store_file_id),
    ]


def test_an_expired_store_is_emptied_and_stays(alice: LocalCaller) -> None:
    done, waiting = alice.upload("a.txt", b"some words"), alice.upload("b.txt", b"b")
    store = alice.store(file_ids=[done], expires_after={"anchor": "last_active_at", "days": 1})
    alive = alice.store(file_ids=[done])
    ingest_all()
    alice.post(f"vector_stores/{store}/files", {"file_id": waiting})
    VectorStore.objects.of(alice.tenant).filter(pk=store).update(last_active_at=timezone.now() - timedelta(days=2))
    assert removals.clear_expired_stores() == 1
    assert removals.clear_expired_stores() == 0
    assert set(Chunk.objects.of(alice.tenant).values_list("vector_store_id", flat=True)) == {alive}
    found = alice.get(f"vector_stores/{store}")
    assert (found["status"], found["file_counts"]["cancelled"], found["file_counts"]["total"]) == ("expired", 1, 2)
    assert StoreFile.objects.of(alice.tenant).get(vector_store_id=store, file_id=done).status == "completed"


def test_r2r_forgets_an_expired_store_though_the_worker_dies_in_the_middle(
    alice: LocalCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = alice.upload("a.txt", b"some words")
    store = alice.store(file_ids=[file], expires_after={"anchor": "last_active_at", "days": 1})
    ingest_all()
    long_ago = timezone.now() - timedelta(days=2)
    VectorStore.objects.of(alice.tenant).filter(pk=store).update(last_active_at=long_ago, engine=Engine.R2R)

    def emptied_and_dead(store_id: str) -> int:
        Chunk.objects.of(alice.tenant).filter(vector_store_id=store_id).delete()
        raise KeyboardInterrupt

    monkeypatch.setattr(removals, "delete_chunks", emptied_and_dead)
    with pytest.raises(KeyboardInterrupt):
        removals.clear_expired_stores()
    [removal] = Removal.objects.of(alice.tenant)
    assert (removal.engine, removal.vector_store_id, removal.store_file_id) == ("r2r", store, "")
