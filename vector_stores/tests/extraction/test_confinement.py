"""The child that reads a file: what it may, what it knows, and what becomes of it."""

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from vector_stores.extraction import CannotExtract, Document, Options, confinement, extract

ANSWER = '{"text": "t", "pages": [], "tables": [], "has_lines": true, "markdown": true}'
LIMITED = (
    "import os, sys; sys.path.append(sys.argv[1]); from vector_stores.extraction.limits import confine; "
    "confine(parent=os.getppid(), seconds=1, memory_bytes=200_000_000); "
)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "blob"
    path.write_text("A text.\n")
    return path


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the children's folders are made."""
    folder = tmp_path / "folders"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def become(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets children run another program."""
    monkeypatch.setattr(confinement, "_PROGRAM", program)


def refusal(path: Path, options: Options | None = None) -> CannotExtract:
    with pytest.raises(CannotExtract) as refused:
        extract(path, "a.txt", options or Options())
    return refused.value


def test_a_child_knows_none_of_the_servers_secrets(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "DATABASE_URL", "HOLDFAST_SECRET_KEY", "PYTHONPATH"):
        monkeypatch.setenv(name, "/secret")
    answer = f"dict({ANSWER.replace('true', 'True')}, text=json.dumps(dict(os.environ)))"
    become(f"import os, json; print(json.dumps({answer}))", monkeypatch)
    known = json.loads(extract(text, "a.txt", Options()).text)
    assert set(known) <= {"PATH", "LD_LIBRARY_PATH", "TESSDATA_PREFIX", "HOME", "TMPDIR", "LC_ALL", "OMP_THREAD_LIMIT"}
    assert "/secret" not in known.values()


def test_a_child_imports_nothing_of_django_or_the_server(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = "[n for n in sys.modules if n.split('.')[0] in ('django', 'rest_framework', 'assistant_site', 'files')]"
    become(
        "import sys, json; sys.path.append(sys.argv[1]); from vector_stores.extraction import child, pdf, office, "
        "html, pictures, sound, texts, word, slides, sheets; "
        f"print(json.dumps(dict({ANSWER.replace('true', 'True')}, text='found ' + ' '.join({modules}))))",
        monkeypatch,
    )
    assert extract(text, "a.txt", Options()).text == "found "


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "invalid_file"),
        ("import os; os.abort()", "invalid_file"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "invalid_file"),
        ("import os; os.close(1); import time; time.sleep(60)", "invalid_file"),
        ("raise SystemExit(3)", "server_error"),
        ("import no_such_module", "server_error"),
        ("pass", "server_error"),
        ("print('garbage')", "server_error"),
        ("print('[' * 100_000)", "server_error"),
        ("print('[1]')", "server_error"),
        ("print('{}')", "invalid_file"),
        ('print(\'{"code": "odd", "message": 1}\')', "server_error"),
        (f"print('''{ANSWER}'''.replace('\"t\"', '5'))", "invalid_file"),
        (f"print('''{ANSWER}'''.replace('\"t\"', '\"a\\\\u0000\"'))", "invalid_file"),
        (f"print('''{ANSWER}'''.replace('\"t\"', '\"\\\\ud800\"'))", "invalid_file"),
        (f"print('''{ANSWER}'''.replace('[]', '[[7, 1]]', 1))", "invalid_file"),
        (f"print('''{ANSWER}'''.replace('\"tables\": []', '\"tables\": [[1, 0, \"a\"]]'))", "invalid_file"),
        ("import sys\nwhile True: sys.stdout.write('x' * 100_000)", "server_error"),
    ],
)
def test_however_a_child_ends_there_is_a_reason(
    text: Path, folders: Path, monkeypatch: pytest.MonkeyPatch, program: str, code: str
) -> None:
    become(program, monkeypatch)
    refused = refusal(text, Options(max_characters=100_000, seconds=20))
    assert refused.code == code
    assert refused.message.startswith("The file ")
    assert list(folders.iterdir()) == []


def test_a_child_that_takes_too_long_is_ended_with_all_it_started(
    text: Path, folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "started"
    become(
        "import os, subprocess, time; started = subprocess.Popen(['sleep', '600']); "
        f"open({str(note)!r}, 'w').write(f'{{os.getpid()}} {{started.pid}}'); time.sleep(600)",
        monkeypatch,
    )
    before = time.monotonic()
    refused = refusal(text, Options(seconds=0.8))
    assert time.monotonic() - before < 60
    assert refused.code == "invalid_file"
    assert refused.message == (
        "The file could not be parsed because it is too large. Reading it takes longer than 0.8 seconds."
    )
    assert all(_is_gone(int(pid)) for pid in note.read_text().split())
    assert list(folders.iterdir()) == []


def test_what_a_child_leaves_running_ends_with_it(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = tmp_path / "started"
    become(
        "import subprocess; started = subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL); "
        f"open({str(note)!r}, 'w').write(str(started.pid)); print('''{ANSWER}''')",
        monkeypatch,
    )
    assert extract(text, "a.txt", Options()) == Document("t", has_lines=True)
    assert _is_gone(int(note.read_text()))


def _is_gone(pid: int) -> bool:
    """Within a moment: who was killed stays in the table until its new parent has noticed."""
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux ends a process with its parent.")
def test_a_child_ends_when_the_server_is_killed(text: Path, tmp_path: Path) -> None:
    note = tmp_path / "started"
    child = LIMITED + f"open({str(note)!r}, 'w').write(str(os.getpid())); import time; time.sleep(600)"
    server = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from pathlib import Path; from vector_stores.extraction import Options, confinement, extract; "
            f"confinement._PROGRAM = {child!r}; extract(Path({str(text)!r}), 'a.txt', Options())",
        ],
        cwd=Path(confinement.__file__).parents[2],
    )
    for _ in range(500):
        if note.exists() and note.read_text():
            break
        time.sleep(0.02)
    server.kill()
    server.wait()
    assert _is_gone(int(note.read_text()))


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("while True: pass", "takes longer"),
        ("b'x' * 300_000_000", "problem on the server"),
        ("open('f', 'wb').write(bytes(100_000_000))", "problem on the server"),
        ("files = [open('f', 'wb') for _ in range(100)]", "problem on the server"),
    ],
    ids=["time", "memory", "file size", "open files"],
)
@pytest.mark.skipif(sys.platform != "linux", reason="Other systems do not keep all of the limits.")
def test_the_limits_hold(text: Path, monkeypatch: pytest.MonkeyPatch, deed: str, words: str) -> None:
    become(LIMITED + f"\n{deed}\nprint('''{ANSWER}''')", monkeypatch)
    assert words in refusal(text, Options(seconds=20)).message
    become(LIMITED + f"print('''{ANSWER}''')", monkeypatch)
    assert extract(text, "a.txt", Options()).text == "t"


def test_a_child_is_nice_and_leaves_no_core(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = "f'{os.nice(0)} {resource.getrlimit(resource.RLIMIT_CORE)}'"
    answer = f"dict({ANSWER.replace('true', 'True')}, text={told})"
    become(LIMITED + f"import json, resource; print(json.dumps({answer}))", monkeypatch)
    assert extract(text, "a.txt", Options()).text == "19 (0, 0)"


@pytest.mark.skipif(sys.platform != "linux", reason="Other systems do not keep the limit.")
def test_a_file_that_needs_more_memory_than_allowed_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"word " * 990_000)
    with pytest.raises(CannotExtract) as refused:
        extract(path, "a.txt", Options(memory_bytes=38_000_000))
    assert refused.value.code == "invalid_file"
    assert refused.value.message.startswith("The file could not be parsed because it is too large.")
    assert len(extract(path, "a.txt", Options()).text) == 4_950_000


def test_a_file_that_is_gone_or_a_full_disk_is_the_servers_trouble(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    assert refusal(tmp_path / "none").code == "server_error"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no folder"))
    assert refusal(text).code == "server_error"


def test_files_are_read_side_by_side(tmp_path: Path) -> None:
    read: dict[int, str] = {}

    def read_one(number: int) -> None:
        path = tmp_path / str(number)
        path.write_text(f"text {number}")
        read[number] = extract(path, "a.txt", Options()).text

    threads = [threading.Thread(target=read_one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == {number: f"text {number}" for number in range(8)}


def test_no_descriptor_is_left_open(text: Path) -> None:
    process = psutil.Process(os.getpid())
    extract(text, "a.txt", Options())
    before = process.num_fds()
    for _ in range(3):
        extract(text, "a.txt", Options())
    assert process.num_fds() == before
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
