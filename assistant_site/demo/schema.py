"""Plausible values for a JSON schema: the arguments of a forced call, the answer to a `response_format`."""

from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 8  # a schema may contain itself
MAX_LENGTH = 100  # of lists and texts asked for by a schema
MAX_VALUES = 2_000  # in all: a schema may also branch at each level

# A property of one of these names gets the user's own words, so that a forced search searches for something.
_ASKING = ("query", "queries", "q", "question", "text", "input", "prompt", "message", "search", "content")

_FORMATS = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "demo@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
}

JSON = Any  # Any: a JSON value of any shape


def plausible(schema: object, *, words: str = "", name: str = "value") -> JSON:
    """A value that fits `schema` in a simple way. `words`: what the user said, for properties that ask for it."""
    return _Maker(schema, words).value(schema, name, 0)


class _Maker:
    def __init__(self, root: object, words: str) -> None:
        self._root = root
        self._words = words[:200] or "example"
        self._left = MAX_VALUES

    def value(self, schema: object, name: str, depth: int) -> JSON:
        self._left -= 1
        if self._left < 0:
            return None
        if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
            return f"example {name}" if depth <= MAX_DEPTH else None
        if "$ref" in schema:
            return self.value(self._referred(str(schema["$ref"])), name, depth + 1)
        if isinstance(schema.get("allOf"), list):
            return self.value(_merged(schema), name, depth + 1)
        if "const" in schema:
            return schema["const"]
        for key in ("enum", "examples"):
            if isinstance(schema.get(key), list) and schema[key]:
                return schema[key][0]
        if "default" in schema:
            return schema["default"]
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list) and schema[key]:
                return self.value(schema[key][0], name, depth + 1)
        return self._of_type(_type_of(schema), schema, name, depth)

    def _of_type(self, kind: str, schema: Mapping[str, Any], name: str, depth: int) -> JSON:
        if kind == "object":
            properties = schema.get("properties")
            required = schema.get("required")
            if not isinstance(properties, Mapping) or not isinstance(required, list):
                return {}
            names = [key for key in required if isinstance(key, str)]
            return {key: self.value(properties.get(key), key, depth + 1) for key in names}
        if kind == "array":
            length = max(_whole(schema.get("minItems"), 1), 1)
            if schema.get("maxItems") == 0:
                return []
            return [self.value(schema.get("items"), name, depth + 1) for _ in range(min(length, MAX_LENGTH))]
        if kind in ("integer", "number"):
            return _number(schema, whole=kind == "integer")
        if kind == "boolean":
            return True
        if kind == "null":
            return None
        return self._text(schema, name)

    def _text(self, schema: Mapping[str, Any], name: str) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        text = self._words if name.lower() in _ASKING else f"example {name}"
        shortest = min(_whole(schema.get("minLength"), 0), MAX_LENGTH)
        return text.ljust(shortest, ".")[: max(_whole(schema.get("maxLength"), len(text) + shortest), 0)]

    def _referred(self, path: str) -> object:
        found: object = self._root
        for part in path.removeprefix("#").strip("/").split("/"):
            if part:
                key = part.replace("~1", "/").replace("~0", "~")
                found = found.get(key) if isinstance(found, Mapping) else None
        return found


def _type_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _merged(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of an `allOf` as one schema."""
    whole = {key: value for key, value in schema.items() if key != "allOf"}
    properties: dict[str, Any] = {}
    required: list[Any] = []
    parts = [whole, *(part for part in schema["allOf"] if isinstance(part, Mapping))]
    for part in parts:
        whole |= part
        properties |= part["properties"] if isinstance(part.get("properties"), dict) else {}
        required += part["required"] if isinstance(part.get("required"), list) else []
    return whole | {"properties": properties, "required": required} if properties else whole


def _number(schema: Mapping[str, Any], *, whole: bool) -> float:
    step = _limit(schema, "multipleOf") or 1.0
    low, high = _limit(schema, "minimum"), _limit(schema, "maximum")
    above, below = _limit(schema, "exclusiveMinimum"), _limit(schema, "exclusiveMaximum")
    value = step
    if low is not None:
        value = -(-low // step) * step
    elif above is not None:
        value = (above // step + 1) * step
    elif high is not None and value > high:
        value = high // step * step
    elif below is not None and value >= below:
        value = (-(-below // step) - 1) * step
    return int(value) if whole else value


def _limit(schema: Mapping[str, Any], name: str) -> float | None:
    value = schema.get(name)
    return (
        float(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53 else None
    )


def _whole(value: object, otherwise: int) -> int:
    return value if type(value) is int else otherwise
