"""Whether tables grow faster than their rows."""

from benchmarks.bloat import WATCHED, verdicts
from benchmarks.load.tables import Table, growth


def table(name: str, rows: int, size: int, **more: int) -> Table:
    given = {
        "dead": 0,
        "autovacuums": 0,
        "index_bytes": 0,
        "updated": 0,
        "updated_in_place": 0,
        "scans": 0,
        "scanned": 0,
    }
    return Table(name=name, live=rows, inserted=rows, bytes=size, **(given | more))


def test_a_table_that_needs_more_and_more_for_a_row_is_named() -> None:
    sizes = {"threads_thread": (0, 100, 200, 300), "runs_run": (0, 100, 200, 400)}
    samples = [
        (float(n), {name: table(name, 10 * n, sizes.get(name, sizes["threads_thread"])[n]) for name in WATCHED})
        for n in range(4)
    ]
    worse = [line.split(":")[0] for line in verdicts(samples) if line.endswith(": it grows faster than its rows.")]
    assert worse == ["runs_run"]
    assert verdicts(samples[:3]) == []


def test_what_a_run_adds_to_the_tables() -> None:
    before = {"runs_run": table("runs_run", 10, 1_000)}
    after = {
        "runs_run": table("runs_run", 20, 3_000, index_bytes=500, updated=40, updated_in_place=10, autovacuums=2),
        "auth_user": table("auth_user", 500, 9_000),
    }
    (row,) = growth(before, after, runs=10)
    assert (row[0], row[3], row[4], row[7], row[8]) == ("runs_run", 2, "25 %", 200, 50)
