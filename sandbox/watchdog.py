"""What a session uses, seen from outside: memory, files, descriptors. Where there are no cgroups this is the wall."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from sandbox.protocol import MIB, Limits, Reason

BUSY_SECONDS, IDLE_SECONDS = 0.25, 2.0
MOST_FILES = 20_000
MOST_DESCRIPTORS = 2_048  # of the whole session: full sockets and pipes are the kernel's memory, not a process's
TMPFS = ("/mnt/data", "/tmp", "/dev/shm")  # noqa: S108 the sandbox's own


@dataclass(frozen=True)
class Use:
    memory: int  # bytes: anonymous, shared and in tmpfs
    files: int
    descriptors: int

    def beyond(self, limits: Limits) -> Reason | None:
        """Which limit has been crossed, if one has."""
        if self.memory > limits.memory_bytes or self.descriptors > MOST_DESCRIPTORS:
            return Reason.MEMORY
        return Reason.DISK if self.files > MOST_FILES else None


def look(init: int) -> Use:
    """What the sandbox with this pid 1 uses now; what has just ended counts nothing."""
    memory = descriptors = 0
    for pid in tree(init):
        memory += resident(pid)
        with contextlib.suppress(OSError):
            # Since Linux 6.2 the folder's size is their number; before, it is 0.
            folder = f"/proc/{pid}/fd"
            descriptors += os.stat(folder).st_size or len(os.listdir(folder))
    files = 0
    for path in TMPFS:
        with contextlib.suppress(OSError):
            status = os.statvfs(f"/proc/{init}/root{path}")
            memory += (status.f_blocks - status.f_bfree) * status.f_frsize
            files += status.f_files - status.f_ffree
    return Use(memory, files, descriptors)


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


def resident(pid: int) -> int:
    """Bytes of anonymous and of shared memory; mapped files are the page cache's."""
    total = 0
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/status", "rb") as file:
        for line in file:
            if line.startswith((b"RssAnon:", b"RssShmem:")):
                total += int(line.split()[1]) * 1024
    return total


def in_words(reason: Reason, limits: Limits) -> str:
    """What the model is told of a session that was ended for using too much."""
    if reason == Reason.MEMORY:
        return (
            f"The code used more than the {limits.memory_bytes // MIB:,} MiB of memory that it may use "
            "(files in /tmp and /mnt/data count), and was ended."
        )
    return f"The code made more than the {MOST_FILES:,} files that it may have, and was ended."
