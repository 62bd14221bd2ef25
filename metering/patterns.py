"""Which of several rows is meant for a model, by their patterns."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from tenants.patterns import matches

Row = TypeVar("Row")


def best(rows: Iterable[Row], name: str, *, newest: Callable[[Row], Any] | None = None) -> Row | None:
    """The row for the model of this name, by the rows' `tenant_id` and `model`; None if none fits.

    A tenant's own goes before one for all, an exact name before a pattern, a longer pattern before a shorter one, and
    then what `newest` says is newer.
    """

    def rank(row: Any) -> tuple[Any, ...]:
        exact = "*" not in row.model
        return row.tenant_id is not None, exact, len(row.model), newest(row) if newest else 0

    return max((row for row in rows if matches(row.model, name)), key=rank, default=None)  # type: ignore[attr-defined]
