"""Moving blobs between the folder and a bucket, while files come, go and are read."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import storages
from django.core.management import CommandError, call_command

from assistant_site.tests.callers import LiveCaller, LocalCaller
from assistant_site.tests.stack import database_url
from files import blobs, moving, storage
from files.both import BothBlobs
from files.models import File
from files.tests.test_s3 import KEYS, bucket, names, server
from files.tests.test_uploads import begin, part_id

__all__ = ["bucket", "server"]  # fixtures
pytestmark = pytest.mark.slow

MEGABYTE = 1024 * 1024


@pytest.fixture
def first(settings: Any, bucket: Any, server: str, tmp_path: Path) -> Any:
    """Calls one of the two storages the first, in the middle of a move, or the only one."""
    s3 = {"bucket_name": bucket.name, "endpoint_url": server, **KEYS}
    both = {
        "local": {"BACKEND": "files.local.LocalBlobs", "OPTIONS": {"location": tmp_path}},
        "s3": {"BACKEND": "files.s3.S3Blobs", "OPTIONS": s3},
    }

    def choose(name: str, *, is_moving: bool = True) -> None:
        other = "local" if name == "s3" else "s3"
        chosen: Any = {"BACKEND": "files.both.BothBlobs", "OPTIONS": {"first": name, "other": other}}
        settings.STORAGES = settings.STORAGES | both | {"blobs": chosen if is_moving else both[name]}
        settings.FILES_STORAGE = name

    choose("local", is_moving=False)
    return choose


def in_folder(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.glob("*/*"))


def blob_of(caller: LocalCaller, id: str) -> str:
    return str(File.objects.of(caller.tenant).get(pk=id).blob)


def move(to: str, *options: str) -> str:
    """What it said."""
    out = io.StringIO()
    call_command("move_files", "--to", to, *options, stdout=out, stderr=out)
    return out.getvalue()


def test_there_and_back(alice: LocalCaller, bucket: Any, first: Any, tmp_path: Path) -> None:
    content = {alice.upload(f"{size}.bin", each): each for size in (1, 9 * MEGABYTE) if (each := os.urandom(size))}
    upload = begin(alice, 3)
    part_id(alice, upload, b"123")
    local = in_folder(tmp_path)
    assert len(local) == 3
    assert "3 to be copied" in move("s3", "--dry-run")
    assert names(bucket) == []

    def all_readable() -> None:
        for id, expected in content.items():
            assert alice.get(f"files/{id}/content").body == expected
            file = File.objects.of(alice.tenant).get(pk=id)
            with storage.local_copy(file) as path, storage.opened(file.blob) as opened:
                assert path.read_bytes() == opened.read() == expected
                assert not (isinstance(storage.blobs(), BothBlobs) and path.is_relative_to(tmp_path))

    first("local")
    all_readable()
    assert "3 copied" in move("s3")
    with pytest.raises(CommandError, match="FILES_STORAGE=s3"):
        move("s3", "--delete")
    assert sorted(names(bucket)) == local == in_folder(tmp_path)
    first("s3")
    content[alice.upload("new.bin", b"new")] = b"new"
    assert len(names(bucket)) == 4
    all_readable()
    said = move("s3", "--delete")
    assert "4 there already" in said
    assert "4 removed" in said
    assert in_folder(tmp_path) == []
    all_readable()
    first("s3", is_moving=False)
    all_readable()

    first("local")
    all_readable()
    assert "4 copied" in move("local", "--delete")
    assert names(bucket) == []
    first("local", is_moving=False)
    all_readable()


@pytest.mark.parametrize("name", ["local", "s3"])
def test_a_file_in_either_storage_is_deleted_from_both(
    alice: LocalCaller, bucket: Any, first: Any, tmp_path: Path, name: str
) -> None:
    id = alice.upload("a.txt", b"a")
    move("s3")
    first(name)
    assert (len(names(bucket)), len(in_folder(tmp_path))) == (1, 1)
    assert alice.delete(f"files/{id}").status == 200
    assert (names(bucket), in_folder(tmp_path)) == ([], [])


def test_what_is_changed_or_missing_is_told_and_left_alone(
    alice: LocalCaller, bucket: Any, first: Any, tmp_path: Path
) -> None:
    good, changed, cut, missing, wrong = (blob_of(alice, alice.upload(f"{n}", b"content")) for n in range(5))
    (tmp_path / changed).write_bytes(b"CONTENT")
    (tmp_path / cut).write_bytes(b"cont")
    (tmp_path / missing).unlink()
    bucket.Object(wrong).put(Body=b"cOntent")
    first("s3")
    with pytest.raises(SystemExit):
        move("s3", "--delete")
    assert sorted(names(bucket)) == sorted([good, wrong])
    assert bucket.Object(wrong).get()["Body"].read() == b"content"
    assert in_folder(tmp_path) == sorted([changed, cut])
    told: list[str] = []
    tally = moving.move(source=storages["local"], target=storages["s3"], tell=told.append)  # type: ignore[arg-type]
    assert not tally.is_good
    assert f"{missing}: missing in both storages." in told
    assert f"{changed}: not the bytes that its row tells of. It has 7 bytes, and should have 7." in told


def test_files_come_and_go_meanwhile(
    alice: LocalCaller, bucket: Any, first: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, staying = alice.upload("going", b"going"), alice.upload("staying", b"staying")
    gone = blob_of(alice, going)
    monkeypatch.setattr(blobs, "owned", partial(blobs.owned, batch=2))
    forget_deleted = moving._forget_deleted
    came: list[str] = []

    def meanwhile(*arguments: Any) -> None:
        if not came:
            assert gone in names(bucket)
            # By a process that knows only one of the storages: it leaves the copy.
            assert alice.delete(f"files/{going}").status == 200
            came.append(alice.upload("coming", b"coming"))
        forget_deleted(*arguments)

    monkeypatch.setattr(moving, "_forget_deleted", meanwhile)
    said = move("s3")
    assert "2 copied" in said
    assert "1 deleted by its owner meanwhile" in said
    assert sorted(names(bucket)) == sorted(blob_of(alice, id) for id in (staying, came[0]))


def test_a_storage_that_is_down_ends_it_with_a_sentence(alice: LocalCaller, first: Any, settings: Any) -> None:
    for number in range(12):
        alice.upload(f"{number}", b"a")
    s3 = settings.STORAGES["s3"]
    lost = s3 | {"OPTIONS": s3["OPTIONS"] | {"bucket_name": "nobody-made-it"}}
    settings.STORAGES = settings.STORAGES | {"s3": lost}
    with pytest.raises(CommandError, match="create it, or correct S3_BUCKET_NAME"):
        move("s3")


def test_a_draft_of_a_process_that_was_killed_is_in_nobodys_way(
    alice: LocalCaller, bucket: Any, first: Any, tmp_path: Path
) -> None:
    blob = blob_of(alice, alice.upload("a", b"a"))
    move("s3")
    (tmp_path / blob).rename(tmp_path / f"{blob}.part")
    bucket.Object(blob).initiate_multipart_upload()
    first("local")
    assert "1 copied" in move("local")
    assert in_folder(tmp_path) == [blob]
    bucket.Object(blob).delete()
    move("s3")
    assert list(bucket.multipart_uploads.all()) == []


def test_killed_in_the_middle_it_goes_on(lena: LiveCaller, server: str, bucket: Any, settings: Any) -> None:
    content = {lena.upload(f"{number}.bin", each): each for number in range(30) if (each := os.urandom(MEGABYTE))}
    rows = File.objects.of(lena.tenant)
    ours = set(rows.values_list("blob", flat=True))
    environment = os.environ | {
        "HOLDFAST_VAR": str(settings.VAR_DIR),
        "DATABASE_URL": database_url(),
        "REDIS_URL": settings.VALKEY_URL,
        "S3_BUCKET_NAME": bucket.name,
        "S3_ENDPOINT": server,
        "S3_ACCESS_KEY": KEYS["access_key"],
        "S3_SECRET_KEY": KEYS["secret_key"],
        "S3_REGION": KEYS["region_name"],
        "FILES_STORAGE": "local",
        "FILES_MOVING": "true",
    }
    command = [sys.executable, "manage.py", "move_files", "--to", "s3", "--threads", "1"]

    def copied() -> set[str]:
        return ours & set(names(bucket))

    with subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment) as killed:
        deadline = time.monotonic() + 60
        while not copied():
            assert killed.poll() is None
            assert time.monotonic() < deadline
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert len(copied()) < len(ours), "the test was too slow to kill it"
    # The exit code tells of all tenants' files, also of those that other tests have left without their bytes.
    said = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, timeout=120)
    assert "there already" in said.stdout, said
    assert copied() == ours
    for row in rows:
        assert hashlib.sha256(bucket.Object(row.blob).get()["Body"].read()).hexdigest() == row.sha256
    for id in content:
        assert lena.get(f"files/{id}/content").body == content[id]
