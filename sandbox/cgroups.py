"""Control groups (version 2) for sessions, where this process was given some to write to: exact limits per session."""

import contextlib
import itertools
import logging
import os
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("memory", "pids", "cpu")
MOST_PROCESSES = 96  # more than the limit inside: bubblewrap and the shell before it count too
PERIOD = 100_000  # microseconds, of which a session gets as many: one processor

NONE = (
    "The daemon has no cgroup of its own: a watchdog limits memory, and a session may be above its limit for a moment."
)

logger = logging.getLogger(__name__)


class Cgroup:
    """One session's."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        self.folder = folder
        self.processes = folder / "cgroup.procs"
        folder.mkdir()
        try:
            self._write("pids.max", str(MOST_PROCESSES))
            self._write("cpu.max", f"{PERIOD} {PERIOD}")
            self._write("memory.max", str(memory_bytes))
        except OSError:
            self.remove()
            raise
        for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
            with contextlib.suppress(OSError):  # a kernel without swap accounting has no such file
                self._write(name, value)

    def limit(self, memory_bytes: int) -> None:
        """Another limit of memory. Where the kernel refuses, the watchdog holds it alone."""
        with contextlib.suppress(OSError):
            self._write("memory.max", str(memory_bytes))

    def _write(self, name: str, value: str) -> None:
        """Into a file that the kernel has put there."""
        with open(self.folder / name, "r+") as file:
            file.write(value)

    @property
    def was_out_of_memory(self) -> bool:
        """Whether the kernel has ended processes of it for that."""
        with contextlib.suppress(OSError):
            events = dict(line.split() for line in (self.folder / "memory.events").read_text().splitlines())
            return int(events.get("oom_kill", "0")) > 0
        return False

    def kill(self) -> None:
        """Ends all its processes."""
        with contextlib.suppress(OSError):
            (self.folder / "cgroup.kill").write_text("1")

    def remove(self) -> None:
        """Once its processes are gone."""
        with contextlib.suppress(OSError):
            self.folder.rmdir()


class Cgroups:
    """Those of the daemon, which has moved into a leaf of its own: a cgroup with processes can limit no children."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)

    def make(self, memory_bytes: int) -> Cgroup | None:
        """A new one, for a session; None if the kernel refuses it: then the watchdog is alone."""
        try:
            return Cgroup(self.folder / f"session-{os.getpid()}-{next(self._numbers)}", memory_bytes)
        except OSError as error:
            logger.warning("No cgroup could be made for a session (%s); a watchdog limits its memory.", error)
            return None


def find(root: Path = ROOT, membership: Path = Path("/proc/self/cgroup")) -> Cgroups | None:
    """The cgroups that this process may divide; None: there are none. Moves this process into a leaf.

    Only a cgroup that holds no other process, but for those that started it, is taken: it was made for the daemon.
    """
    try:
        ours = next(line[3:] for line in membership.read_text().splitlines() if line.startswith("0::"))
        folder = root / ours.strip("/")
        if folder.name == "daemon":  # started again in the leaf that an earlier daemon has made
            folder = folder.parent
        offered = (folder / "cgroup.controllers").read_text().split()
        members = {int(pid) for pid in (folder / "cgroup.procs").read_text().split()}
        if ".." in ours or not set(CONTROLLERS) <= set(offered) or not members <= _lineage():
            return None
        leaf = folder / "daemon"
        leaf.mkdir(exist_ok=True)
        for pid in map(str, members):
            (leaf / "cgroup.procs").write_text(pid)
        (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in CONTROLLERS))
    except (OSError, StopIteration):
        return None
    return Cgroups(folder)


def _lineage() -> set[int]:
    """This process and those it descends from."""
    pids = set()
    pid = os.getpid()
    while pid:
        pids.add(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pids
