import json
from typing import Any

import jsonschema
import pytest

from assistant_site.demo.schema import plausible

SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"a": {"type": "string", "minLength": 30}}, "required": ["a"]},
    {"type": "object", "properties": {"q": {"type": "string", "maxLength": 3}}, "required": ["q"]},
    {"type": "array", "items": {"type": "integer", "minimum": 5, "multipleOf": 3}, "minItems": 4},
    {"type": "array", "maxItems": 0},
    {"type": "number", "exclusiveMinimum": 2},
    {"type": "integer", "maximum": -4},
    {"type": "integer", "exclusiveMaximum": 0},
    {"type": ["null", "string"], "format": "date"},
    {"type": "boolean"},
    {"type": "null"},
    {"const": 7},
    {"enum": ["x", "y"]},
    {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "boolean"}}, "required": ["b"]},
        ]
    },
    {"$defs": {"p": {"type": "object", "properties": {"x": {"type": "null"}}, "required": ["x"]}}, "$ref": "#/$defs/p"},
    {},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=json.dumps)
def test_a_made_value_fits_its_schema(schema: dict[str, Any]) -> None:
    jsonschema.validate(plausible(schema, words="what the user asked"), schema)


def test_properties_that_ask_get_the_users_words() -> None:
    schema = {
        "type": "object",
        "properties": {"queries": {"type": "array", "items": {"type": "string"}}, "n": {"type": "integer"}},
        "required": ["queries"],
    }
    assert plausible(schema, words="red shoes") == {"queries": ["red shoes"]}


def test_a_schema_that_contains_itself_many_times_ends() -> None:
    names = [f"p{at}" for at in range(50)]
    schema = {"type": "object", "properties": {name: {"$ref": "#"} for name in names}, "required": names}

    assert len(json.dumps(plausible(schema))) < 100_000


@pytest.mark.parametrize(
    "schema",
    [None, [], {"type": 5}, {"properties": 3, "required": 4}, {"enum": []}, {"$ref": "#/no/where"}, {"allOf": [1]}],
)
def test_a_broken_schema_still_gives_something(schema: Any) -> None:
    json.dumps(plausible(schema))
