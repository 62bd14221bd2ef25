"""The web, worker, ingestion and sandbox processes that `manage.py up` keeps running."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from assistant_site.embedded.commands import CHILD_OF_UP
from assistant_site.embedded.nursery import Born, Nursery
from assistant_site.embedded.process import size_of, spawn, wait_gone

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60  # a process that lived so long is started again at once
LOG_BYTES = 20_000_000
WORTH_SEEING = (" WARNING ", " ERROR ", " CRITICAL ")


class Log:
    """A child's log file: kept small, and its warnings shown on the console too.

    The child writes the file itself, so it can go on writing while we are gone.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._read = size_of(file)
        self._in_traceback = False

    def skip(self) -> None:
        """Leave out what is there already, such as the last words of an earlier process."""
        self._read = size_of(self.file)

    def news(self) -> list[str]:
        """The lines since the last call that an operator should see: warnings, errors, exceptions."""
        size = size_of(self.file)
        if size < self._read:
            self._read = 0
        if size == self._read:
            return []
        with open(self.file, "rb") as file:
            file.seek(self._read)
            data = file.read(1_000_000)
        whole = data[: data.rfind(b"\n") + 1] if b"\n" in data else b""
        self._read += len(whole)
        if size > LOG_BYTES and self._read >= size:
            self._turn_over()
        return [line for line in whole.decode(errors="replace").splitlines() if self._worth_seeing(line)]

    def _worth_seeing(self, line: str) -> bool:
        """Of a traceback only its last line, which names the exception: the first that is not indented."""
        if line.startswith("Traceback "):
            self._in_traceback = True
            return False
        if self._in_traceback:
            if not line or line[0].isspace():
                return False
            self._in_traceback = False
            return True
        return any(word in line[:60] for word in WORTH_SEEING)

    def _turn_over(self) -> None:
        """Keep one old part. The writer appends, so the file may be cut under it."""
        self.file.with_suffix(".log.1").write_bytes(self.file.read_bytes())
        os.truncate(self.file, 0)
        self._read = 0


class Child:
    """One process that is started again when it dies, after a pause that grows while it keeps dying."""

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        folder: Path,
        log: Path,
        stop_seconds: float,
        say: Callable[[str], None],
        environment: Mapping[str, str] | None = None,
        nursery: Nursery | None = None,
        knows_ours: bool = True,
        is_vital: bool = True,
        is_recycled: bool = False,
    ) -> None:
        """`environment`: added to ours, or all there is unless it `knows_ours`. `is_vital`: we do not start without.

        `nursery`: it is born of that, if it can be: a command of `manage.py`, which is its second word.

        `is_recycled`: it may end with 0, to be replaced at once.
        """
        self.name = name
        self.command = command
        self.environment = dict(environment or {})
        self.nursery = nursery
        self.knows_ours = knows_ours
        self.is_vital = is_vital
        self.is_recycled = is_recycled
        self.folder = folder
        self.log = Log(log)
        self.stop_seconds = stop_seconds
        self.deaths = 0  # in a row, without a steady time between
        self._say = say
        self._process: subprocess.Popen[bytes] | Born | None = None
        self._started_at = 0.0
        self._start_again_at = 0.0

    @property
    def pid(self) -> int | None:
        """Its process number while it is running, as far as we know."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it; raises OSError."""
        if not self.deaths:
            self.log.skip()
        self._spawn()

    def _spawn(self) -> None:
        self._started_at = time.monotonic()
        self._process = self._born() or spawn(
            self.command,
            log=self.log.file,
            death_signal=signal.SIGTERM,
            environment=os.environ | {CHILD_OF_UP: "1"} | self.environment if self.knows_ours else self.environment,
            folder=self.folder,
        )

    def _born(self) -> Born | None:
        if self.nursery is None:
            return None
        return self.nursery.bear(self.command[2:], log=self.log.file, environment=self.environment)

    def tend(self) -> bool:
        """Start it again if it died and its pause is over; True if there is another process now."""
        if self._process is None:
            if time.monotonic() < self._start_again_at:
                return False
            self.start()
            self._say(f"The {self.name} process has been started again.")
            return True
        code = self._process.poll()
        if code is None:
            return False
        self._end_group()
        self._process = None
        if code == 0 and self.is_recycled:
            self.deaths = 0
            self._spawn()
            return True
        self.deaths = 1 if time.monotonic() - self._started_at > STEADY_SECONDS else self.deaths + 1
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (self.deaths - 1), LONGEST_PAUSE_SECONDS)
        self._start_again_at = time.monotonic() + pause
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        self._say(f"The {self.name} process {how}; it starts again in {pause:g} s. Its log: {self.log.file}")
        return False

    def ask_to_stop(self) -> None:
        """Send SIGTERM: finish what is under way, take no more."""
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def wait_stopped(self, deadline: float) -> None:
        """Wait until `deadline` (monotonic) for it to end by itself, then end it and all it started."""
        if self._process is None:
            return
        pid = self._process.pid
        if not wait_gone(pid, max(0.0, deadline - time.monotonic()), self._process):
            self._say(f"The {self.name} process does not end by itself; ending it.")
        self._end_group()
        self._process.wait()
        self._process = None

    def _end_group(self) -> None:
        """Kill what is left of its session: its own children, or itself."""
        assert self._process is not None
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # macOS answers the latter for a group of zombies
            return
