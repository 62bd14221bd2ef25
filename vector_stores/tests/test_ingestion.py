"""A file's way into a store, and who takes it there."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from assistant_site.tests.callers import LocalCaller
from files import storage
from files.models import File
from vector_stores import claims, ingestion
from vector_stores.extraction import Document
from vector_stores.ingestion import ingest
from vector_stores.models import Chunk, ParsedText, Removal, StoreFile, VectorStore
from vector_stores.tests.drain import ingest_all, row_of
from vector_stores.tests.embedding_server import EmbeddingServer, answer


def added(caller: LocalCaller, store: str, name: str = "a.txt", content: bytes = b"The falcon sleeps at noon.") -> str:
    file = caller.upload(name, content)
    caller.post(f"vector_stores/{store}/files", {"file_id": file})
    return file


def lease_ended(store: str) -> None:
    StoreFile.objects.across_tenants().filter(vector_store_id=store).update(
        lease_until=timezone.now() - timedelta(seconds=1)
    )


def vectors_of(store: str) -> list[tuple[int, int]]:
    """The generation and dimension of each of the store's vectors."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT generation, vector_dims(vector) FROM vector_stores_embedding WHERE vector_store_id = %s", [store]
        )
        return [tuple(row) for row in cursor.fetchall()]


# --- Who ingests what ------------------------------------------------------------------------------------------------


def test_a_thousand_files_of_one_tenant_never_keep_anothers_waiting(alice: LocalCaller, bob: LocalCaller) -> None:
    files = [alice.upload(f"{number}.txt", b"a") for number in range(6)]
    alice.store(file_ids=files)
    single = added(bob, bob.store())
    first, second, third = claims.claim_next(), claims.claim_next(), claims.claim_next()
    assert first is not None
    assert second is not None
    assert third is not None
    assert [each.row.file_id for each in (first, second, third)] == [files[0], single, files[1]]


def test_a_large_batch_never_keeps_a_file_of_another_store_waiting(alice: LocalCaller) -> None:
    files = [alice.upload(f"{number}.txt", b"a") for number in range(4)]
    alice.store(file_ids=files)
    attached = added(alice, alice.store())
    claimed = [claims.claim_next() for _ in range(5)]
    assert [each.row.file_id for each in claimed if each] == [files[0], attached, *files[1:]]


def test_many_stores_of_one_tenant_are_still_one_tenant(alice: LocalCaller, bob: LocalCaller) -> None:
    early = [added(alice, alice.store()) for _ in range(3)]
    late = added(bob, bob.store())
    claimed = [claims.claim_next() for _ in range(3)]
    assert [each.row.file_id for each in claimed if each] == [early[0], late, early[1]]


def test_a_claimed_file_is_nobody_elses_until_its_lease_ends(alice: LocalCaller) -> None:
    store = alice.store()
    added(alice, store)
    first = claims.claim_next()
    assert first is not None
    assert claims.claim_next() is None
    lease_ended(store)
    second = claims.claim_next()
    assert second is not None
    claims.renew([first, second])
    second.check()
    with pytest.raises(claims.LostClaim):
        first.check()


def test_a_store_deleted_while_its_file_is_read_is_no_fault(
    alice: LocalCaller, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = alice.store()
    added(alice, store)
    held = claims.claim_next()
    assert held is not None

    def read_while_the_store_is_deleted(row: StoreFile) -> Document:
        alice.delete(f"vector_stores/{store}")
        return Document(text="The falcon sleeps at noon.")

    monkeypatch.setattr(ingestion, "read", read_while_the_store_is_deleted)
    with caplog.at_level("ERROR"):
        ingest(held)
    assert not caplog.records
    assert not Chunk.objects.of(alice.tenant).exists()


def test_who_lost_the_claim_writes_nothing(alice: LocalCaller) -> None:
    store = alice.store()
    file = added(alice, store, content=b"word " * 2000)
    dead = claims.claim_next()
    assert dead is not None
    lease_ended(store)
    assert ingest_all() == [file]
    before = list(Chunk.objects.of(alice.tenant).values_list("pk", "position"))
    ingest(dead)
    assert list(Chunk.objects.of(alice.tenant).values_list("pk", "position")) == before
    assert ParsedText.objects.of(alice.tenant).count() == 1
    assert row_of(store, file).chunk_count == len(before)


def test_a_file_that_workers_die_of_fails_in_the_end(alice: LocalCaller) -> None:
    store = alice.store()
    file = added(alice, store)
    for _ in range(claims.ATTEMPTS):
        assert claims.claim_next() is not None
        lease_ended(store)
    assert claims.claim_next() is None
    failed = alice.get(f"vector_stores/{store}/files/{file}")
    assert failed["last_error"] == {
        "code": "server_error",
        "message": "The processing of the file was interrupted 3 times and is not tried again.",
    }


def test_what_is_handed_back_is_no_attempt(alice: LocalCaller) -> None:
    store = alice.store()
    file = added(alice, store)
    for _ in range(claims.ATTEMPTS + 1):
        held = claims.claim_next()
        assert held is not None
        claims.hand_back([held])
    assert ingest_all() == [file]
    assert row_of(store, file).status == "completed"


# --- What becomes of a file ------------------------------------------------------------------------------------------


def test_what_is_kept_of_a_file(alice: LocalCaller) -> None:
    store = alice.store()
    text = "# Birds\n\nThe falcon sleeps at noon.\n\n# Fish\n\nThe carp is awake.\n"
    file = added(alice, store, "animals.md", text.encode())
    ingest_all()
    row = row_of(store, file)
    chunks = list(Chunk.objects.of(alice.tenant).filter(store_file_id=row.pk).order_by("position"))
    assert row.chunk_count == len(chunks)
    assert (row.claim, row.lease_until, row.attempt) == (None, None, 0)
    for chunk in chunks:
        assert chunk.text == row.parsed.text[chunk.start : chunk.end]
        assert chunk.vector_store_id == store
    assert chunks[0].line == 1


def test_a_file_whose_bytes_are_gone(alice: LocalCaller) -> None:
    store = alice.store()
    file = added(alice, store)
    storage.remove(File.objects.of(alice.tenant).get(pk=file).blob)
    ingest_all()
    assert row_of(store, file).last_error == {
        "code": "server_error",
        "message": "The content of the file is missing from the server's storage.",
    }


def test_a_storage_that_is_away_fails_no_file(alice: LocalCaller, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(file: File) -> Any:
        raise storage.StorageFailed

    store = alice.store()
    file = added(alice, store)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(storage, "local_copy", away)
        for _ in range(claims.ATTEMPTS + 1):
            assert ingest_all() == [file]
            StoreFile.objects.of(alice.tenant).update(queued_at=timezone.now())
    assert row_of(store, file).status == "in_progress"
    ingest_all()
    assert row_of(store, file).status == "completed"


def test_a_file_with_too_many_tokens(alice: LocalCaller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingestion, "MAX_TOKENS", 100)
    store = alice.store()
    file = added(alice, store, content="数据".encode() * 100)
    ingest_all()
    assert row_of(store, file).last_error == {
        "code": "invalid_file",
        "message": "The file could not be parsed because it is too large.",
    }


def test_an_error_of_ours_is_tried_again_and_then_told(alice: LocalCaller, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(ingestion, "read", broken)
    store = alice.store()
    file = added(alice, store)
    for attempt in range(claims.ATTEMPTS):
        assert row_of(store, file).attempt == attempt
        assert ingest_all() == [file]
        assert claims.claim_next() is None  # not at once
        StoreFile.objects.of(alice.tenant).update(queued_at=timezone.now())
    assert row_of(store, file).last_error == {
        "code": "server_error",
        "message": "The file could not be processed because of an error of the server.",
    }


# --- Vectors ---------------------------------------------------------------------------------------------------------


def test_the_first_file_chooses_the_stores_model(alice: LocalCaller, embedding_server: EmbeddingServer) -> None:
    store = alice.store()
    file = added(alice, store, content=b"word " * 2000)
    ingest_all()
    row = VectorStore.objects.of(alice.tenant).get(pk=store)
    assert (row.embedding_model, row.embedding_dimension, row.generation) == ("test-model", 256, 0)
    chunks = row_of(store, file).chunk_count
    assert vectors_of(store) == [(0, 256)] * chunks
    texts = sum(len(text.encode()) for text in Chunk.objects.of(alice.tenant).values_list("text", flat=True))
    found = alice.get(f"vector_stores/{store}")
    assert found["ranking"] == "hybrid"
    assert found["usage_bytes"] == texts + chunks * 256 * 2
    assert row.embedding_due_at is None


def test_without_a_provider_a_file_is_found_by_its_words(alice: LocalCaller, embedding_server: EmbeddingServer) -> None:
    embedding_server.reply = lambda body: answer({"error": {"message": "no such model"}}, 404)
    store = alice.store()
    file = added(alice, store)
    ingest_all()
    row = VectorStore.objects.of(alice.tenant).get(pk=store)
    assert row_of(store, file).status == "completed"
    assert vectors_of(store) == []
    assert row.embedding_due_at is not None
    assert row.embedding_problem
    assert alice.get(f"vector_stores/{store}")["ranking"] == "keyword"


def test_a_model_of_other_dimensions_gives_no_vectors(alice: LocalCaller, embedding_server: EmbeddingServer) -> None:
    store = alice.store()
    added(alice, store)
    ingest_all()
    VectorStore.objects.of(alice.tenant).update(embedding_dimension=8)
    file = added(alice, store)
    ingest_all()
    row = VectorStore.objects.of(alice.tenant).get(pk=store)
    assert row_of(store, file).status == "completed"
    assert len(vectors_of(store)) == 1
    assert "256 dimensions" in row.embedding_problem


def test_the_index_of_a_large_store_goes_before_many_more_come(
    alice: LocalCaller, embedding_server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr("vector_stores.large_stores.before_bulk", lambda store, additions: told.append(additions))
    store = alice.store()
    for _ in range(3):
        added(alice, store)
    ingest_all()
    assert told == []
    VectorStore.objects.of(alice.tenant).update(indexed_chunks=20_000)
    for _ in range(3):
        added(alice, store)
    ingest_all()
    assert told == [3, 2, 1]


# --- R2R -------------------------------------------------------------------------------------------------------------


def test_a_file_waits_for_r2r_without_being_lost(alice: LocalCaller, settings: Any) -> None:
    settings.R2R_BASE_URL = "http://127.0.0.1:9"
    store = alice.store()
    file = added(alice, store)
    for _ in range(claims.ATTEMPTS + 1):
        assert ingest_all() == [file]
        row = row_of(store, file)
        assert (row.status, row.attempt, row.claim) == ("in_progress", 0, None)
        assert row.queued_at > timezone.now() + timedelta(seconds=2)
        StoreFile.objects.of(alice.tenant).update(queued_at=timezone.now())
    StoreFile.objects.of(alice.tenant).update(created_at=timezone.now() - timedelta(hours=25))
    ingest_all()
    assert row_of(store, file).last_error == {
        "code": "server_error",
        "message": "The retrieval engine (R2R) could not be reached for a day.",
    }


def test_a_file_that_was_taken_out_while_r2r_got_it_is_removed_there(alice: LocalCaller, settings: Any) -> None:
    settings.R2R_BASE_URL = "http://127.0.0.1:9"
    store = alice.store()
    file = added(alice, store)
    held = claims.claim_next()
    assert held is not None
    alice.delete(f"vector_stores/{store}/files/{file}")
    Removal.objects.of(alice.tenant).delete()  # R2R has answered: there is no such document
    held.lose()
    ingest(held)
    [removal] = Removal.objects.of(alice.tenant)
    assert removal.store_file_id == held.row.pk
