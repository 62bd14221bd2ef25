"""A host: one daemon in a process of its own, as root or as a service user; and a tenant that has a session there."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from sandbox.client import RemoteSandbox
from sandbox.protocol import (
    MIB,
    Done,
    Error,
    Event,
    FileInfo,
    Health,
    Image,
    Limits,
    OpenedSession,
    Result,
    SessionGone,
    SessionKey,
    Stderr,
    Stdout,
)
from sandbox.tests.isolation.hostile import MARK, probe_of
from sandbox.tests.isolation.limits import MOST, SMALL
from sandbox.tests.isolation.processes import below, living, so_many_with_words

PROJECT = Path(__file__).resolve().parents[3]
SERVICE_USER = 20999  # nobody else's here; not one of those that a daemon of root gives to its sessions
PATIENCE = float(os.environ.get("SANDBOX_TESTS_PATIENCE", "60"))  # seconds for an execution
T = TypeVar("T")


@dataclass(frozen=True)
class Setup:
    """How a host is set up. `without`: protections taken away, for the suite that proves the tests."""

    user: str  # `root` or `service`
    proc: bool = True
    without: tuple[str, ...] = ()
    idle_seconds: float = 1200.0
    age_seconds: float = 3600.0
    pool: int = 0
    self_test: bool = False
    path: str = ""  # where bwrap is looked for, if not as usual
    environment: dict[str, str] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"{self.user}{'' if self.proc else '-without-proc'}"


@dataclass(frozen=True)
class Outcome:
    """All events of one execution."""

    events: tuple[Event, ...]

    @property
    def done(self) -> Done:
        last = self.events[-1]
        assert isinstance(last, Done), self.events
        return last

    @property
    def stdout(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Stdout))

    @property
    def text(self) -> str:
        """All that a model would be told: output, results, tracebacks."""
        told = []
        for event in self.events:
            if isinstance(event, Stdout | Stderr | Result):
                told.append(event.text)
            elif isinstance(event, Error):
                told.append(event.traceback)
        return "".join(told)

    @property
    def error(self) -> str:
        """The name of the exception that ended the code, or nothing."""
        return next((event.name for event in self.events if isinstance(event, Error)), "")

    @property
    def images(self) -> list[Image]:
        return [event for event in self.events if isinstance(event, Image)]


class Host:
    """A daemon's process, its socket, and the event loop from which the tests call it."""

    def __init__(self, setup: Setup, environment: Path) -> None:
        self.setup = setup
        self.environment = environment
        self.folder = Path(tempfile.mkdtemp(prefix="sandbox-host-", dir="/tmp"))
        self.folder.chmod(0o711)
        self.own = self.folder / "own"
        self.own.mkdir(mode=0o700)
        self.socket = self.own / "s"
        self.canary = f"canary-{uuid.uuid4().hex}"
        self.process: subprocess.Popen[bytes] | None = None
        self.neighbour: Tenant | None = None  # whose session must never be harmed
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.client = RemoteSandbox([f"unix://{self.socket}"])
        if setup.user == "service" and os.geteuid() == 0:
            os.chown(self.own, SERVICE_USER, SERVICE_USER)

    def start(self) -> "Host":
        """Start the daemon and wait until it answers; raises AssertionError with its log if it does not."""
        command = [*self._user(), self._python(), "-m", "sandbox.tests.isolation.daemon", self._options()]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self._checkout(),
                env=self._variables(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._answers():
                health = self.health()
                if not health.is_preparing:
                    return self
            assert self.process.poll() is None, f"the daemon ended:\n{self.log()}"
            time.sleep(0.05)
        raise AssertionError(f"the daemon does not answer:\n{self.log()}")

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as trial:
            return trial.connect_ex(str(self.socket)) == 0

    def kill(self) -> None:
        """SIGKILL to the daemon alone, as the kernel's out-of-memory killer would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End the daemon, and throw its folder away."""
        self.call(self._forget())
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _forget(self) -> None:
        """Of what was begun, nothing is waited for any more."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self.client.disconnect()

    def call(self, coroutine: Coroutine[Any, Any, T], timeout: float = 1.5 * PATIENCE) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    def health(self) -> Health:
        """As a client sees that has not asked before."""
        return self.call(RemoteSandbox([f"unix://{self.socket}"]).health())

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-8000:]

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def memory(self) -> int:
        """Resident bytes of the daemon itself."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def processes(self) -> list[int]:
        """The daemon's descendants: its sessions, waiting ones as well."""
        return below(self.pid)

    def _user(self) -> list[str]:
        if self.setup.user == "service" and os.geteuid() == 0:
            return ["setpriv", f"--reuid={SERVICE_USER}", f"--regid={SERVICE_USER}", "--clear-groups", "--"]
        return []

    def _python(self) -> str:
        return sys.executable if not self._user() or reachable(Path(sys.executable)) else "/usr/bin/python3"

    def _checkout(self) -> Path:
        """Where the daemon's code is; a copy, if the service user cannot get to the checkout."""
        if not self._user() or reachable(PROJECT):
            return PROJECT
        copy = self.folder / "checkout"
        if not copy.exists():
            shutil.copytree(PROJECT / "sandbox", copy / "sandbox")
        return copy

    def _variables(self) -> dict[str, str]:
        packages = [path for path in sys.path if path.endswith("site-packages")]
        return {
            "PATH": self.setup.path or os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(packages),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOLDFAST_CANARY": self.canary,
            "SANDBOX_TESTS_FOLDER": str(self.own),
            **self.setup.environment,
        }

    def _options(self) -> str:
        setup = self.setup
        return json.dumps(
            {
                "socket": str(self.socket),
                "environment": str(self.environment),
                "proc": setup.proc,
                "without": list(setup.without),
                "idle_seconds": setup.idle_seconds,
                "age_seconds": setup.age_seconds,
                "pool": setup.pool,
                "data_bytes": SMALL.data_bytes if setup.pool else MOST.data_bytes,
                "self_test": setup.self_test,
            }
        )


class Tenant:
    """A tenant with one session on a host, which does what a worker does for it."""

    def __init__(self, host: Host, limits: Limits = SMALL, tenant: str = "", thread: str = "") -> None:
        self.host = host
        self.limits = limits
        self.key = SessionKey(tenant or f"tenant-{uuid.uuid4().hex}", thread or f"thread-{uuid.uuid4().hex}")
        self.generation = ""

    def with_limits(self, **changes: Any) -> "Tenant":
        return Tenant(self.host, replace(self.limits, **changes))

    def open(self) -> OpenedSession:
        opened = self.host.call(self.host.client.open(self.key, self.limits))
        self.generation = opened.generation
        return opened

    async def _execute(self, code: str, call_id: str) -> tuple[Event, ...]:
        return tuple([event async for event in self.host.client.execute(self.key, self.generation, call_id, code)])

    def start(self, code: str, call_id: str = "") -> "Running":
        """Begin an execution and do not wait for it."""
        if not self.generation:
            self.open()
        return Running(self, code, call_id or uuid.uuid4().hex)

    def run(self, code: str, call_id: str = "") -> Outcome:
        """Execute, opening the session first if this tenant has none. `open` again after one that ended it."""
        return self.start(code, call_id).outcome()

    def probe(self, code: str, **given: Any) -> Any:
        """Execute a hostile snippet, and give what it told."""
        outcome = self.run(probe_of(code, **given))
        parts = outcome.stdout.split(MARK)
        assert len(parts) >= 3, f"the probe told nothing: {outcome.text[-3000:]} {outcome.done}\n{self.host.log()}"
        return json.loads(parts[-2])

    def start_probe(self, code: str, **given: Any) -> "Running":
        return self.start(probe_of(code, **given))

    def put(self, name: str, data: bytes, tag: str = "") -> None:
        if not self.generation:
            self.open()

        async def pieces() -> AsyncIterator[bytes]:
            yield data

        self.host.call(self.host.client.put(self.key, self.generation, name, pieces(), len(data), tag))

    def files(self) -> list[FileInfo]:
        return self.host.call(self.host.client.files(self.key, self.generation))

    def files_or_none(self) -> list[FileInfo] | None:
        """None: the session is not there any more."""
        try:
            return self.files()
        except SessionGone:
            return None

    def read(self, name: str, most: int = MIB, seconds: float = 20.0) -> bytes:
        async def whole() -> bytes:
            return b"".join([piece async for piece in self.host.client.read(self.key, self.generation, name, most)])

        return self.host.call(whole(), seconds)

    def interrupt(self) -> None:
        self.host.call(self.host.client.interrupt(self.key))

    def close(self) -> None:
        self.host.call(self.host.client.close(self.key))
        self.generation = ""

    def processes(self) -> list[int]:
        """The host's numbers of all that runs in the session, its launcher first; found by what its code starts."""
        mark = f"1000.{uuid.uuid4().int % 10**12:012}"
        started = self.run(f"import subprocess; marked = subprocess.Popen(['sleep', '{mark}'])")
        assert started.done.ok, started
        try:
            [marked] = so_many_with_words(1, "sleep", mark)
            parents = {pid: parent for pid, parent, _ in living()}
            found = marked
            while parents[found] not in (self.host.pid, 1):
                found = parents[found]
            return [found, *(pid for pid in below(found) if pid != marked)]
        finally:
            self.run("marked.kill(); marked.wait()")


class Running:
    """An execution under way."""

    def __init__(self, tenant: Tenant, code: str, call_id: str) -> None:
        self._future = asyncio.run_coroutine_threadsafe(tenant._execute(code, call_id), tenant.host._loop)

    def outcome(self) -> Outcome:
        """Raises TimeoutError after a time in which every test's code must have ended."""
        return Outcome(self._future.result(PATIENCE))

    @property
    def is_over(self) -> bool:
        return self._future.done()


def reachable(path: Path) -> bool:
    """Whether any user may get there and read it."""
    path = path.resolve()
    return all(each.stat().st_mode & 0o005 == 0o005 for each in (path, *path.parents))
