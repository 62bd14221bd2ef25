"""Programs of others as processes of a test, each out of an environment of its own that a make target makes."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import requests

from assistant_site.embedded.process import spawn, tail, wait_gone
from assistant_site.tests.stack import free_port

PROJECT = Path(__file__).resolve().parents[2]
READY_SECONDS = 90
STARTS = 3  # another test may take the port that was free a moment ago; the next start has another


class EndedWhileStarting(AssertionError):
    """The program ended before it answered; the text has its last words."""


class ForeignProgram:
    """A server on a loopback port, while its `with` block lasts. The path `health` answers 200 once it is ready."""

    name: ClassVar[str]
    environment: ClassVar[str]  # the folder, below the project's
    health: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.log = folder / f"{self.environment.strip('.')}-{self.port}.log"

    @classmethod
    def is_installed(cls) -> bool:
        return (PROJECT / cls.environment / "requirements.txt").is_file()  # written last

    @property
    def bin(self) -> Path:
        return PROJECT / self.environment / "bin"

    def command(self) -> Sequence[str | Path]:
        raise NotImplementedError

    def variables(self) -> Mapping[str, str]:
        """What its environment has beside PATH and HOME."""
        return {}

    def __enter__(self) -> Self:
        for _ in range(STARTS - 1):
            try:
                return self._start()
            except EndedWhileStarting:
                self.port = free_port()
        return self._start()

    def _start(self) -> Self:
        self._process = spawn(
            list(self.command()),
            log=self.log,
            death_signal=signal.SIGTERM,
            environment={"PATH": os.environ["PATH"], "HOME": str(self.folder), **self.variables()},
            folder=self.folder,
        )
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL to what is left of its session after five seconds."""
        if self._process.poll() is None:
            self._process.terminate()
        if not wait_gone(self._process.pid, 5, self._process):
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            if self._process.poll() is not None:
                raise EndedWhileStarting(f"{self.name} ended while starting\n{tail(self.log, lines=40)}")
            assert time.monotonic() < deadline, f"{self.name} is not ready\n{tail(self.log, lines=40)}"
            try:
                if requests.get(f"http://127.0.0.1:{self.port}{self.health}", timeout=2).ok:
                    return
            except requests.RequestException:
                time.sleep(0.1)
