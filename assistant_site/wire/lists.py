"""List pages: a range of the primary key, whose order is the order of creation (see `ids`)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.http import QueryDict

from assistant_site.wire import grammar
from assistant_site.wire.grammar import Fault

Row = TypeVar("Row", bound=Model)


def single(query: QueryDict, name: str) -> str | None:
    """The value of a query key that may be given once; an empty one counts as not given."""
    values = query.getlist(name)
    if len(values) > 1:
        raise grammar.duplicate(name)
    value = values[0] if values else ""
    if "\x00" in value:
        raise grammar.unstorable().under(name)
    return value or None


def several(query: QueryDict, name: str) -> list[str]:
    """The values of an array key, `name[]=…` as the SDKs write it, `name[0]=…` as PHP's do, or `name=…`."""
    keys = re.compile(rf"{re.escape(name)}(\[[0-9]{{0,4}}\])?")
    return [value for key in query if keys.fullmatch(key) for value in query.getlist(key)]


def whole_number(query: QueryDict, name: str, *, default: int, low: int, high: int) -> int:
    given = single(query, name)
    return default if given is None else number_of(given, name, low=low, high=high)


def number_of(given: str, name: str, *, low: int, high: int) -> int:
    """A number that came as text, in the address or a header of this name."""
    if not re.fullmatch(r"-?[0-9]{1,18}", given):
        raise grammar.wrong_type("an integer", given).under(name)
    value = int(given)
    try:
        if value > high:
            raise grammar.above_max("integer", value, high)
        if value < low:
            raise grammar.below_min("integer", value, low)
    except Fault as fault:
        raise fault.under(name) from None
    return value


def one_of(query: QueryDict, name: str, *values: str) -> str | None:
    given = single(query, name)
    if given is not None and given not in values:
        raise grammar.not_supported(given, values).under(name)
    return given


@dataclass(frozen=True)
class PageQuery:
    """Which page: up to `limit` rows that follow `after` and precede `before` in the requested order."""

    limit: int = 20
    descending: bool = True
    after: str | None = None
    before: str | None = None

    @classmethod
    def of(cls, query: QueryDict) -> "PageQuery":
        return cls(
            limit=whole_number(query, "limit", default=20, low=1, high=100),
            descending=one_of(query, "order", "asc", "desc") != "asc",
            after=single(query, "after"),
            before=single(query, "before"),
        )

    @property
    def is_backwards(self) -> bool:
        """A `before` alone asks for the rows nearest to it, still in the requested order."""
        return bool(self.before and not self.after)

    def ordered(self, rows: QuerySet[Row]) -> QuerySet[Row]:
        """The rows that the page may be of, from its cursor away."""
        if self.after:
            rows = rows.filter(**{"pk__lt" if self.descending else "pk__gt": self.after})
        if self.before:
            rows = rows.filter(**{"pk__gt" if self.descending else "pk__lt": self.before})
        return rows.order_by("-pk" if self.descending != self.is_backwards else "pk")

    def cut(self, found: list[Row]) -> tuple[list[Row], bool]:
        """The page in the requested order, and whether there are more; `found` are the first `limit + 1` `ordered`."""
        has_more = len(found) > self.limit
        found = found[: self.limit]
        if self.is_backwards:
            found.reverse()
        return found, has_more

    def beyond(self, rows: QuerySet[Row], id: str) -> QuerySet[Row]:
        """Those of the `ordered` rows that come behind this id."""
        return rows.filter(**{"pk__lt" if self.descending != self.is_backwards else "pk__gt": id})


def page(rows: QuerySet[Row], query: PageQuery, render: Callable[[Row], dict[str, Any]]) -> dict[str, Any]:
    """The list body of one page. One query, whose cost does not depend on how far the page is."""
    found, has_more = rows_of_page(rows, query)
    return body_of([render(row) for row in found], has_more)


def rows_of_page(rows: QuerySet[Row], query: PageQuery) -> tuple[list[Row], bool]:
    """The rows of one page in the requested order, and whether there are more."""
    return query.cut(list(query.ordered(rows)[: query.limit + 1]))


def body_of(data: list[dict[str, Any]], has_more: bool) -> dict[str, Any]:
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }
