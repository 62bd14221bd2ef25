from typing import Any

import pytest

from assistant_site.tests.callers import LocalCaller
from vector_stores.models import Chunk, StoreFile
from vector_stores.tests.drain import ingest_all, row_of


def test_a_file_goes_into_a_store(alice: LocalCaller) -> None:
    store, file = alice.store(), alice.upload("a.txt", b"The falcon sleeps.")
    made = alice.post(f"vector_stores/{store}/files", {"file_id": file, "attributes": {"year": 2024, "ok": True}})
    assert made.body == {
        "id": file,
        "object": "vector_store.file",
        "usage_bytes": 0,
        "created_at": made["created_at"],
        "vector_store_id": store,
        "status": "in_progress",
        "last_error": None,
        "chunking_strategy": {
            "type": "static",
            "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400},
        },
        "attributes": {"year": 2024, "ok": True},
    }
    assert made.headers["openai-poll-after-ms"] == "250"
    assert alice.get(f"vector_stores/{store}/files/{file}").headers["openai-poll-after-ms"] == "250"
    ingest_all()
    found = alice.get(f"vector_stores/{store}/files/{file}")
    assert found.body == made.body | {"status": "completed", "usage_bytes": 18}
    assert "openai-poll-after-ms" not in found.headers
    content = alice.get(f"vector_stores/{store}/files/{file}/content")
    assert content.body == {
        "object": "vector_store.file_content.page",
        "data": [{"type": "text", "text": "The falcon sleeps."}],
        "has_more": False,
        "next_page": None,
    }


def test_adding_it_again_changes_nothing(alice: LocalCaller) -> None:
    store, file = alice.store(), alice.upload("a.txt", b"a")
    first = alice.post(f"vector_stores/{store}/files", {"file_id": file, "attributes": {"a": 1}})
    again = alice.post(f"vector_stores/{store}/files", {"file_id": file, "attributes": {"a": 2}})
    assert again.body == first.body
    ingest_all()
    assert alice.post(f"vector_stores/{store}/files", {"file_id": file})["status"] == "completed"
    assert ingest_all() == []
    assert alice.get(f"vector_stores/{store}")["file_counts"]["total"] == 1


def test_a_failed_file_is_ingested_anew(alice: LocalCaller) -> None:
    store, file = alice.store(), alice.upload("a.pdf", b"%PDF-1.4 garbage")
    alice.post(f"vector_stores/{store}/files", {"file_id": file})
    ingest_all()
    failed = alice.get(f"vector_stores/{store}/files/{file}")
    assert failed["status"] == "failed"
    assert failed["last_error"]["code"] == "invalid_file"
    assert alice.get(f"vector_stores/{store}")["file_counts"]["failed"] == 1

    again = alice.post(f"vector_stores/{store}/files", {"file_id": file})
    assert (again["status"], again["last_error"]) == ("in_progress", None)
    assert ingest_all() == [file]
    assert alice.get(f"vector_stores/{store}")["file_counts"] == {
        "in_progress": 0, "completed": 0, "failed": 1, "cancelled": 0, "total": 1,
    }  # fmt: skip


def test_content_of_what_is_not_completed(alice: LocalCaller) -> None:
    store, file = alice.store(), alice.upload("a.txt", b"a")
    alice.post(f"vector_stores/{store}/files", {"file_id": file})
    refused = alice.get(f"vector_stores/{store}/files/{file}/content")
    assert refused.status == 400
    assert refused.error["message"] == (
        f"File '{file}' in vector store '{store}' has no content: its status is 'in_progress'."
    )


def test_files_that_are_not_there(alice: LocalCaller) -> None:
    store, file = alice.store(), alice.upload("a.txt", b"a")
    refused = alice.post(f"vector_stores/{store}/files", {"file_id": "file-x"})
    assert (refused.status, refused.error["message"]) == (404, "No file found with id 'file-x'.")
    missing = f"No file found with id '{file}' in vector store '{store}'."
    for answer in (
        alice.get(f"vector_stores/{store}/files/{file}"),
        alice.get(f"vector_stores/{store}/files/{file}/content"),
        alice.post(f"vector_stores/{store}/files/{file}", {"attributes": {}}),
        alice.delete(f"vector_stores/{store}/files/{file}"),
        alice.get(f"vector_stores/{store}/files?after={file}"),
    ):
        assert (answer.status, answer.error["message"]) == (404, missing)


def test_attributes_are_replaced(alice: LocalCaller) -> None:
    store, file = alice.store(), alice.upload("a.txt", b"a")
    alice.post(f"vector_stores/{store}/files", {"file_id": file, "attributes": {"a": "1", "b": 2.5}})
    changed = alice.post(f"vector_stores/{store}/files/{file}", {"attributes": {"c": False}})
    assert changed["attributes"] == {"c": False}
    assert alice.get(f"vector_stores/{store}/files/{file}")["attributes"] == {"c": False}
    missing = alice.post(f"vector_stores/{store}/files/{file}", {})
    assert missing.error["message"] == "Missing required parameter: 'attributes'."


@pytest.mark.parametrize(
    ("attributes", "message", "code", "param"),
    [
        ([], "Invalid type for 'attributes': expected an object, but got an array instead.", "invalid_type",
         "attributes"),
        ({str(number): 1 for number in range(17)},
         "Invalid 'attributes': too many properties. Expected an object with at most 16 properties, but got an object "
         "with 17 properties instead.", "object_above_max_properties", "attributes"),
        ({"k" * 65: 1},
         "Invalid property name in 'attributes': 'kkk...kkk' is too long. Expected a string with maximum length 64, "
         "but got a string with length 65 instead.", "property_name_above_max_length", f"attributes.{'k' * 65}"),
        ({"k": "v" * 513},
         "Invalid 'attributes.k': string too long. Expected a string with maximum length 512, but got a string with "
         "length 513 instead.", "string_above_max_length", "attributes.k"),
        ({"k": None},
         "Invalid type for 'attributes.k': expected one of a string, a number, or a boolean, but got null instead.",
         "invalid_type", "attributes.k"),
        ({"k": ["v"]},
         "Invalid type for 'attributes.k': expected one of a string, a number, or a boolean, but got an array instead.",
         "invalid_type", "attributes.k"),
    ],
)  # fmt: skip
def test_what_attributes_cannot_be(alice: LocalCaller, attributes: Any, message: str, code: str, param: str) -> None:
    store, file = alice.store(), alice.upload("a.txt", b"a")
    refused = alice.post(f"vector_stores/{store}/files", {"file_id": file, "attributes": attributes})
    assert refused.status == 400
    assert refused.error == {"message": message, "type": "invalid_request_error", "param": param, "code": code}


def test_lists_are_in_the_order_of_adding_with_file_ids_as_cursors(alice: LocalCaller) -> None:
    store = alice.store()
    files = [alice.upload(f"{number}.txt", b"a") for number in range(5)]
    added = [files[at] for at in (3, 0, 4, 1, 2)]
    for file in added:
        alice.post(f"vector_stores/{store}/files", {"file_id": file})

    def ids(query: str) -> list[str]:
        return [each["id"] for each in alice.get(f"vector_stores/{store}/files?{query}")["data"]]

    assert ids("order=asc") == added
    assert ids("") == added[::-1]
    assert ids(f"order=asc&limit=2&after={added[1]}") == added[2:4]
    assert ids(f"order=asc&limit=2&before={added[4]}") == added[2:4]
    page = alice.get(f"vector_stores/{store}/files?limit=2")
    assert (page["first_id"], page["last_id"], page["has_more"]) == (added[4], added[3], True)


def test_lists_by_status(alice: LocalCaller) -> None:
    store = alice.store(file_ids=[alice.upload("a.txt", b"a")])
    ingest_all()
    waiting = alice.upload("b.txt", b"b")
    alice.post(f"vector_stores/{store}/files", {"file_id": waiting})
    listed = alice.get(f"vector_stores/{store}/files?filter=in_progress")["data"]
    assert [each["id"] for each in listed] == [waiting]
    assert len(alice.get(f"vector_stores/{store}/files?filter=completed")["data"]) == 1
    refused = alice.get(f"vector_stores/{store}/files?filter=done")
    assert refused.error["message"] == (
        "Invalid value: 'done'. Supported values are: 'in_progress', 'completed', 'failed', and 'cancelled'."
    )


def test_taking_a_file_out(alice: LocalCaller) -> None:
    file = alice.upload("a.txt", b"some words")
    store, other = alice.store(file_ids=[file]), alice.store(file_ids=[file])
    ingest_all()
    deleted = alice.delete(f"vector_stores/{store}/files/{file}")
    assert deleted.body == {"id": file, "object": "vector_store.file.deleted", "deleted": True}
    assert alice.get(f"vector_stores/{store}/files/{file}").status == 404
    assert alice.get(f"vector_stores/{store}")["usage_bytes"] == 0
    assert alice.get(f"files/{file}").status == 200
    assert set(Chunk.objects.of(alice.tenant).values_list("vector_store_id", flat=True)) == {other}


def test_deleting_a_file_takes_it_out_of_all_stores(alice: LocalCaller) -> None:
    file = alice.upload("a.txt", b"some words")
    stores = [alice.store(file_ids=[file]) for _ in range(2)]
    ingest_all()
    assert alice.delete(f"files/{file}").status == 200
    assert [alice.get(f"vector_stores/{store}")["file_counts"]["total"] for store in stores] == [0, 0]
    assert not Chunk.objects.of(alice.tenant).exists()
    assert not StoreFile.objects.of(alice.tenant).exists()


def test_a_file_that_was_taken_out_while_it_was_read_leaves_nothing(alice: LocalCaller) -> None:
    from vector_stores import claims
    from vector_stores.ingestion import ingest

    store, file = alice.store(), alice.upload("a.txt", b"some words")
    alice.post(f"vector_stores/{store}/files", {"file_id": file})
    held = claims.claim_next()
    assert held is not None
    alice.delete(f"vector_stores/{store}/files/{file}")
    ingest(held)
    assert not Chunk.objects.of(alice.tenant).exists()
    alice.post(f"vector_stores/{store}/files", {"file_id": file})
    ingest_all()
    assert row_of(store, file).status == "completed"
