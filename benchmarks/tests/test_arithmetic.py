"""The table of docs/scaling.md is what its figures give."""

from benchmarks.arithmetic import DOCUMENT, calculate, calculated, figures_of


def test_the_document_is_what_its_figures_give() -> None:
    text = DOCUMENT.read_text()
    assert calculated(text) == text, "run: python -m benchmarks.arithmetic"


def test_what_runs_need_grows_with_them() -> None:
    given = figures_of(DOCUMENT.read_text())
    small, large = calculate(given, 1_000), calculate(given, 10_000)
    assert small["runs that begin and end, a second"] == 1_000 / given["seconds of a run"]
    for name in ("web: cores", "Valkey: commands a second", "PostgreSQL: transactions a second"):
        assert abs(float(large[name]) - 10 * float(small[name])) < 1e-6 * float(large[name])
    workers = calculate(given | {"CPU of worker per run, ms": 0, "CPU of worker per token, ms": 0}, 1_000)
    assert workers["worker: processes"] == -(-1_000 // int(given["runs of a worker process"])), "places bound it"
