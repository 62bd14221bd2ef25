"""The installation that is tormented: PostgreSQL, Valkey, webs and workers, each started again when it is dead."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from assistant_site.embedded.postgres import Postgres
from assistant_site.embedded.process import CannotStart, tail
from assistant_site.embedded.server import Server
from assistant_site.embedded.valkey import Valkey
from assistant_site.tests.stack import free_port

PROJECT = Path(__file__).resolve().parents[3]
# Processes die here, the machine does not: what was handed to the system is not lost. What was told as committed must
# have been handed over, so `synchronous_commit` stays on.
DATABASE_OPTIONS = {"fsync": "off", "full_page_writes": "off"}
LOOK_SECONDS = 0.03


class Site:
    """A thread, the *keeper*, starts every process and looks after it; everybody else only sends signals.

    (A child dies with the thread that started it, so the keeper must be one that lasts.)
    """

    def __init__(self, folder: Path, *, var: Path, sockets: Path, password: str, webs: int, workers: int) -> None:
        self.folder = folder
        self.points = folder / "points"
        self.postgres = Postgres(var, sockets, password=password, options=DATABASE_OPTIONS)
        self.valkey = Valkey(var, sockets)
        self.ports = {f"web-{number}": free_port() for number in range(1, webs + 1)}
        self.workers = [f"worker-{number}" for number in range(1, workers + 1)]
        self.pids: dict[str, int] = {}
        self.failure = ""
        self._down: dict[str, float] = {}  # servers that stay away until this moment
        self._tasks: queue.Queue[Callable[[], None]] = queue.Queue()
        self._ended = threading.Event()
        self._stopping = False
        self._nursery: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        for part in (self.points, folder / "log"):
            part.mkdir(parents=True, exist_ok=True)

    @property
    def members(self) -> list[str]:
        return [*self.ports, *self.workers]

    # --- For the driver ---------------------------------------------------------------------------------------------

    def start_servers(self) -> None:
        self._keeper.start()
        self._in_keeper(self._start_servers)

    def start_members(self) -> None:
        self._in_keeper(self._start_nursery)

    def stop(self) -> None:
        self._stopping = True
        self._ended.set()
        self._keeper.join(60)

    def signal(self, member: str, number: signal.Signals, *, group: bool = True) -> bool:
        """False if it is not there at the moment."""
        pid = self.pids.get(member)
        if pid is None:
            return False
        try:
            (os.killpg if group else os.kill)(pid, number)
        except ProcessLookupError:
            return False
        return True

    def kill_server(self, server: Server, *, down: float = 0.0) -> None:
        """SIGKILL; the keeper starts it again, after so many seconds."""
        self._down[server.key] = time.monotonic() + down
        if server._child is not None:
            # Of PostgreSQL only the first process: its sessions notice that it is gone and end themselves.
            with contextlib.suppress(ProcessLookupError):
                os.kill(server._child.pid, signal.SIGKILL)

    def restart_server(self, server: Server, *, down: float = 0.0) -> None:
        """As an operator would."""

        def again() -> None:
            self._down[server.key] = time.monotonic() + down
            server.stop()

        self._tasks.put(again)

    def logs(self, lines: int = 12) -> str:
        files = [*sorted((self.folder / "log").glob("*.log")), self.postgres.log, self.valkey.log]
        return "\n".join(f"--- {file.name} ---\n{tail(file, lines=lines)}" for file in files)

    # --- The keeper ---------------------------------------------------------------------------------------------------

    def _in_keeper(self, work: Callable[[], None]) -> None:
        done = threading.Event()
        problem: list[BaseException] = []

        def run() -> None:
            try:
                work()
            except BaseException as error:
                problem.append(error)
            done.set()

        self._tasks.put(run)
        done.wait()
        if problem:
            raise problem[0]

    def _keep(self) -> None:
        try:
            while not self._ended.wait(LOOK_SECONDS):
                with contextlib.suppress(queue.Empty):
                    while True:
                        self._tasks.get_nowait()()
                for server in (self.postgres, self.valkey):
                    self._tend(server)
        finally:
            if self._nursery is not None:
                assert self._nursery.stdin is not None
                self._nursery.stdin.close()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._nursery.wait(10)
                self._nursery.kill()
            for server in (self.valkey, self.postgres):
                server.stop()

    def _start_servers(self) -> None:
        for server in (self.valkey, self.postgres):
            server.begin()
        for server in (self.valkey, self.postgres):
            server.wait()

    def _tend(self, server: Server) -> None:
        if server.key not in self._down or time.monotonic() < self._down[server.key]:
            return
        try:
            if not server.claim.held:  # an operator's restart
                server.begin()
                server.wait()
            elif not server._running_still():
                server.tend()
        except CannotStart as problem:
            self.failure = str(problem)

    def _start_nursery(self) -> None:
        log = self.folder / "log" / "nursery.log"
        self._nursery = spawn_with_pipes([sys.executable, "-m", "runs.tests.chaos.launch", "nursery", self.folder], log)
        threading.Thread(target=self._hear, args=(self._nursery,), name="nursery", daemon=True).start()
        for member in self.members:
            self._bear(member)

    def _bear(self, member: str) -> None:
        assert self._nursery is not None
        assert self._nursery.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._nursery.stdin.write(json.dumps({"name": member, "port": self.ports.get(member)}).encode() + b"\n")
            self._nursery.stdin.flush()

    def _hear(self, nursery: subprocess.Popen[bytes]) -> None:
        assert nursery.stdout is not None
        for line in nursery.stdout:
            said = json.loads(line)
            if said["code"] is None:
                self.pids[said["name"]] = said["pid"]
                continue
            self.pids.pop(said["name"], None)
            if not self._stopping:
                self._bear(said["name"])
        if not self._stopping:
            self.failure = f"The nursery ended.\n{tail(self.folder / 'log' / 'nursery.log')}"


def spawn_with_pipes(command: list[str | Path], log: Path) -> subprocess.Popen[bytes]:
    with open(log, "ab") as out:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=out,
            cwd=PROJECT,
            start_new_session=True,
        )
