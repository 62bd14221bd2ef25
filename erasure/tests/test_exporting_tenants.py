"""`manage.py export_tenant`: everything that the API would tell of a tenant's objects, and the bytes of its files."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from assistant_site.tests.callers import LocalCaller
from audit.models import AuditEntry
from erasure.tests.owning import own_everything
from files.models import File
from files.storage import remove


def exported(caller: LocalCaller, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The objects by their kind, in the order of their lines."""
    call_command("export_tenant", caller.tenant.name, str(folder))
    found: dict[str, list[dict[str, Any]]] = {}
    for line in (folder / "objects.jsonl").read_bytes().splitlines():
        told = json.loads(line)
        found.setdefault(told["object"], []).append(told)
    return found


def test_what_is_exported_is_what_the_api_tells(alice: LocalCaller, bob: LocalCaller, tmp_path: Path) -> None:
    things = own_everything(alice)
    own_everything(bob)
    found = exported(alice, tmp_path / "alice")
    thread, store = things["thread_id"], things["vector_store_id"]

    assert found["assistant"] == alice.get("assistants?order=asc&limit=100")["data"]
    assert found["file"] == alice.get("files?order=asc&limit=1000")["data"]
    assert found["vector_store"] == alice.get("vector_stores?order=asc&limit=100")["data"]
    assert [each for each in found["vector_store.file"] if each["vector_store_id"] == store] == alice.get(
        f"vector_stores/{store}/files?order=asc&limit=100"
    )["data"]
    assert found["action"] == alice.get("actions?order=asc&limit=100")["data"]
    assert alice.get(f"threads/{thread}").body in found["thread"]
    assert [each for each in found["thread.message"] if each["thread_id"] == thread] == alice.get(
        f"threads/{thread}/messages?order=asc&limit=100"
    )["data"]
    assert [each for each in found["thread.run"] if each["thread_id"] == thread] == alice.get(
        f"threads/{thread}/runs?order=asc&limit=100"
    )["data"]
    assert "eve" in [each["name"] for each in found["end_user"]]
    assert {each["id"] for each in found["thread.run.step"]} >= {things["step_id"]}


def test_the_bytes_of_files_lie_beside_by_their_ids(alice: LocalCaller, tmp_path: Path) -> None:
    files = {
        alice.upload(name, content): content for name, content in {"a.txt": b"a", "b.bin": b"\0" * 300_000}.items()
    }
    exported(alice, tmp_path)
    assert {path.name: path.read_bytes() for path in (tmp_path / "files").iterdir()} == files
    assert not any(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) for path in tmp_path.rglob("*"))


def test_broken_off_it_goes_on(alice: LocalCaller, tmp_path: Path) -> None:
    file = alice.upload("a.txt", b"whole")
    exported(alice, tmp_path)
    (tmp_path / "files" / file).write_bytes(b"ha")
    (tmp_path / "files" / f"{file}.unfinished").write_bytes(b"ha")
    exported(alice, tmp_path)
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "files").iterdir()] == [(file, b"whole")]


def test_lost_bytes_are_told_and_the_rest_is_there(alice: LocalCaller, tmp_path: Path) -> None:
    lost, kept = alice.upload("a.txt", b"a"), alice.upload("b.txt", b"b")
    remove(File.objects.of(alice.tenant).get(pk=lost).blob)
    with pytest.raises(CommandError, match=f"lost the bytes of 1 files: {lost}"):
        exported(alice, tmp_path)
    assert (tmp_path / "files" / kept).read_bytes() == b"b"
    assert len((tmp_path / "objects.jsonl").read_bytes().splitlines()) == 2


def test_an_export_is_in_the_audit_log(alice: LocalCaller, tmp_path: Path) -> None:
    exported(alice, tmp_path)
    entry = AuditEntry.objects.get(action="tenant.exported")
    assert (entry.tenant_id, entry.actor_kind, entry.object_id) == (alice.tenant.pk, "command", alice.tenant.pk)


def test_a_tenant_that_is_not_there_is_told(db: None, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="There is no tenant nobody"):
        call_command("export_tenant", "nobody", str(tmp_path))


def test_a_folder_is_of_one_tenant(alice: LocalCaller, bob: LocalCaller, tmp_path: Path) -> None:
    file = alice.upload("a.txt", b"a")
    exported(alice, tmp_path)
    told = (tmp_path / "objects.jsonl").read_bytes()

    with pytest.raises(CommandError, match="has something else in it"):
        exported(bob, tmp_path)

    assert (tmp_path / "objects.jsonl").read_bytes() == told
    assert exported(alice, tmp_path)["file"][0]["id"] == file


def test_a_folder_with_other_things_is_left_alone(alice: LocalCaller, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(CommandError, match="has something else in it"):
        exported(alice, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
