"""`/uploads`: parts in any order, joined once."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from assistant_site.tests.callers import Answer, Caller, LiveCaller, LocalCaller
from assistant_site.wire.errors import InvalidRequest
from files import actions, storage, uploads
from files.models import File, UnclaimedBlob, Upload, UploadPart


def begin(caller: Caller, bytes: int = 6, **fields: Any) -> str:
    body = {"filename": "big.jsonl", "purpose": "assistants", "bytes": bytes, "mime_type": "text/jsonl", **fields}
    return str(caller.post("uploads", body)["id"])


def part(caller: Caller, upload: str, content: bytes) -> Answer:
    return caller.post_form(f"uploads/{upload}/parts", "data", "blob", content)


def part_id(caller: Caller, upload: str, content: bytes) -> str:
    return str(part(caller, upload, content)["id"])


def complete(caller: Caller, upload: str, *parts: str, **fields: Any) -> Answer:
    return caller.post(f"uploads/{upload}/complete", {"part_ids": list(parts), **fields})


def age(caller: Caller, upload: str) -> None:
    Upload.objects.of(caller.tenant).filter(pk=upload).update(expires_at=timezone.now() - timedelta(seconds=1))


def nothing_is_left(caller: Caller, upload: str) -> None:
    assert not UploadPart.objects.of(caller.tenant).filter(upload=upload).exists()
    assert not UnclaimedBlob.objects.exists()


def test_parts_become_a_file(alice: LocalCaller) -> None:
    made = alice.post(
        "uploads", {"filename": "结果.jsonl", "purpose": "user_data", "bytes": 10, "mime_type": "text/jsonl"}
    )
    assert made.body == {
        "id": made["id"],
        "object": "upload",
        "created_at": made["created_at"],
        "filename": "结果.jsonl",
        "bytes": 10,
        "purpose": "user_data",
        "status": "pending",
        "expires_at": made["created_at"] + 3600,
        "file": None,
    }
    upload = made["id"]
    second = part(alice, upload, b"world")
    assert second.body == {
        "id": second["id"],
        "object": "upload.part",
        "created_at": second["created_at"],
        "upload_id": upload,
    }
    part_id(alice, upload, b"a part that is not used")
    first = part_id(alice, upload, b"hello")
    md5 = hashlib.md5(b"helloworld").hexdigest()
    done = complete(alice, upload, first, second["id"], md5=md5.upper())
    assert done["status"] == "completed"
    file = done["file"]
    assert (file["filename"], file["bytes"], file["purpose"]) == ("结果.jsonl", 10, "user_data")
    assert alice.get(f"files/{file['id']}").body == file
    assert alice.get(f"files/{file['id']}/content").body == b"helloworld"
    assert File.objects.of(alice.tenant).get().sha256 == hashlib.sha256(b"helloworld").hexdigest()
    nothing_is_left(alice, upload)


def test_the_files_expiry_counts_from_its_making(alice: LocalCaller) -> None:
    upload = begin(alice, expires_after={"anchor": "created_at", "seconds": 7200})
    file = complete(alice, upload, part_id(alice, upload, b"123456"))["file"]
    assert file["expires_at"] == file["created_at"] + 7200


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"filename": None}, "invalid_type", "filename"),
        ({"filename": ""}, "empty_string", "filename"),
        ({"filename": "a/.."}, "invalid_value", "filename"),
        ({"purpose": "assistants_output"}, "invalid_value", "purpose"),
        ({"bytes": 0}, "integer_below_min_value", "bytes"),
        ({"bytes": 8 * 1024**3 + 1}, "integer_above_max_value", "bytes"),
        ({"bytes": "6"}, "invalid_type", "bytes"),
        ({"mime_type": 3}, "invalid_type", "mime_type"),
        ({"colour": "red"}, "unknown_parameter", "colour"),
        ({"expires_after": {"anchor": "created_at"}}, "missing_required_parameter", "expires_after.seconds"),
        (
            {"expires_after": {"anchor": "created_at", "seconds": 2_592_001}},
            "integer_above_max_value",
            "expires_after.seconds",
        ),
    ],
)
def test_uploads_that_are_refused(alice: LocalCaller, changes: dict[str, Any], code: str, param: str) -> None:
    body = {"filename": "a", "purpose": "batch", "bytes": 6, "mime_type": "text/plain", **changes}
    refused = alice.post("uploads", body)
    assert (refused.status, refused.error["code"], refused.error["param"]) == (400, code, param)
    missing = alice.post("uploads", {"filename": "a", "purpose": "batch", "bytes": 6})
    assert missing.error["code"] == "missing_required_parameter"


def test_parts_that_are_refused(alice: LocalCaller, settings: Any) -> None:
    settings.MAX_PART_BYTES = 1024 * 1024
    upload = begin(alice)
    assert part(alice, upload, b"").error["message"] == "The part is empty."
    large = part(alice, upload, b"x" * (1024 * 1024 + 1))
    assert (large.status, large.error["message"]) == (413, "The file is too large: at most 1 MB are accepted.")
    wrong = alice.post_form(f"uploads/{upload}/parts", "file", "blob", b"x")
    assert wrong.error["message"] == "Unknown parameter: 'file'."
    more = alice.post_form(f"uploads/{upload}/parts", "data", "blob", b"x", number="1")
    assert more.error["message"] == "Unknown parameter: 'number'."
    assert alice.post(f"uploads/{upload}/parts", {"data": "x"}).error["code"] == "unsupported_content_type"
    nothing_is_left(alice, upload)


def test_all_parts_together_have_a_limit(alice: LocalCaller, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = begin(alice)
    monkeypatch.setattr(uploads, "MAX_BYTES", 10)
    assert part(alice, upload, b"123456").status == 200
    assert "at most 10 bytes" in part(alice, upload, b"12345").error["message"]
    assert part(alice, upload, b"1234").status == 200


def test_completions_that_are_refused_change_nothing(alice: LocalCaller) -> None:
    upload, other = begin(alice), begin(alice)
    a, b, foreign = part_id(alice, upload, b"123"), part_id(alice, upload, b"456"), part_id(alice, other, b"456")
    for parts, message in (
        ([a, a], "Invalid 'part_ids': a part is named more than once."),
        ([a, foreign], f"No part found with id '{foreign}' in upload '{upload}'."),
        ([a, "part_x"], f"No part found with id 'part_x' in upload '{upload}'."),
        ([a], "The parts have 3 bytes together, but the upload was created for 6 bytes."),
    ):
        refused = complete(alice, upload, *parts)
        assert (refused.status, refused.error["message"], refused.error["param"]) == (400, message, "part_ids")
    assert complete(alice, upload).error["code"] == "empty_array"
    assert complete(alice, upload, a, b, md5="xyz").error["param"] == "md5"
    wrong = complete(alice, upload, b, a, md5=hashlib.md5(b"123456").hexdigest())
    assert (wrong.status, wrong.error["param"]) == (400, "md5")
    assert "MD5" in wrong.error["message"]
    assert not UnclaimedBlob.objects.exists()
    assert File.objects.of(alice.tenant).count() == 0
    assert complete(alice, upload, a, b, md5=hashlib.md5(b"123456").hexdigest())["status"] == "completed"


@pytest.mark.parametrize("state", ["completed", "cancelled", "expired"])
def test_an_upload_that_has_ended_takes_nothing_more(alice: LocalCaller, state: str) -> None:
    upload = begin(alice)
    a = part_id(alice, upload, b"123456")
    if state == "completed":
        complete(alice, upload, a)
    elif state == "cancelled":
        assert alice.post(f"uploads/{upload}/cancel")["status"] == "cancelled"
    else:
        age(alice, upload)
    for refused, doing in (
        (part(alice, upload, b"x"), "add parts to"),
        (complete(alice, upload, a), "complete"),
        (alice.post(f"uploads/{upload}/cancel"), "cancel"),
    ):
        assert refused.status == 400
        assert refused.error["message"] == f"Cannot {doing} an upload with status '{state}'."
    actions.forget_expired()
    nothing_is_left(alice, upload)


def test_an_idle_upload_is_ended_and_a_busy_one_is_not(alice: LocalCaller) -> None:
    idle, busy = begin(alice), begin(alice)
    part_id(alice, idle, b"123")
    blob = UploadPart.objects.of(alice.tenant).get(upload=idle).blob
    soon = timezone.now() + timedelta(seconds=30)
    Upload.objects.of(alice.tenant).filter(pk=busy).update(expires_at=soon)
    part_id(alice, busy, b"123")
    assert Upload.objects.of(alice.tenant).get(pk=busy).expires_at > soon + timedelta(minutes=50)
    age(alice, idle)
    assert actions.forget_expired() == 1
    assert Upload.objects.of(alice.tenant).get(pk=idle).status == "expired"
    assert Upload.objects.of(alice.tenant).get(pk=busy).status == "pending"
    with pytest.raises(storage.BlobMissing), storage.opened(blob):
        pass


def test_ids_of_another_kind(alice: LocalCaller) -> None:
    assert alice.post("uploads/upload_x/cancel").error["message"] == "No upload found with id 'upload_x'."
    wrong = alice.post("uploads/file-x/cancel")
    assert wrong.error["message"] == "Invalid 'upload_id': 'file-x'. Expected an ID that begins with 'upload'."


# --- Races, against running processes ---------------------------------------------------------------------------------


def at_once(*calls: Callable[[], Answer]) -> list[Answer]:
    """The answers to calls that are made at the same moment."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


@pytest.fixture
def twins(lena: LiveCaller) -> list[LiveCaller]:
    return [LiveCaller(lena.tenant, lena.token, lena.url) for _ in range(8)]


def test_parts_in_parallel(lena: LiveCaller, twins: list[LiveCaller]) -> None:
    pieces = [bytes([65 + number]) * 100_000 for number in range(8)]
    upload = begin(lena, 800_000)
    answers = at_once(*[partial(part, twin, upload, piece) for twin, piece in zip(twins, pieces, strict=True)])
    file = complete(lena, upload, *[answer["id"] for answer in answers])["file"]["id"]
    assert lena.get(f"files/{file}/content").body == b"".join(pieces)


def test_one_completion_of_two_wins(lena: LiveCaller, twins: list[LiveCaller]) -> None:
    for _ in range(5):
        upload = begin(lena)
        a, b = part_id(lena, upload, b"123"), part_id(lena, upload, b"456")
        answers = at_once(*[partial(complete, twin, upload, a, b) for twin in twins[:4]])
        [won] = [answer for answer in answers if answer.status == 200]
        assert lena.get(f"files/{won['file']['id']}/content").body == b"123456"
        for answer in answers:
            if answer is not won:
                assert answer.error["message"] == "Cannot complete an upload with status 'completed'."
        assert not UnclaimedBlob.objects.exists()
    assert File.objects.of(lena.tenant).count() == 5


def test_while_it_is_joined_an_upload_can_be_cancelled_and_does_not_expire(
    lena: LiveCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = storage.joined

    def slowly(parts: Iterable[tuple[str, int]]) -> Iterator[bytes]:
        yield from joined(parts)
        assert not connection.in_atomic_block
        happens()

    def expired() -> bool:
        try:
            return uploads.expire(upload)
        finally:
            connection.close()

    def its_time_is_up() -> None:
        age(lena, upload)
        with ThreadPoolExecutor(1) as elsewhere:
            assert not elsewhere.submit(expired).result()
            elsewhere.submit(connections.close_all).result()  # that thread's own

    def cancelled() -> None:
        assert lena.post(f"uploads/{upload}/cancel")["status"] == "cancelled"

    monkeypatch.setattr(storage, "joined", slowly)
    upload, happens = begin(lena), its_time_is_up
    parts = [part_id(lena, upload, b"123456")]
    done = uploads.complete_upload(tenant=lena.tenant, upload_id=upload, part_ids=parts, md5=None)
    assert done.status == "completed"
    upload, happens = begin(lena), cancelled
    parts = [part_id(lena, upload, b"123456")]
    with pytest.raises(InvalidRequest, match="Cannot complete an upload with status 'cancelled'"):
        uploads.complete_upload(tenant=lena.tenant, upload_id=upload, part_ids=parts, md5=None)
    nothing_is_left(lena, upload)


def test_a_completion_against_a_cancel_and_a_part(lena: LiveCaller, twins: list[LiveCaller]) -> None:
    for _ in range(10):
        upload = begin(lena)
        a = part_id(lena, upload, b"123456")
        done, cancelled, added = at_once(
            partial(complete, twins[0], upload, a),
            partial(twins[1].post, f"uploads/{upload}/cancel"),
            partial(part, twins[2], upload, b"late"),
        )
        assert sorted((done.status, cancelled.status)) == [200, 400]
        assert added.status in (200, 400)
        row = Upload.objects.of(lena.tenant).get(pk=upload)
        assert row.status == ("completed" if done.status == 200 else "cancelled")
        assert (row.file_id is not None) == (done.status == 200)
        assert not UploadPart.objects.of(lena.tenant).filter(upload=upload).exists()
        assert not UnclaimedBlob.objects.exists()
