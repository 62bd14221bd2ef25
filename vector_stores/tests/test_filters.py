"""Filters over attributes: refused with the place of the fault, and in SQL what they are in plain words."""

from typing import Any

import pytest
from drf_spectacular.openapi import AutoSchema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assistant_site.tests.callers import new_tenant
from assistant_site.wire.errors import InvalidRequest
from assistant_site.wire.filters import MAX_COMPARISONS, MAX_LEVELS, AttributeFilter
from assistant_site.wire.grammar import Fault
from vector_stores.filters import matching
from vector_stores.models import StoreFile
from vector_stores.tests.shelf import Shelf


def fault_of(filter: Any) -> InvalidRequest:
    with pytest.raises(Fault) as raised:
        AttributeFilter().run_validation(filter)
    return raised.value.under("filters").error()


def nested(levels: int) -> dict[str, Any]:
    filter: dict[str, Any] = {"type": "eq", "key": "a", "value": 1}
    for _ in range(levels - 1):
        filter = {"type": "and", "filters": [filter]}
    return filter


@pytest.mark.parametrize(
    ("filter", "code", "param"),
    [
        ("x", "invalid_type", "filters"),
        ({}, "missing_required_parameter", "filters.type"),
        ({"type": 1}, "invalid_type", "filters.type"),
        ({"type": "like", "key": "a", "value": 1}, "invalid_value", "filters.type"),
        ({"type": "eq", "value": 1}, "missing_required_parameter", "filters.key"),
        ({"type": "eq", "key": "a"}, "missing_required_parameter", "filters.value"),
        ({"type": "eq", "key": 5, "value": 1}, "invalid_type", "filters.key"),
        ({"type": "eq", "key": "a", "value": None}, "invalid_type", "filters.value"),
        ({"type": "eq", "key": "a", "value": [1]}, "invalid_type", "filters.value"),
        ({"type": "eq", "key": "a", "value": float("inf")}, "invalid_type", "filters.value"),
        ({"type": "eq", "key": "a\x00", "value": 1}, "invalid_value", "filters.key"),
        ({"type": "eq", "key": "a", "value": "\x00"}, "invalid_value", "filters.value"),
        ({"type": "eq", "key": "a", "value": 1, "x": 1}, "unknown_parameter", "filters.x"),
        ({"type": "in", "key": "a", "value": 1}, "invalid_type", "filters.value"),
        ({"type": "in", "key": "a", "value": []}, "empty_array", "filters.value"),
        ({"type": "in", "key": "a", "value": ["b", {}]}, "invalid_type", "filters.value[1]"),
        ({"type": "in", "key": "a", "value": [0] * 1001}, "array_above_max_length", "filters.value"),
        ({"type": "and", "filters": []}, "empty_array", "filters.filters"),
        (
            {"type": "or", "filters": [nested(1), {"type": "eq"}]},
            "missing_required_parameter",
            "filters.filters[1].key",
        ),
        ({"type": "and", "filters": [nested(1)] * (MAX_COMPARISONS + 1)}, "invalid_value", "filters"),
        (nested(MAX_LEVELS + 1), "invalid_value", "filters" + ".filters[0]" * MAX_LEVELS),
        (nested(5_000), "invalid_value", "filters" + ".filters[0]" * MAX_LEVELS),
    ],
)
def test_a_filter_that_breaks_the_grammar_is_refused_where_it_does(filter: Any, code: str, param: str) -> None:
    error = fault_of(filter)
    assert (error.code, error.param) == (code, param)


def test_null_is_no_filter_and_the_deepest_one_passes() -> None:
    assert AttributeFilter().run_validation(None) is None
    assert AttributeFilter().run_validation(nested(MAX_LEVELS)) == nested(MAX_LEVELS)


# --- What it means ---------------------------------------------------------------------------------------------------

KEYS = ["a", "5", "b'c", "名前", "x%s"]
scalars = st.one_of(
    st.sampled_from(["", "a", "B", "5", "true", "é", "猫", "😀", "%", "'"]),
    st.sampled_from([0, 1, -1, 5, 5.0, 0.5, 1e300, -2.5, 2**53]),
    st.booleans(),
)
attributes = st.dictionaries(st.sampled_from(KEYS), scalars, max_size=3)
comparisons = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]),
            "key": st.sampled_from(KEYS),
            "value": scalars,
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["in", "nin"]),
            "key": st.sampled_from(KEYS),
            "value": st.lists(scalars, min_size=1, max_size=3),
        }
    ),
)
any_filter = st.recursive(
    comparisons,
    lambda inner: st.fixed_dictionaries(
        {"type": st.sampled_from(["and", "or"]), "filters": st.lists(inner, min_size=1, max_size=3)}
    ),
    max_leaves=6,
)


def passes(held: dict[str, Any], filter: dict[str, Any]) -> bool:
    """The filter's meaning in plain Python."""
    kind = filter["type"]
    if kind in ("and", "or"):
        join = all if kind == "and" else any
        return join(passes(held, each) for each in filter["filters"])
    wanted, found = filter["value"], held.get(filter["key"])

    def equal(value: Any) -> bool:
        return found is not None and kind_of(value) == kind_of(found) and bool(value == found)

    match kind:
        case "eq":
            return equal(wanted)
        case "ne":
            return not equal(wanted)
        case "in":
            return any(map(equal, wanted))
        case "nin":
            return not any(map(equal, wanted))
    if found is None or kind_of(found) != kind_of(wanted) or kind_of(found) == "boolean":
        return False
    compared = {"gt": found > wanted, "gte": found >= wanted, "lt": found < wanted, "lte": found <= wanted}
    return bool(compared[kind])


def kind_of(value: Any) -> str:
    return "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


@pytest.mark.django_db
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(held=st.lists(attributes, min_size=1, max_size=8), filters=st.lists(any_filter, min_size=1, max_size=8))
def test_sql_and_plain_python_agree(held: list[dict[str, Any]], filters: list[dict[str, Any]]) -> None:
    shelf = Shelf(new_tenant("Frida")[0])
    rows = {shelf.put(f"{number}", attributes=each).pk: each for number, each in enumerate(held)}
    store_files = StoreFile.objects.across_tenants().filter(vector_store=shelf.store)
    for filter in filters:
        AttributeFilter().run_validation(filter)
        found = set(matching(store_files, filter).values_list("pk", flat=True))
        assert found == {pk for pk, each in rows.items() if passes(each, filter)}, filter


@pytest.mark.django_db
def test_a_filter_can_be_joined_to_other_conditions_and_tables() -> None:
    shelf = Shelf(new_tenant("Frida")[0])
    young = shelf.put("young.txt", attributes={"year": 2024})
    shelf.put("old.txt", attributes={"year": 1999})
    shelf.put("unknown.txt", attributes={"year": "2024"})
    files = StoreFile.objects.across_tenants().filter(file__filename__endswith=".txt", vector_store=shelf.store)
    assert [each.pk for each in matching(files, {"type": "gt", "key": "year", "value": 2000})] == [young.pk]


def test_the_filter_is_described_in_the_openapi_document() -> None:
    described = AutoSchema()._map_serializer_field(AttributeFilter(), "request")  # type: ignore[no-untyped-call]
    comparison, compound = described["oneOf"]
    assert comparison["properties"]["type"]["enum"] == ["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    assert compound["properties"]["type"]["enum"] == ["and", "or"]
