"""Figures as they come in, kept between runs of a benchmark, and their Markdown."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import installation
from benchmarks.load import figures

HOW: dict[str, Callable[[Sequence[float]], float | None]] = {
    "median": figures.median,
    "p95": lambda values: figures.percentile(values, 0.95),
    "p99": lambda values: figures.percentile(values, 0.99),
    "sum": lambda values: sum(values) if values else None,
    "most": lambda values: max(values, default=None),
    "least": lambda values: min(values, default=None),
}
BARE = "bare LLM"


class Report:
    """Samples by section, row and column. A row says once how its samples become a figure."""

    def __init__(self, columns: Sequence[str], kept: Path | None = None, of: str = "") -> None:
        self.columns = list(columns)
        self.of = of  # what is measured: the revision, the settings
        self.kept = kept
        self.rows: dict[str, dict[str, dict[str, Any]]] = {}
        self.problems: Counter[str] = Counter()
        self.others: dict[str, float] = {}  # cores that the rest of the machine used at most, by section

    def note(self, section: str, row: str, column: str, values: float | Iterable[float], how: str = "median") -> None:
        some = [float(values)] if isinstance(values, (int, float)) else [float(value) for value in values]
        made = self.rows.setdefault(section, {}).setdefault(row, {"how": how, "samples": {}})
        made["samples"].setdefault(column, []).extend(some)

    def problem(self, section: str, column: str, text: str) -> None:
        self.problems[f"{section}, {column}: {text}"] += 1

    def figure(self, section: str, row: str, column: str) -> float | None:
        made = self.rows.get(section, {}).get(row, {"how": "median", "samples": {}})
        return HOW[made["how"]](made["samples"].get(column, []))

    def forget(self, section: str) -> None:
        self.rows.pop(section, None)
        self.others.pop(section, None)

    def save(self) -> None:
        if self.kept:
            self.kept.parent.mkdir(parents=True, exist_ok=True)
            self.kept.write_text(
                json.dumps({"of": self.of, "columns": self.columns, "rows": self.rows, "others": self.others})
            )

    def load(self) -> bool:
        """Takes what an earlier run has kept, if it measured the same."""
        try:
            found = json.loads(self.kept.read_text()) if self.kept else {}
        except (OSError, ValueError):
            return False
        if (found.get("of"), found.get("columns")) != (self.of, self.columns):
            return False
        self.rows, self.others = found["rows"], found["others"]
        return True

    def lines(self, order: Sequence[str], titles: dict[str, str], compared: tuple[str, str] | None = None) -> list[str]:
        """A table for each section; with `compared`, how many times the second column is the first."""
        made: list[str] = []
        for section in order:
            rows = self.rows.get(section)
            if not rows:
                continue
            shown = [name for name in self.columns if any(name in row["samples"] for row in rows.values())]
            head = [titles.get(section, section), *shown]
            if compared and compared[1] in shown:
                head.append(f"{compared[1]} / {compared[0]}")
            body: list[list[float | str | None]] = []
            for name in rows:
                found = {column: self.figure(section, name, column) for column in shown}
                line: list[float | str | None] = [name, *found.values()]
                if len(head) > len(line):
                    assert compared
                    line.append(figures.ratio(found[compared[1]], found[compared[0]]))
                body.append(line)
            made += [*figures.table(head, body), ""]
        return made

    def ending(self) -> list[str]:
        """What went wrong, and how quiet the machine was."""
        lines = []
        if self.problems:
            lines += ["**Not right:**", "", *(f"- {count} × {text}" for text, count in self.problems.most_common()), ""]
        if self.others:
            noisiest = max(self.others, key=lambda name: self.others[name])
            lines.append(f"Others on this machine used {self.others[noisiest]:.2f} cores at most ({noisiest}).")
            lines.append("")
        return lines


def write(name: str, title: str, how: str, lines: Sequence[str], *, file: bool = True, shown: bool = True) -> str:
    """Stores the document as benchmarks/results/NAME.md, and prints it if it is to be `shown`.

    `how`: the command and its parameters.
    """
    text = "\n".join(
        [
            f"# {title}",
            "",
            f"{how} on {datetime.now(UTC):%Y-%m-%d}, revision {installation.revision()}: {installation.machine()}.",
            "",
            *lines,
        ]
    )
    text = text.rstrip() + "\n"
    if shown or not file:
        sys.stdout.write("\n" + text)
    if file:
        installation.RESULTS.mkdir(exist_ok=True)
        (installation.RESULTS / f"{name}.md").write_text(text)
    return text


def say(text: str) -> None:
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S}  {text}\n")
    sys.stderr.flush()
