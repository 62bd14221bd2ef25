"""Schemas of an OpenAPI or JSON Schema document as rows: one for each property, however deep."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Property:
    """`path` as `tools[].function.name`; `type` in words; `required` by the object that it is in."""

    path: str
    type: str
    required: bool
    description: str
    schema: dict[str, Any]


class Schemas:
    """The schemas of one document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.named: dict[str, dict[str, Any]] = document["components"]["schemas"]

    def resolved(self, schema: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The schema that is meant, with its name, if it has one."""
        name = ""
        while True:
            if reference := schema.get("$ref"):
                name = reference.rpartition("/")[2]
                schema = self.named[name] | {key: value for key, value in schema.items() if key != "$ref"}
            elif len(schema.get("allOf", ())) == 1:
                rest = {key: value for key, value in schema.items() if key != "allOf"}
                schema = schema["allOf"][0] | rest
            else:
                return name, schema

    def variants(self, schema: dict[str, Any]) -> list[dict[str, Any]]:
        """What a value may be, without null."""
        _, schema = self.resolved(schema)
        found: list[dict[str, Any]] = []
        for key in ("oneOf", "anyOf"):
            for each in schema.get(key, ()):
                found += self.variants(each)
        if not found:
            found = [schema]
        return [each for each in found if each.get("type") != "null" and each.get("enum") != [None]]

    def type_of(self, schema: dict[str, Any]) -> str:
        words: list[str] = []
        nullable = False
        _, whole = self.resolved(schema)
        for each in (whole, *whole.get("oneOf", ()), *whole.get("anyOf", ())):
            nullable |= bool(each.get("nullable")) or each.get("type") == "null" or "null" in (each.get("type") or ())
        for variant in self.variants(schema):
            kind = variant.get("type", "any" if "properties" not in variant else "object")
            kind = next((each for each in kind if each != "null"), "any") if isinstance(kind, list) else kind
            if values := [value for value in variant.get("enum", ()) if value is not None]:
                kind = " | ".join(f"`{value}`" for value in values)
            elif kind == "array":
                kind = f"array of {self.type_of(variant.get('items', {})).removesuffix(', null')}"
            if kind not in words:
                words.append(kind)
        return " or ".join(words or ["any"]) + (", null" if nullable else "")

    def limits_of(self, schema: dict[str, Any]) -> str:
        """Bounds and default of a value, in words."""
        words = []
        for variant in self.variants(schema):
            for key, text in (
                ("maxLength", "up to {} characters"),
                ("maxItems", "up to {} items"),
                ("maxProperties", "up to {} entries"),
                ("minimum", "at least {}"),
                ("maximum", "at most {}"),
            ):
                if key in variant:
                    words.append(text.format(f"{variant[key]:,}"))
        _, whole = self.resolved(schema)
        if whole.get("default") is not None:
            words.append(f"default `{whole['default']}`")
        return ", ".join(dict.fromkeys(words))

    def properties(
        self, schema: dict[str, Any], path: str = "", seen: tuple[str, ...] = (), depth: int = 6
    ) -> Iterator[Property]:
        """All properties, those of objects in lists and of each variant included, each path once."""
        told: set[str] = set()
        for each in self._properties(schema, path, seen, depth):
            if each.path not in told:
                told.add(each.path)
                yield each

    def _properties(self, schema: dict[str, Any], path: str, seen: tuple[str, ...], depth: int) -> Iterator[Property]:
        name, whole = self.resolved(schema)
        if name in seen or not depth:
            return
        seen = (*seen, name) if name else seen
        for key in ("oneOf", "anyOf", "allOf"):
            for variant in whole.get(key, ()):
                yield from self._properties(variant, path, seen, depth)
        if "items" in whole:
            yield from self._properties(whole["items"], f"{path}[]", seen, depth)
        required = whole.get("required", ())
        for key, value in whole.get("properties", {}).items():
            here = f"{path}.{key}" if path else key
            described = self.resolved(value)[1].get("description", "")
            yield Property(here, self.type_of(value), key in required, described, value)
            yield from self._properties(value, here, seen, depth - 1)
