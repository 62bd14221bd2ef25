"""The operator's way: stores and their files in the Django admin."""

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from assistant_site.tests.callers import LocalCaller
from vector_stores.models import StoreFile, VectorStore
from vector_stores.tests.drain import ingest_all


@pytest.fixture
def operator(db: None) -> Client:
    user = get_user_model().objects.create_superuser("operator", password="a long password")
    client = Client()
    client.force_login(user)
    return client


def test_stores_with_counts_ranking_and_problems(alice: LocalCaller, operator: Client) -> None:
    good, broken = alice.upload("a.txt", b"some words"), alice.upload("b.pdf", b"%PDF-1.4 garbage")
    store = alice.store(name="Manuals", file_ids=[good, broken])
    ingest_all()
    VectorStore.objects.of(alice.tenant).update(embedding_problem="The provider has no embeddings.")
    page = operator.get("/admin/vector_stores/vectorstore/").content.decode()
    assert store in page
    assert "1 completed, 1 failed" in page
    assert "keyword; The provider has no embeddings." in page
    assert operator.get(f"/admin/vector_stores/vectorstore/{store}/change/").status_code == 200
    files = operator.get("/admin/vector_stores/storefile/").content.decode()
    assert "The file could not be parsed" in files
    row = StoreFile.objects.of(alice.tenant).get(file_id=broken)
    assert operator.get(f"/admin/vector_stores/storefile/{row.pk}/change/").status_code == 200


def test_failed_files_are_tried_again(alice: LocalCaller, operator: Client) -> None:
    broken = alice.upload("b.pdf", b"%PDF-1.4 garbage")
    store = alice.store(file_ids=[broken])
    ingest_all()
    chosen = {"action": "retry_failed", "_selected_action": [store]}
    page = operator.post("/admin/vector_stores/vectorstore/", chosen, follow=True).content.decode()
    assert "1 files will be ingested again." in page
    row = StoreFile.objects.of(alice.tenant).get()
    assert (row.status, row.last_error, row.attempt) == ("in_progress", None, 0)
    ingest_all()
    chosen = {"action": "ingest_again", "_selected_action": [row.pk]}
    operator.post("/admin/vector_stores/storefile/", chosen, follow=True)
    row.refresh_from_db()
    assert row.status == "in_progress"


def test_vectors_are_asked_for(alice: LocalCaller, operator: Client) -> None:
    store = alice.store()
    chosen = {"action": "re_embed", "_selected_action": [store]}
    operator.post("/admin/vector_stores/vectorstore/", chosen, follow=True)
    assert VectorStore.objects.of(alice.tenant).get().embedding_due_at is not None
