"""Statistics and tables."""

import statistics
from collections.abc import Iterable, Sequence

NOTHING = "–"


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that this share of all does not exceed; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def median(values: Iterable[float]) -> float | None:
    found = list(values)
    return statistics.median(found) if found else None


def ratio(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other


def shown(value: float | int | str | None) -> str:
    """A figure with three digits that count; integers and texts as they are."""
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"


def table(head: Sequence[str], rows: Iterable[Sequence[float | int | str | None]]) -> list[str]:
    """A Markdown table: the first column to the left, the others to the right."""
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    return lines + [f"| {' | '.join(shown(cell) for cell in row)} |" for row in rows]
