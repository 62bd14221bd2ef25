"""Real web and worker processes for tests, on the test session's PostgreSQL and Valkey."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from assistant_site.embedded import address
from assistant_site.embedded.process import spawn, tail, wait_gone

ADMIN_TOKEN = "an admin token for tests"
READY_SECONDS = 90
STOP_SECONDS = 15


def free_port() -> int:
    """A port of the loopback interface that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Member:
    """One process of the stack; `port` only for a web process."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    port: int | None = None
    process: subprocess.Popen[bytes] | None = None


class Stack:
    """Web processes `web-1` …, workers `worker-1` … and `ingestion-1` … as in production, each on the test database.

    With `sandbox` there is a `sandbox-1` too, for the code interpreter.

    `env` is added to their environment (for instance OPENAI_BASE_URL); by default the first web's demo model answers.
    `folder` gets the logs, whose ends are shown when a test fails. Usable in a `with` statement.
    """

    started: ClassVar[list["Stack"]] = []  # those whose logs belong to the test that runs now

    def __init__(
        self,
        *,
        folder: Path,
        webs: int = 1,
        workers: int = 1,
        ingestions: int = 1,
        sandbox: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> None:
        from django.conf import settings

        self.folder = folder
        ports = [free_port() for _ in range(max(webs, 1))]
        shared = os.environ | {
            "HOLDFAST_VAR": str(settings.VAR_DIR),
            "DATABASE_URL": database_url(),
            "REDIS_URL": settings.VALKEY_URL,
            "PORT": str(ports[0]),
            "DEMO_BASE_URL": f"http://127.0.0.1:{ports[0]}/demo/v1",
            "PYTHONUNBUFFERED": "1",
            "FETCH_ALLOWED_HOSTS": "localhost",  # by this name, tests let the processes fetch from their own servers
            "SANDBOX_URLS": f"unix://{folder}/sandbox.sock",
            "ADMIN_TOKEN": ADMIN_TOKEN,
            **(env or {}),
        }
        self._members: dict[str, Member] = {}
        for number, port in enumerate(ports[:webs], start=1):
            web = [sys.executable, "manage.py", "serve"]
            at = {"HOST": "127.0.0.1", "PORT": str(port)}
            self._add(Member(f"web-{number}", web, shared | at, folder / f"web-{number}.log", port))
        for number in range(1, workers + 1):
            worker = [sys.executable, "manage.py", "qcluster"]
            self._add(Member(f"worker-{number}", worker, dict(shared), folder / f"worker-{number}.log"))
        for number in range(1, ingestions + 1):
            worker = [sys.executable, "manage.py", "qcluster"]
            environment = shared | {"Q_CLUSTER_NAME": "ingestion"}
            self._add(Member(f"ingestion-{number}", worker, environment, folder / f"ingestion-{number}.log"))
        if sandbox:
            from sandbox.tests.environments import environment_for_tests

            own = {name: value for name, value in (env or {}).items() if name.startswith("SANDBOX_")}
            environment = {"PATH": os.environ["PATH"], "SANDBOX_SOCKET": str(folder / "sandbox.sock")}
            environment |= {"SANDBOX_ENVIRONMENT": str(environment_for_tests()), **own}
            command = [sys.executable, "-m", "sandbox.daemon"]
            self._add(Member("sandbox-1", command, environment, folder / "sandbox-1.log"))

    def __str__(self) -> str:
        return ", ".join(self._members)

    def __enter__(self) -> "Stack":
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def is_running(self) -> bool:
        """Whether any of its processes was started and not stopped."""
        return any(member.process for member in self._members.values())

    @property
    def urls(self) -> list[str]:
        """The address of each web process, without a path."""
        return [f"http://127.0.0.1:{member.port}" for member in self._members.values() if member.port]

    @property
    def url(self) -> str:
        """The first web's address, without a path."""
        return self.urls[0]

    @property
    def base_url(self) -> str:
        """What goes into the SDK's `base_url`."""
        return f"{self.url}/v1"

    def start(self, *names: str) -> None:
        """Start these processes, or all."""
        for name in names or self._members:
            member = self._members[name]
            member.process = spawn(
                member.command,
                log=member.log,
                death_signal=signal.SIGTERM,
                environment=member.environment,
                folder=Path(__file__).resolve().parents[2],
            )
        if self not in Stack.started:
            Stack.started.append(self)

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until /readyz of every running web answers 200; AssertionError with the logs if one does not."""
        deadline = time.monotonic() + seconds
        for member in self._members.values():
            if member.port is None or member.process is None:
                continue
            while missing := address.not_ready("127.0.0.1", member.port):
                ended = [
                    each.name for each in self._members.values() if each.process and each.process.poll() is not None
                ]
                assert not ended, f"{ended} ended while starting\n{self.logs()}"
                assert time.monotonic() < deadline, f"{member.name} is not ready: {missing}\n{self.logs()}"
                time.sleep(0.05)

    def stop(self, *names: str) -> None:
        """End these processes, or all, as an operator would: SIGTERM, and SIGKILL for what refuses."""
        members = [self._members[name] for name in names or self._members]
        for member in members:
            if member.process and member.process.poll() is None:
                member.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for member in members:
            if member.process:
                wait_gone(member.process.pid, max(0.1, deadline - time.monotonic()), member.process)
                self._end_group(member)

    @classmethod
    @contextlib.contextmanager
    def workers_of_others_rest(cls) -> Iterator[None]:
        """Meanwhile the workers of all running stacks are stopped, also those of ingestion.

        Runs and files are for those that are started now.
        """
        resting = [(stack, name) for stack in cls.started for name, member in stack._members.items() if member.process]
        resting = [(stack, name) for stack, name in resting if name.startswith(("worker-", "ingestion-"))]
        for stack, name in resting:
            stack.stop(name)
        try:
            yield
        finally:
            for stack, name in resting:
                stack.start(name)

    def kill(self, name: str) -> None:
        """SIGKILL to the process and all its children: a machine that is gone."""
        self._end_group(self._members[name])

    def restart(self, name: str) -> None:
        """Stop one process if it runs, and start it again."""
        self.stop(name)
        self.start(name)

    def pid(self, name: str) -> int:
        """The process number of a running member."""
        process = self._members[name].process
        assert process is not None
        return process.pid

    def logs(self, lines: int = 40) -> str:
        """The end of every member's log."""
        return "\n".join(f"--- {each.name} ---\n{tail(each.log, lines=lines)}" for each in self._members.values())

    def _add(self, member: Member) -> None:
        self._members[member.name] = member

    def _end_group(self, member: Member) -> None:
        if member.process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(member.process.pid, signal.SIGKILL)
        member.process.wait()
        member.process = None


def database_url() -> str:
    """The test database as a DATABASE_URL."""
    from django.db import connection

    found = connection.settings_dict
    password, host = quote(found["PASSWORD"], safe=""), quote(found["HOST"], safe="")
    return f"postgres://{found['USER']}:{password}@{host}/{found['NAME']}"
