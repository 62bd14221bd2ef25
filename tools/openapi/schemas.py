"""A schema of the document as a model is told of it: in one piece, without references, of bounded size.

Many models and gateways do not follow `$ref` in the parameters of a function, so what it points at is put in its place.
Where that would not end, or be too much, what is left is the type and the description.
"""

from collections.abc import Iterable
from typing import Any

from tools.openapi.faults import BadDocument, Place
from tools.openapi.reading import as_list, as_object, as_text
from tools.openapi.references import References

Schema = dict[str, Any]

TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")
_NUMBERS = ("minimum", "maximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems")
_PLAIN = ("format", "default", "const", "pattern", "uniqueItems", "minProperties", "maxProperties", *_NUMBERS)
_COMBINED = ("allOf", "oneOf", "anyOf")
_NESTED = 40  # schemas in schemas, also where they are combined on one level


class TooLarge(Exception):
    """More values than the budget has."""


class Inlining:
    """One function's schemas. `depth` is how many levels are told, `values` how many values in all."""

    def __init__(self, references: References, *, depth: int, values: int, is_terse: bool = False) -> None:
        self._references = references
        self._depth = depth
        self._values = self._left = values
        self._is_terse = is_terse  # no descriptions below the first level, no long enumerations
        self._within: list[Place] = []  # where the schemas stand that are being told

    @property
    def told(self) -> int:
        """How many values it has told so far."""
        return self._values - self._left

    def schema(self, value: Any, place: Place, level: int = 0) -> Schema:
        """Raises `BadDocument`, and `TooLarge`."""
        self._left -= 1
        if self._left < 0:
            raise TooLarge
        if isinstance(value, bool):
            return {} if value else {"not": {}}
        value, place = self._references.resolved(value, place)
        if isinstance(value, bool):
            return {} if value else {"not": {}}
        source = as_object(value, place)
        if place in self._within or level > self._depth or len(self._within) >= _NESTED:
            return self._cut(source, place)
        self._within.append(place)
        try:
            return self._told(source, place, level)
        finally:
            self._within.pop()

    def _cut(self, source: Schema, place: Place) -> Schema:
        told: Schema = {}
        if types := _types(source, place):
            told["type"] = types[0] if len(types) == 1 else types
        elif "properties" in source:
            told["type"] = "object"
        if isinstance(description := source.get("description"), str) and not self._is_terse:
            told["description"] = description[:300]
        return told

    def _told(self, source: Schema, place: Place, level: int) -> Schema:
        told: Schema = {}
        types = _types(source, place)
        is_nullable = source.get("nullable") is True
        if is_nullable and types and "null" not in types:
            types = [*types, "null"]
        if types:
            told["type"] = types[0] if len(types) == 1 else types
        if isinstance(description := source.get("description"), str) and not (self._is_terse and level):
            told["description"] = description
        self._add_plain(told, source, place, is_nullable)
        if "properties" in source or "required" in source:
            self._add_properties(told, source, place, level)
        for name in ("items", "additionalProperties", "not"):
            if name in source and not (name == "additionalProperties" and isinstance(source[name], bool)):
                told[name] = self.schema(source[name], (*place, name), level + 1)
            elif name in source:
                told[name] = source[name]
        if "array" in types and "items" not in told:
            told["items"] = {}  # without it, some providers refuse the function
        for name in _COMBINED:
            if name in source:
                parts = as_list(source[name], (*place, name))
                told[name] = [self.schema(each, (*place, name, n), level) for n, each in enumerate(parts)]
        if "prefixItems" in source:
            items = as_list(source["prefixItems"], (*place, "prefixItems"))
            told["prefixItems"] = [
                self.schema(each, (*place, "prefixItems", n), level + 1) for n, each in enumerate(items)
            ]
        told = merged(told)
        if is_file(source):
            told["format"] = "binary"
        if is_nullable and not types and any(name in told for name in (*_COMBINED, "type")):
            return _or_null(told)
        return told

    def _add_plain(self, told: Schema, source: Schema, place: Place, is_nullable: bool) -> None:
        for name in _PLAIN:
            if name in source:
                told[name] = source[name]
        for name, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if source.get(name) is True and bound in told:
                told[name] = told.pop(bound)
            elif name in source and not isinstance(source[name], bool):
                told[name] = source[name]
        if "enum" in source:
            values = as_list(source["enum"], (*place, "enum"))
            self._left -= len(values)
            if not (self._is_terse and len(values) > 50):
                told["enum"] = [*values, None] if is_nullable and None not in values else list(values)
        for name in ("default", "const"):
            self._left -= _size(told.get(name))

    def _add_properties(self, told: Schema, source: Schema, place: Place, level: int) -> None:
        properties: Schema = {}
        unasked = set()
        for name, each in as_object(source.get("properties", {}), (*place, "properties")).items():
            there: Place = (*place, "properties", name)
            if self._is_read_only(each, there):
                unasked.add(name)
            else:
                properties[name] = self.schema(each, there, level + 1)
        if "properties" in source:
            told["properties"] = properties
        required = [
            as_text(name, (*place, "required", number))
            for number, name in enumerate(as_list(source.get("required", []), (*place, "required")))
        ]
        if asked := [name for name in dict.fromkeys(required) if name not in unasked]:
            told["required"] = asked

    def _is_read_only(self, schema: Any, place: Place) -> bool:
        resolved, _ = self._references.resolved(schema, place)
        return isinstance(resolved, dict) and resolved.get("readOnly") is True


def _types(source: Schema, place: Place) -> list[str]:
    given = source.get("type")
    if given is None:
        return []
    types = given if isinstance(given, list) else [given]
    for each in types:
        if each not in TYPES:
            raise BadDocument((*place, "type"), f"{str(each)[:100]!r} is no type of a schema.")
    return list(dict.fromkeys(types))


def _size(value: Any) -> int:
    if isinstance(value, dict | list):
        return 1 + sum(map(_size, value.values() if isinstance(value, dict) else value))
    return 1


def is_file(schema: Schema) -> bool:
    """Whether a body has bytes here: `format: binary`, or in 3.1 a text with a media type and no encoding."""
    if "string" not in (schema.get("type"), *_listed(schema.get("type"))):
        return False
    kind = schema.get("contentMediaType")
    return schema.get("format") == "binary" or (
        isinstance(kind, str) and "contentEncoding" not in schema and kind != "application/json"
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _or_null(schema: Schema) -> Schema:
    description = schema.pop("description", None)
    if "type" in schema and not any(name in schema for name in _COMBINED):
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        told = schema | {"type": [*types, "null"] if "null" not in types else types}
        if "enum" in told and None not in told["enum"]:
            told["enum"] = [*told["enum"], None]
    elif list(schema) == ["anyOf"]:
        told = {"anyOf": [*schema["anyOf"], {"type": "null"}]}
    else:
        told = {"anyOf": [schema, {"type": "null"}]}
    return told | ({"description": description} if description else {})


def merged(schema: Schema) -> Schema:
    """With the parts of its `allOf` in it, where nothing in them contradicts the rest."""
    if not isinstance(parts := schema.get("allOf"), list):
        return schema
    whole = {name: value for name, value in schema.items() if name != "allOf"}
    for part in parts:
        together = _together(whole, part)
        if together is None:
            return schema
        whole = together
    return whole


def _together(one: Schema, other: Schema) -> Schema | None:
    both = dict(one)
    for name, value in other.items():
        if name not in both or name == "description":
            both.setdefault(name, value)
        elif name == "properties":
            properties = dict(both[name])
            for key, each in value.items():
                if properties.setdefault(key, each) != each:
                    joined = _together(properties[key], each)
                    if joined is None:
                        return None
                    properties[key] = joined
            both[name] = properties
        elif name == "required":
            both[name] = list(dict.fromkeys([*both[name], *value]))
        elif name == "additionalProperties" and isinstance(value, bool) and isinstance(both[name], bool):
            both[name] = value and both[name]
        elif both[name] != value:
            return None
    return both


def only_required(parts: Iterable[Any]) -> bool:
    """Whether the parts only say which properties must be there together, as `anyOf` often does."""
    return all(isinstance(part, dict) and set(part) <= {"required", "description", "type"} for part in parts)
