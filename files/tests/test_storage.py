"""Blobs in the local folder, and that none is left without an owner."""

import errno
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import storages
from django.utils import timezone

from assistant_site.tests.callers import LocalCaller
from files import actions, blobs, storage
from files.models import File, UnclaimedBlob, Upload
from files.names import clean_name
from files.tests.test_uploads import begin, part_id
from tenants.models import Tenant


def place(blob: str) -> Path:
    return Path(storages["blobs"].path(blob))


def read(blob: str) -> bytes:
    with storage.opened(blob) as file:
        return file.read()


def test_bytes_are_kept_and_hashed() -> None:
    stored = storage.save([b"hello ", b"world"])
    assert (stored.bytes, stored.sha256) == (11, hashlib.sha256(b"hello world").hexdigest())
    assert read(stored.blob) == b"hello world"
    assert stored.blob[:2] == stored.blob[3:5]  # a folder of 256
    assert b"".join(storage.joined([(stored.blob, 11)] * 2)) == b"hello worldhello world"
    with pytest.raises(storage.BlobMissing):
        list(storage.joined([(stored.blob, 12)]))
    with storage.local_copy(File(blob=stored.blob, filename="a.txt")) as path:
        assert path == place(stored.blob)
    for reading in (storage.opened(stored.blob), storage.local_copy(File(blob=stored.blob, filename="a"))):
        with pytest.raises(FileNotFoundError), reading:  # a reader's own trouble is not the storage's
            raise FileNotFoundError
    storage.remove(stored.blob)
    storage.remove(stored.blob)
    for reading in (storage.opened(stored.blob), storage.local_copy(File(blob=stored.blob, filename="a"))):
        with pytest.raises(storage.BlobMissing), reading:
            pass


def test_a_blob_is_there_whole_or_not_at_all() -> None:
    def cut() -> Iterator[bytes]:
        yield b"half"
        assert not place(blob).exists()
        raise ConnectionError

    blob = storage.new_blob()
    with pytest.raises(ConnectionError):
        storage.save(cut(), blob=blob)
    assert list(place(blob).parent.glob(f"{place(blob).name}*")) == []


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "free some"), (errno.EACCES, "change its owner"), (errno.EIO, "check the disk")],
)
def test_the_operator_is_told_what_to_do(
    alice: LocalCaller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int, advice: str
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    answer = alice.post_form("files", "file", "a.txt", b"a", purpose="assistants")
    assert (answer.status, answer.error["type"]) == (503, "server_error")
    assert answer.error["message"] == "The server's file storage cannot be used at the moment. Please try again."
    assert advice in caplog.text
    assert not UnclaimedBlob.objects.exists()
    assert alice.get("files")["data"] == []


def broken_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, blob: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("files.local.LocalBlobs.delete", refuse)


def test_a_blob_that_cannot_be_removed_is_tried_again(alice: LocalCaller, monkeypatch: pytest.MonkeyPatch) -> None:
    id = alice.upload("a.txt", b"a")
    blob = File.objects.of(alice.tenant).get(pk=id).blob
    with monkeypatch.context() as broken:
        broken_storage(broken)
        assert alice.delete(f"files/{id}").status == 200
        assert alice.get(f"files/{id}").status == 404
        row = UnclaimedBlob.objects.get(blob=blob)
        assert (row.attempts, row.remove_at > timezone.now()) == (1, True)
        assert actions.forget_expired() == 0  # not yet
        UnclaimedBlob.objects.update(remove_at=timezone.now())
        assert actions.forget_expired() == 0  # tried in vain
        row.refresh_from_db()
        assert row.attempts == 2
        assert row.remove_at > timezone.now() + timedelta(seconds=100)
    assert read(blob) == b"a"
    UnclaimedBlob.objects.update(remove_at=timezone.now())
    assert actions.forget_expired() == 1
    assert not UnclaimedBlob.objects.exists()
    assert not place(blob).exists()


def test_a_process_that_dies_while_writing_leaves_nothing_for_ever(db: None) -> None:
    blob = blobs.noted()
    draft = storage.Writer(blob)
    draft.write(b"half")
    assert actions.forget_expired() == 0  # it may still be writing
    UnclaimedBlob.objects.update(remove_at=timezone.now())
    assert actions.forget_expired() == 1
    assert list(place(blob).parent.glob(f"{place(blob).name}*")) == []
    draft.abandon()


def test_a_blob_that_was_swept_meanwhile_gets_no_owner(alice: LocalCaller) -> None:
    stored = blobs.save([b"slow"])
    UnclaimedBlob.objects.update(remove_at=timezone.now())
    blobs.sweep(10)
    with pytest.raises(storage.StorageFailed):
        actions.keep_file(tenant=alice.tenant, filename="a", purpose="assistants", stored=stored)
    assert not File.objects.of(alice.tenant).exists()


def test_with_a_tenant_its_blobs_go(alice: LocalCaller) -> None:
    alice.upload("a.txt", b"a")
    upload = begin(alice)
    part_id(alice, upload, b"123")
    file = File.objects.of(alice.tenant).get()
    Tenant.objects.filter(pk=alice.tenant.pk).delete()
    assert place(file.blob).exists()
    assert actions.forget_expired() == 2
    assert not place(file.blob).exists()
    assert not UnclaimedBlob.objects.exists()


def test_what_hangs_on_a_file_is_told_of_its_deletion(alice: LocalCaller, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def refuse(file: File) -> None:
        told.append(file.filename)
        raise RuntimeError("not now")

    id = alice.upload("a.txt", b"a")
    monkeypatch.setattr(actions, "BEFORE_DELETION", [refuse])
    assert alice.delete(f"files/{id}").status == 500
    assert told == ["a.txt"]
    assert alice.get(f"files/{id}/content").body == b"a"
    monkeypatch.setattr(actions, "BEFORE_DELETION", [lambda file: told.append(file.id)])
    assert alice.delete(f"files/{id}").status == 200
    assert told == ["a.txt", id]


def test_the_chore_takes_a_few_at_once(alice: LocalCaller) -> None:
    for number in range(5):
        alice.upload(f"{number}", b"x")
    File.objects.of(alice.tenant).update(expires_at=timezone.now())
    Upload.objects.of(alice.tenant).filter(pk=begin(alice)).update(expires_at=timezone.now())
    assert [actions.forget_expired(limit=2) for _ in range(4)] == [3, 2, 1, 0]


def test_deleting_in_the_admin(alice: LocalCaller, admin_client: Any) -> None:
    one, two, three = (alice.upload(f"{number}.txt", b"x") for number in range(3))
    paths = [place(row.blob) for row in File.objects.of(alice.tenant).order_by("pk")]
    page = admin_client.get("/admin/files/file/")
    assert page.status_code == 200
    assert one in page.content.decode()
    shown = admin_client.get(f"/admin/files/file/{one}/change/")
    assert shown.status_code == 200
    assert paths[0].name not in shown.content.decode()
    assert admin_client.post(f"/admin/files/file/{one}/delete/", {"post": "yes"}).status_code == 302
    chosen = {"action": "delete_selected", "_selected_action": [two, three], "post": "yes"}
    assert admin_client.post("/admin/files/file/", chosen).status_code == 302
    assert not File.objects.of(alice.tenant).exists()
    assert [path.exists() for path in paths] == [False] * 3
    begin(alice)
    assert admin_client.get("/admin/files/upload/").status_code == 200


def test_boto3_is_not_loaded_without_s3() -> None:
    program = (
        "import assistant_site.asgi, sys; from files import storage; storage.blobs(); print('boto3' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a/b\\c.txt", "c.txt"),
        ("", ""),
        ("..", ""),
        ("a\r\nb", "ab"),
        ("\ud800x", "x"),
        ("é" * 600 + ".docx", "é" * 507 + ".docx"),
    ],
)
def test_names_of_uploads(given: str, kept: str) -> None:
    assert clean_name(given) == kept
