"""Statistics and tables of the benchmarks."""

from pathlib import Path

from benchmarks.load import figures
from benchmarks.load.report import Report


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert figures.percentile(values, 0.5) == 51
    assert figures.percentile(values, 0.95) == 96
    assert figures.percentile(values, 1) == 100
    assert figures.percentile([7], 0.99) == 7
    assert figures.percentile([], 0.5) is None
    assert figures.median([]) is None


def test_figures_have_the_digits_that_count() -> None:
    shown = [figures.shown(value) for value in (0.1234, 12.345, 1234.5, 1234567, "as it is", None)]
    assert shown == ["0.12", "12.3", "1,234", "1,234,567", "as it is", "–"]


def test_a_report_compares_its_columns() -> None:
    report = Report(["bare", "A", "B"])
    report.note("runs", "a second", "A", [10, 30, 20])
    report.note("runs", "a second", "B", 40)
    report.note("runs", "right", "A", [5, 4], "least")
    assert report.lines(["runs", "unmeasured"], {"runs": "runs"}, ("A", "B")) == [
        "| runs | A | B | B / A |",
        "| --- | ---: | ---: | ---: |",
        "| a second | 20.0 | 40.0 | 2.00 |",
        "| right | 4.00 | – | – |",
        "",
    ]


def test_a_report_goes_on_where_an_earlier_one_of_the_same_columns_ended(tmp_path: Path) -> None:
    first = Report(["A"], tmp_path / "kept.json")
    first.note("runs", "a second", "A", [10, 30])
    first.save()
    second = Report(["A"], tmp_path / "kept.json")
    assert second.load()
    second.note("runs", "a second", "A", 20)
    assert second.figure("runs", "a second", "A") == 20
    assert not Report(["A", "B"], tmp_path / "kept.json").load()
    assert not Report(["A"], tmp_path / "kept.json", "another revision").load()
    assert not Report(["A"], tmp_path / "nothing.json").load()
