"""Files of code that answers link to, and the end of it all with its thread."""

import threading
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from files import actions
from files.models import File, UnclaimedBlob
from threads.models import Thread
from tools.code_interpreter import access, kept
from tools.models import CodeFile, CodeSpace
from tools.tests.coding import CODE, TOOL, Coder, file_for, is_stored, names_of, rows_of
from tools.tool import Briefed

# --- Links -----------------------------------------------------------------------------------------------------------


def test_a_link_gets_one_file_per_content(cora: Coder) -> None:
    cora.run("files['out/übersicht 1.csv'] = b'1'; files['empty'] = b''")
    name = "out/übersicht 1.csv"
    first = file_for(cora, name)
    assert first
    assert file_for(cora, name) == first
    file = File.objects.of(cora.tenant).get(pk=first)
    assert (file.filename, file.purpose, cora.content(first)) == ("übersicht 1.csv", "assistants_output", b"1")
    assert file.blob != rows_of(cora)[name].blob
    cora.run(f"files[{name!r}] = b'22'")
    second = file_for(cora, name)
    assert second
    assert second != first
    assert (cora.content(first), cora.content(second)) == (b"1", b"22")
    actions.erase(second)
    third = file_for(cora, name)
    assert third not in (None, first, second)
    assert file_for(cora, "empty") is None
    assert file_for(cora, "other.csv") is None
    assert file_for(cora, "\x00") is None


def test_an_unchanged_input_is_its_own_file(cora: Coder) -> None:
    file = cora.upload("data.csv", b"1")
    cora.run("1")
    assert names_of(cora) == {"data.csv", file}
    assert file_for(cora, "data.csv") == file
    assert file_for(cora, file) == file
    actions.erase(file)
    assert file_for(cora, "data.csv") is None


def test_two_at_once_make_one_file(cora: Coder) -> None:
    cora.run("files['a'] = bytes(3_000_000)")
    found: list[str | None] = []

    def make() -> None:
        found.append(file_for(cora, "a"))
        connection.close()

    workers = [threading.Thread(target=make) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(set(found)) == 1
    assert File.objects.of(cora.tenant).count() == 1


def test_another_threads_files_are_not_found(cora: Coder) -> None:
    cora.run("files['a'] = b'1'")
    other = Coder(cora.tenant, Thread.objects.create(tenant=cora.tenant), cora.sandbox)
    stranger = Coder.new(cora.sandbox)
    try:
        assert file_for(other, "a") is None
        assert names_of(other) == frozenset()
        assert kept.file_for(stranger.tenant.id, cora.thread.id, "a") is None
        assert kept.names_of(stranger.tenant.id, cora.thread.id) == frozenset()
        assert other.run("print(files)").logs == "{}\n"
    finally:
        stranger.delete(stranger.tenant)


# --- The end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["thread", "tenant"])
def test_deleting_leaves_neither_rows_nor_blobs_nor_a_session(cora: Coder, what: str) -> None:
    cora.run("files['a'] = b'1'; files['b'] = bytes(3_000_000)")
    blobs = [row.blob for row in rows_of(cora).values()]
    key = cora.key
    if what == "thread":
        cora.delete(cora.thread)
    else:
        other = Coder.new(cora.sandbox)
        cora.delete(cora.tenant)
        cora.tenant, cora.thread = other.tenant, other.thread  # what the fixture deletes
    assert cora.sandbox.closed[0] == key
    assert not CodeFile.objects.across_tenants().filter(thread_id=key.thread_id).exists()
    assert not CodeSpace.objects.across_tenants().filter(thread_id=key.thread_id).exists()
    assert UnclaimedBlob.objects.filter(blob__in=blobs).count() == 2
    actions.forget_expired(limit=1_000)
    assert not any(is_stored(blob) for blob in blobs)
    assert not UnclaimedBlob.objects.filter(blob__in=blobs).exists()


def test_a_thread_without_code_closes_no_session(cora: Coder) -> None:
    TOOL.brief(CODE, Briefed(cora.tenant.id, cora.thread.id, []))
    cora.delete(cora.thread)
    assert cora.sandbox.closed == []


def test_files_of_a_thread_deleted_meanwhile_leave_no_blob(cora: Coder) -> None:
    cora.run("x = 1")
    read = cora.sandbox.read

    async def delete_first(*given: Any) -> Any:
        async for piece in read(*given):
            await access.code_threads().run(cora.thread.delete)
            yield piece

    cora.sandbox.read = delete_first
    before = set(stored_blobs())
    cora.run("files['a'] = b'1'")
    assert set(stored_blobs()) == before


def stored_blobs() -> list[str]:
    folder = Path(settings.FILES_DIR)
    return [str(path) for path in folder.rglob("*") if path.is_file()]
