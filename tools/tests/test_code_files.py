"""Files of code: what it is given, what it leaves, and that neither bytes nor blobs are lost."""

import random
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from files import actions, storage
from files.models import File, UnclaimedBlob
from sandbox.protocol import FileRefused
from tools.code_interpreter import kept
from tools.code_interpreter.spaces import unique_name
from tools.models import CodeSpace
from tools.tests.coding import CODE, TOOL, Coder, file_for, is_stored, names_of, rows_of
from tools.tool import Briefed

# --- What code is given ----------------------------------------------------------------------------------------------


def test_files_are_put_under_their_names_once(cora: Coder) -> None:
    first, second = cora.upload("data.csv", b"1"), cora.upload("../data.csv", b"2" * 600_000)
    call = cora.run("print(sorted(files), len(files['data-2.csv']))")
    assert call.logs == "['data-2.csv', 'data.csv'] 600000\n"
    assert cora.session.tags == {"data.csv": first, "data-2.csv": second}
    third = cora.upload("data.csv", b"3")
    cora.run("x = 1")
    assert cora.session.tags == {"data.csv": first, "data-2.csv": second, "data-3.csv": third}
    assert cora.sandbox.puts == ["data.csv", "data-2.csv", "data-3.csv"]
    assert cora.kept == {}
    cora.lose_session()
    cora.run("x = 1")
    assert cora.session.tags == {"data.csv": first, "data-2.csv": second, "data-3.csv": third}


def test_names_are_the_same_whichever_files_come_first(cora: Coder) -> None:
    first, second = cora.upload("a", b"1"), cora.upload("a", b"2")
    assert f"- a ← {first}" in TOOL.brief(CODE, Briefed(cora.tenant.id, cora.thread.id, [first, second]))
    assert f"- a-2 ← {second}" in TOOL.brief(CODE, Briefed(cora.tenant.id, cora.thread.id, [second]))
    cora.files = [second]
    cora.run("1")
    assert cora.session.files == {"a-2": b"2"}


@pytest.mark.parametrize(
    ("filename", "taken", "name"),
    [
        ("a.csv", [], "a.csv"),
        ("a.csv", ["a.csv"], "a-2.csv"),
        ("a.csv", ["a.csv", "a-2.csv"], "a-3.csv"),
        ("a.tar.gz", ["a.tar.gz"], "a.tar-2.gz"),
        ("Makefile", ["Makefile"], "Makefile-2"),
        (".env", [".env"], ".env-2"),
        ("/etc/passwd", [], "passwd"),
        ("..", [], "file-1"),
        ("\x00\n", [], "file-1"),
        ("中" * 300 + ".csv", [], "中" * 78 + ".csv"),
        ("中" * 300 + ".csv", ["中" * 78 + ".csv"], "中" * 78 + "-2.csv"),
        ("a." + "中" * 200, [], "a." + "中" * 79),
    ],
)
def test_a_name_fits_into_mnt_data(filename: str, taken: list[str], name: str) -> None:
    assert unique_name(filename, "file-1", taken) == name
    assert len(name.encode()) <= 240


def test_a_file_that_cannot_be_given_is_named_with_the_reason(cora: Coder) -> None:
    large, gone, lost = cora.upload("large.bin", b"l" * 2**20 * 2), cora.upload("gone", b"g"), cora.upload("lost", b"l")
    late = cora.upload("late", b"l")
    cora.tenant.code_data_mb = 1
    cora.tenant.save()
    actions.erase(gone)
    File.objects.of(cora.tenant).filter(pk=late).update(expires_at=timezone.now() - timedelta(seconds=1))
    storage.remove(File.objects.of(cora.tenant).get(pk=lost).blob)
    call = cora.run("print(files)")
    assert call.logs == "{}\n"  # the step does not show it
    said = call.result.output
    assert f"large.bin ({large}) is not in /mnt/data: it has 2.1 MB, and there is room for 1.0 MB." in said
    assert f"The file {gone} is not in /mnt/data: it was deleted or has expired." in said
    assert f"The file {late} is not in /mnt/data: it was deleted or has expired." in said
    assert f"lost ({lost}) is not in /mnt/data: The content of this file is missing" in said


def test_a_file_whose_name_code_has_taken_gets_another(cora: Coder) -> None:
    cora.run("files['data.csv'] = b'mine'; files['out/x'] = b'x'")
    data, out = cora.upload("data.csv", b"theirs"), cora.upload("out", b"o")
    cora.run("1")
    assert cora.session.tags == {"data-2.csv": data, "out-2": out}
    assert cora.kept == {"data.csv": b"mine", "out/x": b"x"}


# --- What code leaves ------------------------------------------------------------------------------------------------


def test_what_code_leaves_outlives_its_session(cora: Coder) -> None:
    call = cora.run("files['a.csv'] = b'a' * 300_000; files['plots/b c.png'] = b'b'")
    assert "sandbox:/mnt/data/a.csv (300.0 kB)\nsandbox:/mnt/data/plots/b c.png (1 byte)" in call.result.output
    assert cora.kept == {"a.csv": b"a" * 300_000, "plots/b c.png": b"b"}
    cora.lose_session()
    call = cora.run("print(len(files['a.csv']), files['plots/b c.png'])")
    assert "2 files were put back" in call.logs
    assert call.logs.endswith("300000 b'b'\n")


def test_only_what_is_other_is_stored_again_and_old_blobs_go(cora: Coder) -> None:
    cora.run("files['a'] = b'1'; files['b'] = b'1'")
    before = rows_of(cora)
    cora.sandbox.reads.clear()
    cora.run("files['a'] = b'2'")
    after = rows_of(cora)
    assert cora.sandbox.reads == ["a"]
    assert cora.kept == {"a": b"2", "b": b"1"}
    assert before["b"].blob == after["b"].blob
    assert not is_stored(before["a"].blob)
    unclaimed = UnclaimedBlob.objects.filter(blob__in=[before["a"].blob, after["a"].blob, after["b"].blob])
    assert not unclaimed.exists()


def test_a_file_written_again_with_the_same_content_keeps_its_blob(cora: Coder) -> None:
    given = cora.upload("given", b"g")
    cora.run("files['a'] = b'1'")
    [row] = rows_of(cora).values()
    cora.run("touch('a'); touch('given')")
    assert sorted(cora.sandbox.reads[1:]) == ["a", "given"]
    assert rows_of(cora)["a"].blob == row.blob
    assert is_stored(row.blob)
    assert set(rows_of(cora)) == {"a"}
    assert file_for(cora, "given") == given
    cora.run("x = 1")
    assert len(cora.sandbox.reads) == 3


def test_a_file_that_code_deletes_is_gone(cora: Coder) -> None:
    cora.run("files['a'] = b'1'; files['b'] = b'1'")
    blob = rows_of(cora)["a"].blob
    cora.run("del files['a']")
    assert cora.kept == {"b": b"1"}
    assert not is_stored(blob)
    assert names_of(cora) == {"b"}


def test_a_changed_input_is_kept_and_comes_back_under_both_names(cora: Coder) -> None:
    file = cora.upload("data.csv", b"old")
    cora.run("files['data.csv'] = b'new'")
    assert cora.kept == {"data.csv": b"new"}
    cora.lose_session()
    cora.run("print(files)")
    assert cora.session.files == {"data.csv": b"new"}
    assert cora.session.tags == {"data.csv": file}
    made = file_for(cora, "data.csv")
    assert made not in (None, file)
    assert file_for(cora, file) == made
    cora.run("files['data.csv'] = b'old'")  # as it was given
    assert cora.kept == {}
    assert file_for(cora, "data.csv") == file


def test_what_another_worker_missed_is_kept_by_the_next_call(cora: Coder) -> None:
    cora.run("files['b'] = b'1'")
    cora.sandbox.files, whole = fail, cora.sandbox.files
    call = cora.run("files['a'] = b'1'; files['b'] = b'2'")
    assert "a is not kept beyond this session" in call.result.output
    assert cora.kept == {"b": b"1"}
    cora.sandbox.files = whole
    cora.run("x = 1")
    assert cora.kept == {"a": b"1", "b": b"2"}


def test_what_the_storage_did_not_take_is_kept_by_the_next_call(cora: Coder, monkeypatch: pytest.MonkeyPatch) -> None:
    cora.run("files['b'] = b'1'")
    with monkeypatch.context() as broken:
        broken.setattr(storage.Writer, "finish", no_storage)
        call = cora.run("files['a'] = b'1'; files['b'] = b'2'")
    assert "a is not kept beyond this session" in call.result.output
    assert "sandbox:" not in call.result.output
    assert cora.kept == {"b": b"1"}
    cora.run("x = 1")
    assert cora.kept == {"a": b"1", "b": b"2"}


def no_storage(writer: storage.Writer) -> None:
    raise storage.StorageFailed


def test_what_lost_code_has_written_is_kept(cora: Coder) -> None:
    cora.run("files['a'] = b'1'")
    cora.sandbox.cut_after = 0
    assert "lost" in cora.run("files['a'] = b'2'").logs
    assert cora.kept == {"a": b"2"}


async def fail(*_: Any) -> Any:
    raise OSError


def test_too_much_is_not_kept_and_the_model_is_told(cora: Coder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "CODE_KEPT_MB", 1)
    call = cora.run("files['large'] = bytes(2**20); files['small'] = b's'; files['other'] = bytes(2**19)")
    assert set(cora.kept) == {"small", "other"}
    assert "large is not kept beyond this session, and cannot be linked to: a conversation keeps 1.0 MB" in (
        call.result.output
    )
    call = cora.run("files['small'] = bytes(2**20)")
    assert set(cora.kept) == {"other"}  # and not the state of `small` before
    assert "small is not kept" in call.result.output
    assert "large is not kept" not in call.result.output


def test_too_many_files_are_not_kept(cora: Coder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_KEPT_FILES", 3)
    call = cora.run("files.update({str(n): b'1' for n in range(5)})")
    assert set(cora.kept) == {"0", "1", "2"}
    assert call.result.output.count("is not kept beyond this session") == 2


def test_a_list_that_may_not_be_whole_deletes_nothing(cora: Coder, monkeypatch: pytest.MonkeyPatch) -> None:
    cora.run("files['a'] = b'1'; files['b'] = b'1'")
    monkeypatch.setattr(kept, "MOST_LISTED", 1)
    cora.run("del files['a']")
    assert set(cora.kept) == {"a", "b"}


@pytest.mark.parametrize("name", ["a\nb", "\udc00", "x" * 600, "\x1b[31m", "a\u2028b"])
def test_names_that_cannot_be_stored(cora: Coder, name: str) -> None:
    call = cora.run(f"files[{name!r}] = b'1'; files['good\u3000\u202fname'] = b'1'")
    assert set(cora.kept) == {"good\u3000\u202fname"}
    assert "its name cannot be stored" in call.result.output


def test_a_kept_file_that_cannot_be_put_back_is_not_lost(cora: Coder) -> None:
    cora.run("files['a'] = b'1'; files['b'] = b'1'")
    cora.lose_session()
    put = cora.sandbox.put

    async def refuse_a(key: Any, generation: str, name: str, *rest: Any) -> None:
        if name == "a":
            raise FileRefused("There is no room for it.")
        await put(key, generation, name, *rest)

    cora.sandbox.put = refuse_a
    call = cora.run("print(sorted(files))")
    assert call.logs.endswith("1 file was put back into /mnt/data.]\n['b']\n")
    assert "a could not be put back into /mnt/data: There is no room for it." in call.result.output
    cora.run("x = 1")
    assert cora.kept == {"a": b"1", "b": b"1"}
    cora.lose_session()
    cora.sandbox.put = put
    assert cora.run("print(sorted(files))").logs.endswith("['a', 'b']\n")


def test_a_worker_that_died_while_it_put_files_back_is_made_good(cora: Coder) -> None:
    cora.run("files['a'] = b'1'; files['b'] = b'1'")
    cora.lose_session()

    put = cora.sandbox.put

    async def die(*_: Any) -> None:
        raise OSError

    cora.sandbox.put = die
    assert "fault of the server" in cora.run("print(files)").logs
    cora.sandbox.put = put
    assert "2 files were put back" in cora.run("print(files)").logs
    assert set(cora.kept) == {"a", "b"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_what_the_session_has_is_kept_in_the_end(
    cora: Coder, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random work and failures; a session that ends may lose only what was not told as kept."""
    chance = random.Random(seed)
    whole_files, whole_finish = cora.sandbox.files, storage.Writer.finish
    for _ in range(12):
        monkeypatch.setattr(storage.Writer, "finish", whole_finish)
        cora.sandbox.files, cora.sandbox.cut_after = whole_files, None
        match chance.choice(["", "", "", "upload", "lose", "cut", "list", "storage"]):
            case "upload":
                cora.upload(chance.choice("abc"), bytes([chance.randrange(3)]))
            case "lose" if cora.sandbox.sessions:
                cora.lose_session()
            case "cut":
                cora.sandbox.cut_after = 0
            case "list":
                cora.sandbox.files = fail
            case "storage":
                monkeypatch.setattr(storage.Writer, "finish", no_storage)
        name, content = chance.choice("abcd"), bytes([chance.randrange(3)])
        cora.run(chance.choice([f"files[{name!r}] = {content!r}", f"files.pop({name!r}, None)", f"touch({name!r})"]))
    monkeypatch.setattr(storage.Writer, "finish", whole_finish)
    cora.sandbox.files, cora.sandbox.cut_after = whole_files, None
    cora.run("x = 1")
    there = cora.session.files
    given = {name: cora.content(id) for name, id in CodeSpace.objects.of(cora.tenant).get().inputs.items()}
    unchanged = {name for name in there if there[name] == given.get(name)}
    assert cora.kept == {name: content for name, content in there.items() if name not in unchanged}
    cora.lose_session()
    cora.run("x = 1")
    missing = {name: content for name, content in given.items() if name not in there}  # inputs that code has deleted
    assert cora.session.files == there | missing
