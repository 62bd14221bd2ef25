"""What a process that reads a stranger's file may use. Set by itself, before it opens the file.

Where the system has no such limit (macOS has no parent-death signal, and does not keep `RLIMIT_AS`), it is left out:
the parent's clock holds everywhere.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys

_WRITTEN_BYTES = 64 * 1024 * 1024  # per file: the answer, a page to recognise, a piece of sound
_OPEN_FILES = 64
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


def confine(*, parent: int, seconds: int, memory_bytes: int) -> None:
    """Limits this process and all it starts, and ties its life to that of `parent`."""
    die_with_parent()
    if os.getppid() != parent:  # it died before it could be told
        os._exit(1)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, seconds)
    _limit(resource.RLIMIT_FSIZE, _WRITTEN_BYTES)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_AS, memory_bytes)
    with contextlib.suppress(OSError):
        os.nice(19)


def die_with_parent() -> None:
    """Linux kills this process when the thread that started it ends; it can gain no rights by starting programs."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _limit(which: int, value: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        hard = resource.getrlimit(which)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (allowed, allowed))
