"""Processes we start: they end when we end, however we end; and locks that say who started what."""

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # <linux/prctl.h>
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class Pollable(Protocol):
    def poll(self) -> int | None: ...


class CannotStart(Exception):
    """Something we need cannot be started; the text is a whole sentence for the operator."""


class Claim:
    """Who runs something in a folder: a lock that the system gives back when its process dies.

    A record lock, not flock: forked children (the worker forks) must not keep it. So it does not exclude threads
    of one process, and the file must not be opened elsewhere in the process that holds it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._handle: int | None = None
        self._pid = 0

    @property
    def held(self) -> bool:
        """Whether this process has it; a forked child of the holder has not."""
        return self._handle is not None and self._pid == os.getpid()

    def take(self) -> bool:
        """Take it if nobody has it; True when it is (or was already) ours. Raises OSError: the folder is unusable."""
        if self.held:
            return True
        handle = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            os.close(handle)
            return False
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._handle, self._pid = handle, os.getpid()
        return True

    def holder(self) -> str:
        """The process number that the holder wrote, for messages. Not to be called while we hold it."""
        return self.file.read_text().strip() or "unknown"

    def release(self) -> None:
        if self.held:
            assert self._handle is not None
            os.close(self._handle)
        self._handle = None


def alive(pid: int) -> bool:
    """Whether the process runs. A zombie, dead but not yet fetched by its parent, does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        # After the name in brackets, which may hold anything, comes the state.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return sys.platform != "linux"
    except (OSError, IndexError):
        return True


def command_line(pid: int) -> str:
    """The process's arguments, joined by spaces; empty when it is gone."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return ""
    shown = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip()


def dies_with_us(death_signal: signal.Signals) -> Callable[[], None] | None:
    """What a child does between fork and exec so that it gets the signal once the thread that started it is gone."""
    return None if _libc is None else partial(die_with, death_signal, os.getpid())


def die_with(death_signal: signal.Signals, parent: int) -> None:
    """This process gets the signal once the thread of its parent that started or adopted it is gone (Linux)."""
    if _libc is None:
        return
    _libc.prctl(PR_SET_PDEATHSIG, int(death_signal))
    if os.getppid() != parent:  # it died before we asked to be told
        os._exit(1)


@contextlib.contextmanager
def adopting() -> Iterator[bool]:
    """Meanwhile this process is made the parent of what its children leave behind, where the system knows how (Linux).

    Only meanwhile: of those whom others leave, such as the sandbox, nobody here would ever ask how they ended.
    """
    is_adopting = _libc is not None and _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield is_adopting
    finally:
        if _libc is not None:
            _libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path | None,
    death_signal: signal.Signals | None,
    environment: Mapping[str, str] | None = None,
    folder: Path | str | None = None,
    own_session: bool = True,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own (Ctrl-C in the terminal is for us to pass on), output appended to `log`.

    `death_signal`: sent to it when the calling *thread* ends, even by kill -9 (Linux; elsewhere nothing is sent);
    None if the command arranges for it. `log`: None if it writes where we do. Raises OSError.
    """
    with open(log, "ab") if log else contextlib.nullcontext() as out:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT if log else None,
            env=None if environment is None else dict(environment),
            cwd=folder,
            start_new_session=own_session,
            preexec_fn=dies_with_us(death_signal) if death_signal else None,
        )


def wait_gone(pid: int, seconds: float, child: Pollable | None = None) -> bool:
    """Wait until the process has ended; False if it is still there after `seconds`. `child`: it is ours to fetch."""
    deadline = time.monotonic() + seconds
    while (child.poll() is None) if child else alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def tail(log: Path, start: int = 0, lines: int = 15) -> str:
    """The last lines a log got after the byte `start`; empty when there are none."""
    try:
        with open(log, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - 16_384))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def size_of(log: Path) -> int:
    """Bytes in the log; 0 when there is none."""
    try:
        return log.stat().st_size
    except OSError:
        return 0
