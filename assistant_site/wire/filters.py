"""Filters over the attributes of files in a vector store: their grammar in requests.

`{"type": "eq", "key": …, "value": …}` compares, `{"type": "and" | "or", "filters": […]}` joins. What they mean in SQL
is `vector_stores.filters`.
"""

import math
from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from assistant_site.wire import grammar
from assistant_site.wire.fields import RequestField, storable
from assistant_site.wire.grammar import Fault

MAX_LEVELS = 10
MAX_COMPARISONS = 200  # in one filter
MAX_VALUES = 1_000  # of one `in`

ORDERED = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
LISTED = ("in", "nin")
COMPARISONS = ("eq", "ne", *ORDERED, *LISTED)
JOINS = ("and", "or")

_SCALAR = [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]
_COMPARISON = {
    "type": "object",
    "required": ["type", "key", "value"],
    "additionalProperties": False,
    "properties": {
        "type": {"type": "string", "enum": list(COMPARISONS)},
        "key": {"type": "string"},
        "value": {"oneOf": [*_SCALAR, {"type": "array", "items": {"oneOf": _SCALAR}, "maxItems": MAX_VALUES}]},
    },
}
_COMPOUND = {
    "type": "object",
    "required": ["type", "filters"],
    "additionalProperties": False,
    "properties": {
        "type": {"type": "string", "enum": list(JOINS)},
        "filters": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "object", "additionalProperties": True},
            "description": f"Comparisons, or filters that join others in turn, up to {MAX_LEVELS} levels deep.",
        },
    },
}


@extend_schema_field({"oneOf": [_COMPARISON, _COMPOUND]})
class AttributeFilter(RequestField, serializers.JSONField):
    """A comparison, or filters joined by `and` or `or`."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("required", False)
        options.setdefault("allow_null", not options["required"])
        super().__init__(**options)

    def check(self, value: Any) -> dict[str, Any]:
        if _check(value, MAX_LEVELS) > MAX_COMPARISONS:
            raise grammar.invalid_value(
                lambda path: f"Invalid '{path}': too many comparisons. Expected at most {MAX_COMPARISONS} in a filter."
            )
        checked: dict[str, Any] = value
        return checked


def _check(value: Any, levels: int) -> int:
    """Raises `Fault`, or returns the number of comparisons."""
    if not levels:
        raise grammar.too_deep(MAX_LEVELS)
    if not isinstance(value, dict):
        raise grammar.wrong_type("an object", value)
    if "type" not in value:
        raise grammar.missing("type")
    kind = value["type"]
    if not isinstance(kind, str):
        raise grammar.wrong_type("a string", kind).under("type")
    if kind not in COMPARISONS + JOINS:
        raise grammar.not_supported(kind, COMPARISONS + JOINS).under("type")
    expected = ("filters",) if kind in JOINS else ("key", "value")
    for name in expected:
        if name not in value:
            raise grammar.missing(name)
    for name in value:
        if name not in ("type", *expected):
            raise grammar.unknown(name)
    if kind in JOINS:
        return _check_each(value["filters"], "filters", lambda each: _check(each, levels - 1))
    if not isinstance(value["key"], str):
        raise grammar.wrong_type("a string", value["key"]).under("key")
    _at("key", lambda: storable(value["key"]))
    if kind not in LISTED:
        _at("value", lambda: _check_scalar(value["value"]))
    elif isinstance(value["value"], list) and len(value["value"]) > MAX_VALUES:
        raise grammar.too_many(len(value["value"]), MAX_VALUES).under("value")
    else:
        _check_each(value["value"], "value", _check_scalar)
    return 1


def _check_each(values: Any, name: str, check: Callable[[Any], int]) -> int:
    if not isinstance(values, list):
        raise grammar.wrong_type("an array", values).under(name)
    if not values:
        raise grammar.too_few(0, 1).under(name)
    total = 0
    for index, each in enumerate(values):
        try:
            total += check(each)
        except Fault as fault:
            raise fault.under(index).under(name) from None
    return total


def _check_scalar(value: Any) -> int:
    if not isinstance(value, str | int | float) or value in (math.inf, -math.inf):  # a boolean is an int
        raise grammar.wrong_type("a string, a number or a boolean", value)
    if isinstance(value, str):
        storable(value)
    return 0


def _at(name: str, check: Callable[[], object]) -> None:
    try:
        check()
    except Fault as fault:
        raise fault.under(name) from None
