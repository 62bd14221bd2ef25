"""Calculates the table of docs/scaling.md from the figures at its top, and writes it there.

python -m benchmarks.arithmetic          writes it
python -m benchmarks.arithmetic --check  only says whether it is what the figures give
"""

import math
import re
import sys
from pathlib import Path

from benchmarks.load.checkout import PROJECT
from benchmarks.load.figures import table

DOCUMENT = PROJECT / "docs" / "scaling.md"
BEGIN, END = "<!-- calculated -->", "<!-- /calculated -->"
CONCURRENT = (1_000, 10_000, 100_000)
_FIGURE = re.compile(r"^\| ([^|]+?) \| ([\d.,]+) \| ", re.MULTILINE)
GIB = 2**20  # in KiB


def figures_of(text: str) -> dict[str, float]:
    """The figures at the document's top, by their names."""
    return {name: float(value.replace(",", "")) for name, value in _FIGURE.findall(text.split(BEGIN)[0])}


def calculate(given: dict[str, float], concurrent: int) -> dict[str, float | int | str]:
    """What so many runs at once need."""
    runs = concurrent / given["seconds of a run"]
    tokens = runs * given["tokens of a run"]

    def cores(part: str) -> float:
        return (runs * given[f"CPU of {part} per run, ms"] + tokens * given[f"CPU of {part} per token, ms"]) / 1_000

    def processes(part: str) -> int:
        return math.ceil(cores(part) / given["share of a core in use"])

    webs = processes("web")
    workers = max(processes("worker"), math.ceil(concurrent / given["runs of a worker process"]))
    commands = runs * given["Valkey's commands per run"] + tokens * given["Valkey's commands per token"]
    stream = given["Valkey's memory per run, KiB"] + given["tokens of a run"] * given["Valkey's memory per token, KiB"]
    connections = webs * given["connections of a web process"] + workers * given["connections of a worker process"]
    memory = (webs * given["memory of a web process, MiB"] + workers * given["memory of a worker process, MiB"]) / 1_024
    return {
        "runs that begin and end, a second": runs,
        "tokens a second": tokens,
        "web: cores": cores("web"),
        "web: processes": webs,
        "worker: cores": cores("worker"),
        "worker: processes": workers,
        "memory of both, GiB": memory + concurrent * given["memory per stream, KiB"] / GIB,
        "PostgreSQL: cores": cores("postgres"),
        "PostgreSQL: transactions a second": runs * given["transactions per run"],
        "PostgreSQL: log, MiB a second": runs * given["PostgreSQL's log per run, KiB"] / 1_024,
        "PostgreSQL: connections": int(connections),
        "PostgreSQL: GiB more each day": runs * 86_400 * given["rows of a run, KiB"] / GIB,
        "Valkey: cores": cores("valkey"),
        "Valkey: commands a second": commands,
        "Valkey: memory of streams, GiB": runs * given["seconds that a stream is kept"] * stream / GIB,
    }


def calculated(text: str) -> str:
    """The document with its table anew."""
    given = figures_of(text)
    columns = [calculate(given, concurrent) for concurrent in CONCURRENT]
    head = ["runs at once", *(f"{concurrent:,}" for concurrent in CONCURRENT)]
    lines = table(head, [[name, *(column[name] for column in columns)] for name in columns[0]])
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}"


def main(document: Path = DOCUMENT) -> None:
    text = document.read_text()
    anew = calculated(text)
    if "--check" in sys.argv:
        sys.exit(
            0 if anew == text else f"{document.name} is not what its figures give: python -m benchmarks.arithmetic"
        )
    document.write_text(anew)


if __name__ == "__main__":
    main()
