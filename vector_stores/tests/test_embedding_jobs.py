"""Vectors made later or anew, while searches go on."""

from array import array
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from assistant_site.tests.callers import LocalCaller
from vector_stores import embedding, embedding_jobs, searching
from vector_stores.models import VectorStore
from vector_stores.tests.drain import ingest_all
from vector_stores.tests.embedding_server import EmbeddingServer, answer, embeddings
from vector_stores.tests.test_ingestion import added, vectors_of


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_jobs, "PAUSE_SECONDS", 0)


def row_of(store: str) -> VectorStore:
    row: VectorStore = VectorStore.objects.across_tenants().get(pk=store)
    return row


def due_now(store: str) -> None:
    embedding_jobs.ask_for([store])


def test_vectors_come_when_the_provider_is_back(alice: LocalCaller, embedding_server: EmbeddingServer) -> None:
    embedding_server.reply = lambda body: answer({"error": {"message": "overloaded"}}, 404)
    store = alice.store()
    added(alice, store)
    ingest_all()
    due_now(store)
    assert embedding_jobs.tend()
    failed = row_of(store)
    assert failed.embedding_due_at is not None
    assert failed.embedding_due_at > timezone.now() + timedelta(seconds=30)
    assert (failed.embedding_lease_until, bool(failed.embedding_problem)) == (None, True)
    assert not embedding_jobs.tend()  # not due yet

    embedding_server.reply = embeddings
    embedding.forget()
    due_now(store)
    assert embedding_jobs.tend()
    whole = row_of(store)
    assert (whole.embedding_model, whole.embedding_dimension, whole.embedding_problem) == ("test-model", 256, "")
    assert vectors_of(store) == [(0, 256)]
    assert alice.get(f"vector_stores/{store}")["ranking"] == "hybrid"


def test_a_new_model_takes_over_when_it_has_embedded_everything(
    alice: LocalCaller, embedding_server: EmbeddingServer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_jobs, "BATCH", 2)
    store = alice.store()
    added(alice, store, content=b"The falcon sleeps at noon. " * 500)
    ingest_all()
    passages = len(vectors_of(store))
    assert passages > 4
    settings.EMBEDDING_MODEL = "other-model"
    settings.EMBEDDING_DIMENSIONS = 64
    embedding_jobs.notice([row_of(store)])

    monkeypatch.setattr(embedding_jobs, "SLICE_SECONDS", -1)  # its turn ends after each look at the clock
    assert embedding_jobs.tend()
    assert row_of(store).embedding_next_model == "other-model@64"
    assert row_of(store).embedding_model == "test-model"
    assert searching.search([row_of(store)], ["falcon"], limit=3)
    asked = len(embedding_server.asked)
    monkeypatch.setattr(embedding_jobs, "SLICE_SECONDS", 60)
    assert embedding_jobs.tend()
    row = row_of(store)
    assert (row.embedding_model, row.embedding_dimension, row.generation) == ("other-model@64", 64, 1)
    assert row.embedding_next_model == ""
    assert len(embedding_server.asked) - asked == -(-passages // 2)
    due_now(store)  # its last look deletes what is no longer searched
    assert embedding_jobs.tend()
    assert vectors_of(store) == [(1, 64)] * passages
    assert row_of(store).embedding_due_at is None
    assert searching.search([row_of(store)], ["falcon"], limit=3)


def test_a_job_that_was_broken_off_makes_only_what_is_missing(
    alice: LocalCaller, embedding_server: EmbeddingServer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_jobs, "BATCH", 2)
    store = alice.store()
    added(alice, store, content=b"The falcon sleeps at noon. " * 500)
    ingest_all()
    passages = len(vectors_of(store))
    settings.EMBEDDING_MODEL = "other-model"
    due_now(store)
    taken = embedding_jobs._take()
    assert taken is not None
    job = embedding_jobs.Job(*taken)
    wanted = embedding.wanted_model(alice.tenant.pk)
    assert wanted is not None
    assert job.drop_others(wanted, True)
    first = embedding_jobs.missing(job.store, 1, "")
    job.insert(first, 1, [array("f", [0.5] * 256) for _ in first])  # and then its worker is killed
    assert not embedding_jobs.tend()  # its lease protects it
    VectorStore.objects.of(alice.tenant).update(embedding_lease_until=timezone.now())
    embedding_server.asked.clear()
    assert embedding_jobs.tend()
    assert sum(len(body["input"]) for body in embedding_server.asked) == passages - len(first)
    assert row_of(store).embedding_model == "other-model"


def test_a_third_model_begins_anew(alice: LocalCaller, embedding_server: EmbeddingServer, settings: Any) -> None:
    store = alice.store()
    added(alice, store)
    ingest_all()
    settings.EMBEDDING_MODEL = "second"
    due_now(store)
    taken = embedding_jobs._take()
    assert taken is not None
    job = embedding_jobs.Job(*taken)
    wanted = embedding.wanted_model(alice.tenant.pk)
    assert wanted is not None
    job.drop_others(wanted, True)
    assert job.fill(wanted, 1)
    job.end(due_in=timedelta(0))
    settings.EMBEDDING_MODEL = "third"
    settings.EMBEDDING_DIMENSIONS = 32
    assert embedding_jobs.tend()
    assert row_of(store).embedding_model == "third@32"
    assert sorted(vectors_of(store)) == [(0, 256), (1, 32)]


def test_a_file_ingested_meanwhile_is_not_forgotten(
    alice: LocalCaller, embedding_server: EmbeddingServer, settings: Any
) -> None:
    store = alice.store()
    added(alice, store)
    ingest_all()
    settings.EMBEDDING_MODEL = "other-model"
    added(alice, store, content=b"The carp is awake.")
    ingest_all()
    assert vectors_of(store) == [(0, 256)] * 2  # by the model that is searched
    assert row_of(store).embedding_due_at is not None
    assert embedding_jobs.tend()
    assert row_of(store).embedding_model == "other-model"
    due_now(store)
    embedding_jobs.tend()
    assert vectors_of(store) == [(1, 256)] * 2


def test_passages_deleted_while_the_model_works(alice: LocalCaller, embedding_server: EmbeddingServer) -> None:
    store = alice.store()
    file = added(alice, store)
    ingest_all()
    taken_at = embedding_jobs.ask_for([store])
    assert taken_at == 1
    taken = embedding_jobs._take()
    assert taken is not None
    job = embedding_jobs.Job(*taken)
    passages = embedding_jobs.missing(job.store, 1, "")
    alice.delete(f"vector_stores/{store}/files/{file}")
    job.insert(passages, 1, [array("f", [0.5] * 256) for _ in passages])
    assert vectors_of(store) == []


def test_the_command_asks_for_all_or_one(alice: LocalCaller) -> None:
    first, second = alice.store(), alice.store()
    call_command("reembed", store=first, stdout=StringIO())
    assert (row_of(first).embedding_due_at is None, row_of(second).embedding_due_at is None) == (False, True)
    call_command("reembed", stdout=StringIO())
    assert row_of(second).embedding_due_at is not None
    with pytest.raises(CommandError, match="no vector store vs_x"):
        call_command("reembed", store="vs_x", stdout=StringIO())
