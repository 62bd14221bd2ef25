"""`manage.py up`: the whole of Holdfast as an operator starts, ends and kills it. Real processes, one small folder."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant_site.embedded.process import alive, tail
from assistant_site.tests.stack import free_port
from sandbox.tests.environments import environment_for_tests

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]
START_SECONDS = 90
GONE_SECONDS = 60


class Up:
    """One `manage.py up`; `said` is what its screen shows so far."""

    def __init__(self, var: Path, port: int, **environment: str) -> None:
        self.port = port
        self.started_at = time.monotonic()
        self.said = ""
        self._process = subprocess.Popen(
            [sys.executable, "manage.py", "up"],
            cwd=PROJECT,
            # Without a sandbox, whose Python would be built anew in each new folder.
            env=os.environ | {"HOLDFAST_VAR": str(var), "PORT": str(port), "CODE_INTERPRETER": "off"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said += line

    def ready(self) -> float:
        """Wait until it says that all is ready; the seconds that took."""
        while "is ready" not in self.said or self.said.count("─" * 20) < 2:
            assert self._process.poll() is None, self.said
            assert time.monotonic() - self.started_at < START_SECONDS, self.said
            time.sleep(0.02)
        return time.monotonic() - self.started_at

    def signal(self, number: signal.Signals) -> int:
        """Send the signal and wait for the end; the exit code."""
        self._process.send_signal(number)
        return self.end()

    def end(self) -> int:
        code = self._process.wait(START_SECONDS)
        self._reader.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.end()

    def get(self, path: str, **headers: str) -> int:
        """The status that a GET answers with."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and JSON of the answer."""
        address = f"http://127.0.0.1:{self.port}{path}"
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status), json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.load(refused)

    def json(self, path: str) -> Any:
        """What a GET answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def var() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="hf", dir="/tmp")).resolve()
    made.chmod(0o711)
    yield made
    for pid in processes_of(made):
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@contextlib.contextmanager
def up(var: Path, port: int, **environment: str) -> Iterator[Up]:
    started = Up(var, port, **environment)
    try:
        yield started
    finally:
        started.close()


def processes_of(var: Path) -> set[int]:
    """Every living process that has to do with the folder, by its arguments or its environment."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        with contextlib.suppress(OSError):
            known = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            if str(var).encode() in known and pid != os.getpid() and alive(pid):
                found.add(pid)
    return found


def all_gone(var: Path) -> bool:
    deadline = time.monotonic() + GONE_SECONDS
    while processes_of(var):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def megabytes_of(pid: int) -> float:
    """Its share of the memory."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(row.split()[1]) / 1024 for row in rows if row.startswith("Pss:"))


def token_in(screen: str) -> str:
    found = re.search(r"API token +(\S+) +\(shown only now\)", screen)
    assert found, screen
    return found[1]


def playground_key_in(screen: str, port: int) -> str:
    found = re.search(
        rf"Playground +http://127\.0\.0\.1:{port}/#key=(\S+)\n +\(ready to use; the link holds until", screen
    )
    assert found, screen
    return found[1]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_first_start_second_start_and_kill(var: Path, port: int) -> None:
    """One story, since each start costs seconds."""
    with up(var, port) as first:
        first.ready()
        token = token_in(first.said)
        assert re.search(r"Admin user +admin, password \S+ +\(shown only now\)", first.said)
        assert f"http://127.0.0.1:{port}/v1 " in first.said
        assert first.get("/readyz") == 200
        assert first.get("/v1/assistants", Authorization=f"Bearer {token}") == 200
        first_key = playground_key_in(first.said, port)
        status, entered = first.post("/playground/enter", {"key": first_key})
        assert (status, entered["tenant"]["name"]) == (200, "default")
        assert first.get("/v1/assistants", Authorization=f"Bearer {entered['token']}") == 200
        assert len(processes_of(var)) > 4
        assert megabytes_of(first.pid) < 30, "the supervisor does without Django"
        assert first.signal(signal.SIGTERM) == 0
        assert not processes_of(var), "SIGTERM ends everything before it returns"

    with up(var, port) as second:
        second.ready()
        assert "shown only now" not in second.said
        assert "create_token" in second.said
        assert second.post("/playground/enter", {"key": first_key})[0] == 401
        assert second.post("/playground/enter", {"key": playground_key_in(second.said, port)})[0] == 200
        assert second.get("/v1/assistants", Authorization=f"Bearer {token}") == 200

        with up(var, free_port()) as other:
            assert other.end() == 1
            assert f"already running in this folder, as process {second.pid}." in other.said

        second.signal(signal.SIGKILL)
        with up(var, port) as third:  # at once: what the killed one leaves behind is still ending
            third.ready()
            assert third.get("/v1/assistants", Authorization=f"Bearer {token}") == 200
            third.signal(signal.SIGKILL)
    assert all_gone(var)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_process_that_dies_is_started_again(var: Path, port: int) -> None:
    with up(var, port) as running:
        running.ready()
        web = next(pid for pid in processes_of(var) if b"manage.py serve" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(web, signal.SIGKILL)
        deadline = time.monotonic() + START_SECONDS
        while "The web process has been started again." not in running.said:
            assert time.monotonic() < deadline, running.said
            time.sleep(0.05)
        assert "The web process was ended by SIGKILL" in running.said
        assert running.signal(signal.SIGINT) == 0
    assert not processes_of(var)


def test_a_port_in_use_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        with up(tmp_path, busy.getsockname()[1]) as refused:
            assert refused.end() == 1
    assert f"Holdfast cannot start: Port {refused.port} on 127.0.0.1 cannot be used" in refused.said
    assert not (tmp_path / "postgres").exists()


def test_a_wrong_setting_is_told_in_a_sentence(tmp_path: Path) -> None:
    with up(tmp_path, 8086, PORT="eighty") as refused:
        assert refused.end() == 1
    assert "PORT must be a whole number from 1 to 65535, but is 'eighty'" in refused.said
    assert "Traceback" not in refused.said


def test_a_server_of_yours_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    with up(
        tmp_path,
        free_port(),
        DATABASE_URL="postgres://me:hush@127.0.0.1:9/db",
        REDIS_URL="redis://:hush@127.0.0.1:9/0",
    ) as refused:
        assert refused.end() == 1
    assert "PostgreSQL at DATABASE_URL does not answer" in refused.said
    assert "Valkey (Redis) at REDIS_URL does not answer" in refused.said
    assert "hush" not in refused.said
    assert "Traceback" not in refused.said


@pytest.mark.sandbox
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_the_sandbox_becomes_ready_beside_the_rest_and_ends_with_it(var: Path, port: int) -> None:
    environment = environment_for_tests()
    with up(var, port, CODE_INTERPRETER="auto", SANDBOX_DIR=str(environment), OPENAI_API_KEY="canary-of-up") as running:
        running.ready()
        assert "  Code         python in a sandbox: " in running.said
        daemon = next(
            pid for pid in processes_of(var) if b"sandbox.daemon" in Path(f"/proc/{pid}/cmdline").read_bytes()
        )
        assert b"canary-of-up" not in Path(f"/proc/{daemon}/environ").read_bytes()
        deadline = time.monotonic() + START_SECONDS
        while (state := running.json("/readyz")["code_interpreter"]) != "available":
            assert time.monotonic() < deadline, (state, tail(var / "log" / "sandbox.log", lines=40))
            time.sleep(0.2)

        os.kill(daemon, signal.SIGKILL)
        while "The sandbox process has been started again." not in running.said:
            assert time.monotonic() < deadline, running.said
            time.sleep(0.05)
        assert running.get("/readyz") == 200
        assert running.signal(signal.SIGTERM) == 0
    assert not processes_of(var)


@pytest.mark.sandbox
def test_without_a_python_for_the_sandbox_all_the_rest_runs(var: Path, port: int) -> None:
    nowhere = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9", "PIP_FIND_LINKS": ""}
    nowhere |= {"PIP_RETRIES": "0", "PIP_NO_CACHE_DIR": "1", "NO_PROXY": "127.0.0.1"}
    with up(var, port, CODE_INTERPRETER="auto", **nowhere) as running:
        running.ready()
        deadline = time.monotonic() + START_SECONDS
        while "package index does not answer" not in (state := running.json("/readyz")["code_interpreter"]):
            assert time.monotonic() < deadline, (state, tail(var / "log" / "sandbox.log", lines=40))
            time.sleep(0.2)
        assert state.startswith("off: ")
        assert running.get("/readyz") == 200
