"""Filters over the attributes of files in a store: what they mean in SQL. Their grammar is `wire.filters`.

Values of different types are never equal and none is above the other: nothing is converted, so no stored attribute can
make a search fail. Only numbers and texts have an order; texts are ordered by their code points.
"""

import functools
import operator
from typing import Any

from django.db.models import BooleanField, F, Func, Q, QuerySet, TextField, Value
from django.db.models.lookups import Exact

from assistant_site.wire.filters import JOINS, LISTED, ORDERED
from vector_stores.models import StoreFile


def matching(store_files: QuerySet[StoreFile], filter: dict[str, Any]) -> QuerySet[StoreFile]:
    """Those whose attributes pass the filter. A missing attribute passes `ne` and `nin` only."""
    return store_files.filter(_condition(filter))


def _condition(filter: dict[str, Any]) -> Q:
    kind = filter["type"]
    if kind in JOINS:
        join = operator.and_ if kind == "and" else operator.or_
        return functools.reduce(join, [_condition(each) for each in filter["filters"]])
    key, value = filter["key"], filter["value"]
    if kind in ORDERED:
        return _ordered(key, ORDERED[kind], value)
    values = value if kind in LISTED else [value]
    equal = functools.reduce(operator.or_, [Q(attributes__contains={key: each}) for each in values])
    return ~equal if kind in ("ne", "nin") else equal


def _ordered(key: str, sign: str, value: Any) -> Q:
    """The types are the same and the attribute is on the right side of the value."""
    if isinstance(value, bool):
        return Q(pk__in=[])
    kind = Func(_attribute(key, "->"), function="jsonb_typeof", output_field=TextField())
    if isinstance(value, str):
        compared = Func(_attribute(key, "->>"), Value(value), arg_joiner=f' COLLATE "C" {sign} ', **_SQL)
        return Q(Exact(kind, Value("string"))) & Q(compared)
    number = Func(Value(repr(value)), template="(%(expressions)s::jsonb)", output_field=TextField())
    compared = Func(_attribute(key, "->"), number, arg_joiner=f" {sign} ", **_SQL)
    return Q(Exact(kind, Value("number"))) & Q(compared)


_SQL: dict[str, Any] = {"template": "(%(expressions)s)", "output_field": BooleanField()}


def _attribute(key: str, arrow: str) -> Func:
    """The attribute as JSON (`->`) or as text (`->>`). Its key is a text, also where it looks like a number."""
    template = "(%(expressions)s::text)"
    return Func(F("attributes"), Value(key), template=template, arg_joiner=f" {arrow} ", output_field=TextField())
