"""CPU time and memory of the processes of an installation, by what they are."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

APP = ("up", "web", "worker", "ingestion", "sandbox")
SERVERS = ("postgres", "valkey")
PARTS = (*APP, *SERVERS)

_TICK = os.sysconf("SC_CLK_TCK")
_WEB = ("daphne", "uvicorn", "granian", "hypercorn", " serve")


def part_of(command: str, environment: str, parent: str) -> str:
    """What a process is, by its command line; what says nothing of itself is what its parent is."""
    program = command.split(" ", 1)[0]
    if "sandbox.daemon" in command or parent == "sandbox":
        return "sandbox"
    if "postgres" in program:
        return "postgres"
    if "valkey-server" in program:
        return "valkey"
    if "qcluster" in command:
        is_ingestion = "--name ingestion" in command or "Q_CLUSTER_NAME=ingestion" in environment
        return "ingestion" if is_ingestion else "worker"
    if any(word in command for word in _WEB):
        return "web"
    if "manage.py up" in command:
        return "up"
    return parent or "up"


@dataclass(frozen=True)
class _Process:
    pid: int
    parent: int
    cpu: float  # seconds, its ended children's included


def _all() -> dict[int, _Process]:
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            words = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found[int(entry)] = _Process(int(entry), int(words[1]), sum(int(word) for word in words[11:15]) / _TICK)
    return found


def _text(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


class Processes:
    """The trees below some processes. Each process's part is found once."""

    def __init__(self, *roots: int) -> None:
        self.roots = roots
        self._parts: dict[tuple[int, int], str] = {}

    def by_part(self) -> dict[str, list[_Process]]:
        everything = _all()
        children: dict[int, list[int]] = {}
        for process in everything.values():
            children.setdefault(process.parent, []).append(process.pid)
        found: dict[str, list[_Process]] = {}
        todo = [(pid, "") for pid in self.roots if pid in everything]
        while todo:
            pid, parent = todo.pop()
            key = (pid, everything[pid].parent)
            if key not in self._parts:
                self._parts[key] = part_of(_text(pid, "cmdline"), _text(pid, "environ"), parent)
            part = self._parts[key]
            found.setdefault(part, []).append(everything[pid])
            todo += [(child, part) for child in children.get(pid, ())]
        return found

    def cpu(self) -> dict[str, float]:
        """CPU seconds of each part so far."""
        return {part: sum(each.cpu for each in some) for part, some in self.by_part().items()}

    def memory(self) -> dict[str, float]:
        """MiB of each part: its proportional set size, so that shared pages are counted once."""
        return {part: sum(_pss(each.pid) for each in some) for part, some in sorted(self.by_part().items())}

    def counts(self) -> dict[str, int]:
        return {part: len(some) for part, some in self.by_part().items()}


def _pss(pid: int) -> float:
    for line in _text(pid, "smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def app(figures: Mapping[str, float]) -> float:
    """The sum over the processes that are Holdfast's own."""
    return sum(figures.get(part, 0.0) for part in APP)


def servers(figures: Mapping[str, float]) -> float:
    return sum(figures.get(part, 0.0) for part in SERVERS)
