from typing import Any

import pytest

from assistant_site.tests.callers import LocalCaller
from vector_stores import claims
from vector_stores.ingestion import ingest
from vector_stores.models import Chunk
from vector_stores.tests.drain import ingest_all


def files_of(alice: LocalCaller, count: int) -> list[str]:
    return [alice.upload(f"{number}.txt", b"some words") for number in range(count)]


def test_a_batch_from_beginning_to_end(alice: LocalCaller) -> None:
    store, files = alice.store(), files_of(alice, 3)
    made = alice.post(f"vector_stores/{store}/file_batches", {"file_ids": files, "attributes": {"a": 1}})
    assert made.body == {
        "id": made["id"],
        "object": "vector_store.files_batch",
        "created_at": made["created_at"],
        "vector_store_id": store,
        "status": "in_progress",
        "file_counts": {"in_progress": 3, "completed": 0, "failed": 0, "cancelled": 0, "total": 3},
    }
    assert made.headers["openai-poll-after-ms"] == "250"
    ingest_all()
    path = f"vector_stores/{store}/file_batches/{made['id']}"
    done = alice.get(path)
    assert (done["status"], done["file_counts"]["completed"]) == ("completed", 3)
    assert "openai-poll-after-ms" not in done.headers
    listed = alice.get(f"{path}/files?order=asc")["data"]
    assert [each["id"] for each in listed] == files
    assert [each["attributes"] for each in listed] == [{"a": 1}] * 3
    assert [each["id"] for each in alice.get(f"{path}/files?order=asc&after={files[0]}&limit=1")["data"]] == [files[1]]
    assert alice.get(f"{path}/files?filter=failed")["data"] == []


def test_files_with_their_own_words(alice: LocalCaller) -> None:
    store, files = alice.store(), files_of(alice, 2)
    chunking = {"type": "static", "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 0}}
    body = {
        "files": [{"file_id": files[0], "attributes": {"a": 1}}, {"file_id": files[1], "chunking_strategy": chunking}],
        "attributes": {"ignored": True},
    }
    alice.post(f"vector_stores/{store}/file_batches", body)
    first, second = alice.get(f"vector_stores/{store}/files?order=asc")["data"]
    assert (first["attributes"], second["attributes"]) == ({"a": 1}, {})
    assert second["chunking_strategy"] == chunking


def test_a_file_counts_once(alice: LocalCaller) -> None:
    store, [file, other] = alice.store(), files_of(alice, 2)
    alice.post(f"vector_stores/{store}/files", {"file_id": file})
    ingest_all()
    made = alice.post(f"vector_stores/{store}/file_batches", {"file_ids": [file, other, file, other]})
    assert made["file_counts"] == {"in_progress": 1, "completed": 1, "failed": 0, "cancelled": 0, "total": 2}
    again = alice.post(f"vector_stores/{store}/file_batches", {"file_ids": [file]})
    assert again["status"] == "completed"


def test_a_cancelled_batch_keeps_what_is_done(alice: LocalCaller) -> None:
    store, files = alice.store(), files_of(alice, 3)
    path = f"vector_stores/{store}/file_batches"
    batch = alice.post(path, {"file_ids": files})["id"]
    held = claims.claim_next()
    assert held is not None
    ingest(held)
    under_way = claims.claim_next()
    assert under_way is not None

    cancelled = alice.post(f"{path}/{batch}/cancel")
    assert cancelled["status"] == "cancelled"
    assert cancelled["file_counts"] == {"in_progress": 0, "completed": 1, "failed": 0, "cancelled": 2, "total": 3}
    ingest(under_way)  # its worker learns too late
    assert alice.get(f"{path}/{batch}").body == cancelled.body
    assert ingest_all() == []
    assert Chunk.objects.of(alice.tenant).count() == 1

    again = alice.post(path, {"file_ids": files})["id"]
    ingest_all()
    assert alice.get(f"{path}/{again}")["file_counts"]["completed"] == 3
    assert alice.get(f"{path}/{batch}")["status"] == "cancelled"


def test_cancelling_what_is_done_changes_nothing(alice: LocalCaller) -> None:
    store, files = alice.store(), files_of(alice, 1)
    batch = alice.post(f"vector_stores/{store}/file_batches", {"file_ids": files})["id"]
    ingest_all()
    assert alice.post(f"vector_stores/{store}/file_batches/{batch}/cancel")["status"] == "completed"


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({}, "Missing required parameter: 'file_ids'.", "missing_required_parameter"),
        ({"file_ids": []},
         "Invalid 'file_ids': empty array. Expected an array with minimum length 1, but got an empty array instead.",
         "empty_array"),
        ({"file_ids": ["file-x"] * 2001},
         "Invalid 'file_ids': array too long. Expected an array with maximum length 2000, but got an array with length "
         "2001 instead.", "array_above_max_length"),
        ({"file_ids": ["a"], "files": [{"file_id": "a"}]},
         "Invalid 'files': give either 'file_ids' or 'files', not both.", "invalid_value"),
        ({"files": [{}]}, "Missing required parameter: 'files[0].file_id'.", "missing_required_parameter"),
    ],
)  # fmt: skip
def test_what_a_batch_cannot_be(alice: LocalCaller, body: Any, message: str, code: str) -> None:
    refused = alice.post(f"vector_stores/{alice.store()}/file_batches", body)
    assert (refused.status, refused.error["message"], refused.error["code"]) == (400, message, code)


def test_unknown_files_and_batches(alice: LocalCaller) -> None:
    store, files = alice.store(), files_of(alice, 1)
    refused = alice.post(f"vector_stores/{store}/file_batches", {"file_ids": [*files, "file-x", "file-y"]})
    assert (refused.status, refused.error["message"]) == (404, "Files [file-x, file-y] were not found")
    assert alice.get(f"vector_stores/{store}")["file_counts"]["total"] == 0
    missing = alice.get(f"vector_stores/{store}/file_batches/vsfb_x")
    assert (missing.status, missing.error["message"]) == (404, "No file batch found with id 'vsfb_x'.")
    batch = alice.post(f"vector_stores/{store}/file_batches", {"file_ids": files})["id"]
    assert alice.get(f"vector_stores/{alice.store()}/file_batches/{batch}").status == 404
