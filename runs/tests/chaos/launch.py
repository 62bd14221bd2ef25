"""Where the suite's workers and webs come from.

A worker takes two seconds of processor time to load itself, and the suite kills a thousand of them. So a *nursery*
loads everything once and forks each worker from there; it tells the driver of births and deaths. Webs are started
anew, for their event loop cannot be forked.

    python -m runs.tests.chaos.launch nursery FOLDER
    python -m runs.tests.chaos.launch web FOLDER NAME PORT
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Birth:
    """What a fresh child of the nursery is to become."""

    name: str
    port: int | None


class Nursery:
    """Reads `{"name": …, "port": …}` per line from standard input, writes `{"name", "pid", "code"}` at each death."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: dict[int, str] = {}

    def serve(self) -> Birth | None:
        """Returns in a child, with what it is to be; in the nursery itself only when the driver is gone: None."""
        wake_in, wake_out = os.pipe()
        os.set_blocking(wake_in, False)
        os.set_blocking(wake_out, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_out)
        waiting = b""
        while True:
            ready, _, _ = select.select([0, wake_in], [], [])
            if wake_in in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake_in, 4096)
                self._bury()
            if 0 in ready:
                piece = os.read(0, 65536)
                if not piece:
                    self._end_all()
                    return None
                *lines, waiting = (waiting + piece).split(b"\n")
                for line in lines:
                    birth = Birth(**json.loads(line))
                    if (pid := os.fork()) == 0:
                        signal.set_wakeup_fd(-1)
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        os.close(wake_in)
                        os.close(wake_out)
                        return birth
                    self._names[pid] = birth.name
                    self._say(name=birth.name, pid=pid, code=None)

    def _bury(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = found
                with contextlib.suppress(ProcessLookupError):  # as a container would: nobody of the group outlives it
                    os.killpg(pid, signal.SIGKILL)
                self._say(name=self._names.pop(pid, "?"), pid=pid, code=os.waitstatus_to_exitcode(status))

    def _end_all(self) -> None:
        for pid in self._names:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    @staticmethod
    def _say(**what: Any) -> None:
        os.write(1, json.dumps(what).encode() + b"\n")


def settle_in(folder: Path, name: str) -> None:
    """A child's own session, log and death with its parent."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    log = os.open(folder / "log" / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)


def load_worker() -> None:
    """All that a worker imports in its life."""
    import asyncio

    import django

    django.setup()
    import psycopg  # noqa: F401

    import assistant_site.cluster  # noqa: F401
    import runs.engine  # noqa: F401
    from assistant_site.llm import transport

    asyncio.run(transport.warm_up())


def be_worker(folder: Path, name: str) -> None:
    """`manage.py qcluster`."""
    from django.core.management import execute_from_command_line

    from runs.tests.chaos import points

    points.install_worker(folder / "points", name)
    execute_from_command_line(["manage.py", "qcluster"])


def be_web(folder: Path, name: str, port: int) -> None:
    """`daphne assistant_site.asgi:application`."""
    import django

    django.setup()
    from daphne.cli import CommandLineInterface

    from runs.tests.chaos import points

    points.install_web(folder / "points", name)
    address = ["-b", "127.0.0.1", "-p", str(port), "--application-close-timeout", "5", "-v", "0"]
    sys.argv = ["daphne", *address, "assistant_site.asgi:application"]
    CommandLineInterface.entrypoint()


def main() -> None:
    kind, folder = sys.argv[1], Path(sys.argv[2])
    if kind == "web":
        be_web(folder, sys.argv[3], int(sys.argv[4]))
        return
    load_worker()
    birth = Nursery(folder).serve()
    if birth is None:
        return
    settle_in(folder, birth.name)
    if birth.port is not None:
        module = ["-m", "runs.tests.chaos.launch", "web", str(folder), birth.name, str(birth.port)]
        os.execv(sys.executable, [sys.executable, *module])
    be_worker(folder, birth.name)


if __name__ == "__main__":
    main()
