"""What was tried and what held: counted as it happens, told at the end."""

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass
class Row:
    times: int = 0
    runs: int = 0
    violations: int = 0


@dataclass
class Report:
    seed: int
    kills: int = 0
    runs: int = 0
    readers: int = 0
    rounds: int = 0
    violations: int = 0
    faults: dict[str, Row] = field(default_factory=lambda: defaultdict(Row))
    stories: dict[str, Row] = field(default_factory=lambda: defaultdict(Row))
    ends: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def happened(self, fault: str, runs: int, *, kills: int) -> None:
        self.faults[fault].times += 1
        self.faults[fault].runs += runs
        self.kills += kills

    def judged(self, story: str, touched: set[str], violated: bool) -> None:
        self.runs += 1
        self.stories[story].times += 1
        self.stories[story].runs += bool(touched)
        if violated:
            self.violations += 1
            self.stories[story].violations += 1
            for fault in touched:
                self.faults[fault].violations += 1

    def table(self, seconds: float) -> str:
        per_kill = f", {seconds / self.kills:.1f} s a kill" if self.kills else ""
        lines = [
            *_table("fault", "runs touched", self.faults),
            "",
            *_table("story", "touched by a fault", self.stories),
            "",
            "ends: " + ", ".join(f"{times} {status}" for status, times in sorted(self.ends.items())),
            f"seed {self.seed}: {self.kills} kills in {self.rounds} rounds, {self.runs} runs, {self.readers} readers, "
            f"{seconds:.0f} s{per_kill}: {self.violations or 'no'} runs with violations",
        ]
        return "\n".join(lines)


def _table(subject: str, runs: str, rows: dict[str, Row]) -> list[str]:
    width = max([len(subject), *map(len, rows)])
    lines = [f"{subject:{width}} | {'times':>6} | {runs:>18} | violations"]
    lines.append("-|-".join(["-" * width, "-" * 6, "-" * 18, "-" * 10]))
    for name, row in sorted(rows.items()):
        lines.append(f"{name:{width}} | {row.times:6} | {row.runs:18} | {row.violations:10}")
    return lines
