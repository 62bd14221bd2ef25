from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from assistant_site.tests.callers import LocalCaller
from vector_stores.models import Chunk, ParsedText, Removal, StoreFile, VectorStore
from vector_stores.tests.drain import ingest_all


def aged(store: str, days: int) -> None:
    VectorStore.objects.across_tenants().filter(pk=store).update(last_active_at=timezone.now() - timedelta(days=days))


def test_a_store_without_anything(alice: LocalCaller) -> None:
    made = alice.post("vector_stores")
    assert made.body == {
        "id": made["id"],
        "object": "vector_store",
        "created_at": made["created_at"],
        "name": None,
        "description": None,
        "usage_bytes": 0,
        "file_counts": {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0, "total": 0},
        "status": "completed",
        "expires_after": None,
        "expires_at": None,
        "last_active_at": made["created_at"],
        "metadata": {},
        "ranking": "keyword",
    }
    assert made["id"].startswith("vs_")
    assert alice.get(f"vector_stores/{made['id']}").body == made.body


def test_a_store_with_everything(alice: LocalCaller) -> None:
    files = [alice.upload(f"{number}.txt", b"Words. " * 400) for number in range(2)]
    chunking = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50}}
    made = alice.post(
        "vector_stores",
        {
            "name": "Manuals",
            "description": "What we sell",
            "file_ids": files,
            "expires_after": {"anchor": "last_active_at", "days": 3},
            "chunking_strategy": chunking,
            "metadata": {"a": "1"},
        },
    )
    assert (made["status"], made["file_counts"]["in_progress"], made["metadata"]) == ("in_progress", 2, {"a": "1"})
    assert made["expires_at"] == made["last_active_at"] + 3 * 86400
    ingest_all()
    found = alice.get(f"vector_stores/{made['id']}")
    assert (found["status"], found["file_counts"]["completed"]) == ("completed", 2)
    passages = Chunk.objects.of(alice.tenant).filter(vector_store_id=made["id"])
    assert found["usage_bytes"] == sum(len(passage.text.encode()) for passage in passages)
    assert max(passage.token_count for passage in passages) <= 100
    listed = alice.get(f"vector_stores/{made['id']}/files")["data"]
    assert [each["chunking_strategy"] for each in listed] == [chunking, chunking]


@pytest.mark.parametrize(
    ("body", "message", "code", "param"),
    [
        ({"expires_after": {"anchor": "created_at", "days": 1}},
         "Invalid value: 'created_at'. Supported values are: 'last_active_at'.", "invalid_value",
         "expires_after.anchor"),
        ({"expires_after": {"anchor": "last_active_at", "days": 366}},
         "Invalid 'expires_after.days': integer above maximum value. Expected a value <= 365, but got 366 instead.",
         "integer_above_max_value", "expires_after.days"),
        ({"expires_after": {"days": 1}}, "Missing required parameter: 'expires_after.anchor'.",
         "missing_required_parameter", "expires_after.anchor"),
        ({"file_ids": ["file-x"] * 501},
         "Invalid 'file_ids': array too long. Expected an array with maximum length 500, but got an array with length "
         "501 instead.", "array_above_max_length", "file_ids"),
        ({"chunking_strategy": {"type": "semantic"}},
         "Invalid value: 'semantic'. Supported values are: 'auto' and 'static'.", "invalid_value",
         "chunking_strategy.type"),
        ({"chunking_strategy": {"type": "static", "static": {"max_chunk_size_tokens": 99, "chunk_overlap_tokens": 0}}},
         "Invalid 'chunking_strategy.static.max_chunk_size_tokens': integer below minimum value. Expected a value >= "
         "100, but got 99 instead.", "integer_below_min_value", "chunking_strategy.static.max_chunk_size_tokens"),
        ({"chunking_strategy":
              {"type": "static", "static": {"max_chunk_size_tokens": 101, "chunk_overlap_tokens": 51}}},
         "Invalid 'chunking_strategy.static.chunk_overlap_tokens': integer above maximum value. Expected a value <= "
         "50, but got 51 instead.", "integer_above_max_value", "chunking_strategy.static.chunk_overlap_tokens"),
        ({"files": []}, "Unknown parameter: 'files'.", "unknown_parameter", "files"),
    ],
)  # fmt: skip
def test_what_a_store_cannot_be(alice: LocalCaller, body: dict[str, Any], message: str, code: str, param: str) -> None:
    refused = alice.post("vector_stores", body)
    assert refused.status == 400
    assert refused.error == {"message": message, "type": "invalid_request_error", "param": param, "code": code}


def test_nothing_is_made_if_a_file_is_not_there(alice: LocalCaller, bob: LocalCaller) -> None:
    own, strange = alice.upload("a.txt", b"a"), bob.upload("b.txt", b"b")
    refused = alice.post("vector_stores", {"file_ids": [own, strange]})
    assert (refused.status, refused.error["message"]) == (404, f"No file found with id '{strange}'.")
    refused = alice.post("vector_stores", {"file_ids": ["file-1", own, strange]})
    assert (refused.status, refused.error["message"]) == (404, f"Files [file-1, {strange}] were not found")
    assert alice.get("vector_stores")["data"] == []


def test_an_edit(alice: LocalCaller) -> None:
    id = alice.store(name="old", metadata={"a": "1"}, expires_after={"anchor": "last_active_at", "days": 1})
    changed = alice.post(f"vector_stores/{id}", {"name": "new"})
    assert (changed["name"], changed["metadata"], changed["expires_after"]["days"]) == ("new", {"a": "1"}, 1)
    cleared = alice.post(f"vector_stores/{id}", {"name": None, "metadata": None, "expires_after": None})
    assert (cleared["name"], cleared["metadata"], cleared["expires_after"]) == (None, {}, None)
    assert cleared["expires_at"] is None
    refused = alice.post(f"vector_stores/{id}", {"file_ids": []})
    assert refused.error["code"] == "unknown_parameter"


def test_a_list_of_stores_takes_the_same_queries_for_any_number(alice: LocalCaller) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            assert alice.get("vector_stores?limit=100").status == 200
        return len(caught)

    alice.store(file_ids=[alice.upload("a.txt", b"a")])
    few = queries()
    for _ in range(10):
        alice.store(file_ids=[alice.upload("a.txt", b"a")])
    assert queries() == few
    assert [each["file_counts"]["in_progress"] for each in alice.get("vector_stores?limit=3")["data"]] == [1, 1, 1]


def test_deleting_a_store_takes_its_passages_and_leaves_its_files(alice: LocalCaller) -> None:
    file = alice.upload("a.txt", b"some words")
    doomed, other = alice.store(file_ids=[file]), alice.store(file_ids=[file])
    batch = alice.post(f"vector_stores/{doomed}/file_batches", {"file_ids": [file]})["id"]
    ingest_all()
    deleted = alice.delete(f"vector_stores/{doomed}")
    assert deleted.body == {"id": doomed, "object": "vector_store.deleted", "deleted": True}
    for path in ("", "/files", f"/files/{file}", f"/file_batches/{batch}"):
        gone = alice.get(f"vector_stores/{doomed}{path}")
        assert (gone.status, gone.error["message"]) == (404, f"No vector store found with id '{doomed}'.")
    assert alice.get(f"files/{file}").status == 200
    assert alice.get(f"vector_stores/{other}/files/{file}")["status"] == "completed"
    assert ParsedText.objects.of(alice.tenant).count() == 1
    assert Removal.objects.of(alice.tenant).count() == 1


def test_a_store_expires_by_its_last_activity(alice: LocalCaller) -> None:
    file = alice.upload("a.txt", b"a")
    id = alice.store(file_ids=[file], expires_after={"anchor": "last_active_at", "days": 2})
    ingest_all()
    aged(id, 1)
    assert alice.get(f"vector_stores/{id}")["status"] == "completed"
    aged(id, 3)
    found = alice.get(f"vector_stores/{id}")
    assert (found["status"], found["file_counts"]["completed"]) == ("expired", 1)
    assert alice.get("vector_stores")["data"] == [found.body]
    for path, body in (
        ("", {"name": "x"}),
        ("/files", {"file_id": file}),
        (f"/files/{file}", {"attributes": {}}),
        ("/file_batches", {"file_ids": [file]}),
        ("/search", {"query": "a"}),
    ):
        refused = alice.post(f"vector_stores/{id}{path}", body)
        assert (refused.status, refused.error["message"]) == (400, f"Vector store '{id}' has expired."), path
    assert alice.get(f"vector_stores/{id}/files")["data"][0]["id"] == file
    assert alice.delete(f"vector_stores/{id}/files/{file}").status == 200
    assert alice.delete(f"vector_stores/{id}").status == 200


def test_adding_a_file_keeps_a_store_alive(alice: LocalCaller) -> None:
    id = alice.store(expires_after={"anchor": "last_active_at", "days": 2})
    aged(id, 1)
    alice.post(f"vector_stores/{id}/files", {"file_id": alice.upload("a.txt", b"a")})
    assert VectorStore.objects.of(alice.tenant).get(pk=id).last_active_at > timezone.now() - timedelta(minutes=1)


def test_a_store_is_bounded(alice: LocalCaller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vector_stores.actions.MAX_FILES", 2)
    files = [alice.upload(f"{number}.txt", b"a") for number in range(3)]
    id = alice.store(file_ids=files[:2])
    refused = alice.post(f"vector_stores/{id}/files", {"file_id": files[2]})
    assert (refused.status, refused.error["message"]) == (400, f"Vector store {id} cannot have more than 2 files.")
    assert alice.post(f"vector_stores/{id}/files", {"file_id": files[1]}).status == 200
    assert StoreFile.objects.of(alice.tenant).count() == 2
