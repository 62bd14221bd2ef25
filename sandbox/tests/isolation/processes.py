"""The processes of this machine, as tests of sandboxes ask about them."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path


def living() -> Iterator[tuple[int, int, str]]:
    """(process, its parent, its state) of all on this machine."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                after = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            yield int(entry), int(after[1]), after[0]


def below(pid: int) -> list[int]:
    """The descendants of a process that live."""
    children: dict[int, list[int]] = {}
    for each, parent, state in living():
        if state not in "ZX":
            children.setdefault(parent, []).append(each)
    found: list[int] = []
    left = [pid]
    while left:
        more = children.get(left.pop(), [])
        found += more
        left += more
    return found


def with_words(*words: str) -> list[int]:
    """The processes that were started with exactly these words."""
    wanted = "".join(f"{word}\0" for word in words).encode()
    found = []
    for pid, _, _ in living():
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes() == wanted:
                found.append(pid)
        except OSError:
            continue
    return found


def so_many_with_words(count: int, *words: str) -> list[int]:
    """The same once there are so many of them: a new process has no words for a moment."""
    deadline = time.monotonic() + 30
    while len(found := with_words(*words)) != count:
        assert time.monotonic() < deadline, (words, found)
        time.sleep(0.01)
    return found


def threads_below(pid: int, at_least: int) -> list[int]:
    """A process's descendants, once they have so many threads together; after half a minute at the latest."""
    deadline = time.monotonic() + 30
    while sum(map(threads_of, found := below(pid))) < at_least and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def is_running(pid: int) -> bool:
    """Whether a process lives; one that has ended and was not yet reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone_within(seconds: float, pids: list[int]) -> bool:
    """Whether none of these processes lives after so long at most."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(is_running(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def threads_of(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0


def end(pids: list[int]) -> None:
    """Kill what a test has started and should be gone already."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
