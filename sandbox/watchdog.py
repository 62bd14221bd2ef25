"""What a session uses, seen from outside: memory, files, descriptors. Where there are no cgroups this is the wall."""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from sandbox.protocol import MIB, Limits, Reason

BUSY_SECONDS, IDLE_SECONDS = 0.25, 0.5  # idle ones may have left something running: a look takes 0.3 ms
MOST_FILES = 20_000
MOST_DESCRIPTORS = 2_048  # of the whole session: full sockets and pipes are the kernel's memory, not a process's
MOST_SHARED = 4  # times the memory limit, of what processes have in all if each counts what it shares
TMPFS = ("/mnt/data", "/tmp", "/dev/shm")  # noqa: S108 the sandbox's own


RESIDENT = re.compile(rb"^(?:RssAnon|RssShmem|VmSwap):\s+(\d+) kB$", re.MULTILINE)
SHARE = re.compile(rb"^(?:Pss_Anon|Pss_Shmem|SwapPss):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True)
class Use:
    memory: int  # bytes: anonymous, shared, swapped and in tmpfs
    files: int
    descriptors: int

    def beyond(self, limits: Limits) -> Reason | None:
        """Which limit has been crossed, if one has."""
        if self.memory > limits.memory_bytes or self.descriptors > MOST_DESCRIPTORS:
            return Reason.MEMORY
        return Reason.DISK if self.files > MOST_FILES else None


def look(init: int, limits: Limits) -> Use:
    """What the sandbox with this pid 1 uses now; what has just ended counts nothing."""
    processes = list(tree(init))
    memory = sum(kilobytes(RESIDENT, f"/proc/{pid}/status") for pid in processes) * 1024
    descriptors = sum(map(descriptors_of, processes))
    in_files = files = 0
    for path in TMPFS:
        with contextlib.suppress(OSError):
            status = os.statvfs(f"/proc/{init}/root{path}")
            in_files += (status.f_blocks - status.f_bfree) * status.f_frsize
            files += status.f_files - status.f_ffree
    if limits.memory_bytes < memory + in_files <= MOST_SHARED * limits.memory_bytes and len(processes) > 1:
        # Forked processes share most of theirs, which was counted for each of them. What each really has takes a
        # hundred times longer to find out, so it is asked only now, and only as long as that stays short.
        memory = min(memory, sum(share(pid) for pid in processes))
    return Use(memory + in_files, files, descriptors)


def descriptors_of(pid: int) -> int:
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        # Since Linux 6.2 the folder's size is their number; before, it is 0.
        return os.stat(folder).st_size or len(os.listdir(folder))
    return 0


def tree(pid: int) -> Iterator[int]:
    """A process and all that come from it. Orphans belong to the sandbox's pid 1, so none is missed."""
    waiting = [pid]
    while waiting:
        pid = waiting.pop()
        yield pid
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children") as file:
                    waiting += map(int, file.read().split())


def share(pid: int) -> int:
    """Bytes of a process, with what it shares divided among those that share it; all of it if nobody can tell."""
    path = f"/proc/{pid}/smaps_rollup"
    return (kilobytes(SHARE, path) or kilobytes(RESIDENT, f"/proc/{pid}/status")) * 1024


def kilobytes(what: re.Pattern[bytes], path: str) -> int:
    """The sum of some lines of one of the kernel's files; 0 for a process that has just ended."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return sum(map(int, what.findall(file.read())))
    return 0


def in_words(reason: Reason, limits: Limits) -> str:
    """What the model is told of a session that was ended for using too much."""
    if reason == Reason.MEMORY:
        return (
            f"The code used more than the {limits.memory_bytes // MIB:,} MiB of memory that it may use "
            "(files in /tmp and /mnt/data count), and was ended."
        )
    return f"The code made more than the {MOST_FILES:,} files that it may have, and was ended."
