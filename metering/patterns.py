"""Names of models with `*` for any characters: which of several rows is meant for a model."""

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

Row = TypeVar("Row")


def fits(pattern: str, name: str) -> bool:
    if "*" not in pattern:
        return pattern == name
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None


def best(rows: Iterable[Row], name: str, *, newest: Callable[[Row], Any] | None = None) -> Row | None:
    """The row for the model of this name, by the rows' `tenant_id` and `model`; None if none fits.

    A tenant's own goes before one for all, an exact name before a pattern, a longer pattern before a shorter one, and
    then what `newest` says is newer.
    """

    def rank(row: Any) -> tuple[Any, ...]:
        exact = "*" not in row.model
        return row.tenant_id is not None, exact, len(row.model), newest(row) if newest else 0

    return max((row for row in rows if fits(row.model, name)), key=rank, default=None)  # type: ignore[attr-defined]
