"""Pages of tables with millions of rows: counted where that is cheap, else estimated; turned by id, not by offset."""

import json
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.core.paginator import Paginator
from django.db import connections
from django.db.models import QuerySet
from django.utils.functional import cached_property

# Up to here, in the planner's units, rows are counted: some milliseconds.
CHEAP = 3_000.0


def estimate(rows: QuerySet[Any]) -> tuple[int, float]:
    """How many rows the planner expects, and what it would cost to count them."""
    bare = rows.order_by().values("pk")
    try:
        sql, parameters = bare.query.sql_with_params()
    except EmptyResultSet:
        return 0, 0.0
    with connections[rows.db].cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", parameters)
        told = cursor.fetchone()[0]
    plan = (json.loads(told) if isinstance(told, str) else told)[0]["Plan"]
    return int(plan["Plan Rows"]), float(plan["Total Cost"])


def about(rows: QuerySet[Any]) -> tuple[int, bool]:
    """How many rows there are, and whether that is exact."""
    expected, cost = estimate(rows)
    if cost <= CHEAP:
        return rows.order_by().values("pk").count(), True
    return expected, False


class EstimatingPaginator(Paginator):  # type: ignore[type-arg]
    """`is_exact` tells whether `count` was counted."""

    object_list: Any
    template_name = "admin/pagination.html"

    @cached_property
    def _about(self) -> tuple[int, bool]:
        try:
            return about(self.object_list)
        except AttributeError:  # a list
            return len(self.object_list), True

    @cached_property
    def count(self) -> int:
        return self._about[0]

    @property
    def is_exact(self) -> bool:
        return self._about[1]
