"""Following `$ref` inside the document, and never out of it."""

from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import unquote

from tools.openapi.faults import BadDocument, Place
from tools.openapi.reading import Items, Members

MAX_HOPS = 20  # references that lead to references

# Members whose own members have names of the author's choosing: a property may be called "example" or "$ref".
_NAMED = {
    "properties",
    "patternProperties",
    "$defs",
    "definitions",
    "dependentSchemas",
    "schemas",
    "responses",
    "headers",
    "parameters",
    "requestBodies",
    "securitySchemes",
    "securityDefinitions",
    "links",
    "callbacks",
    "pathItems",
    "paths",
    "webhooks",
    "content",
    "encoding",
    "variables",
}
# Members that are data: what looks like a reference there is none.
_DATA = frozenset(("example", "default", "enum", "const", "mapping", "scopes"))


class References:
    """The references of one document."""

    def __init__(self, document: Members) -> None:
        self._document = document
        self._found: dict[str, tuple[Any, Place]] = {}

    def check(self) -> None:
        """Raises `BadDocument` at the first one that leaves the document or points at nothing."""
        for reference, place in _references(self._document, (), False):
            self.follow(reference, place)

    def follow(self, reference: str, place: Place) -> tuple[Any, Place]:
        """What it points at, and where that is. `place` is the reference's own."""
        if reference not in self._found:
            self._found[reference] = self._target(reference, place)
        return self._found[reference]

    def resolved(self, value: Any, place: Place) -> tuple[Any, Place]:
        """The value itself or, behind references, what is meant; members beside a `$ref` go before its own."""
        beside: dict[str, Any] = {}
        for _ in range(MAX_HOPS):
            if not isinstance(value, dict) or not isinstance(value.get("$ref"), str):
                return (Members(value | beside) if beside and isinstance(value, dict) else value), place
            beside = {name: each for name, each in value.items() if name != "$ref"} | beside
            value, place = self.follow(value["$ref"], (*place, "$ref"))
        raise BadDocument(place, "This reference leads to itself.")

    def _target(self, reference: str, place: Place) -> tuple[Any, Place]:
        if reference != "#" and not reference.startswith("#/"):
            raise BadDocument(
                place,
                f"“{reference[:200]}” leads out of the document. References must begin with “#/”: "
                "put everything into one document.",
            )
        value: Any = self._document
        there: list[str | int] = []
        for raw in reference.split("/")[1:]:
            step = unquote(raw).replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict) and step in value:
                value = value[step]
                there.append(step)
            elif (
                isinstance(value, list)
                and step.isascii()
                and step.isdigit()
                and len(step) < 8
                and int(step) < len(value)
            ):
                value = value[int(step)]
                there.append(int(step))
            else:
                raise BadDocument(place, f"“{reference[:200]}” points at nothing.")
        return value, tuple(there)


def _references(value: Any, place: Place, is_named: bool) -> Iterator[tuple[str, Place]]:
    if isinstance(value, Items):
        for number, item in enumerate(value):
            yield from _references(item, (*place, number), False)
    elif isinstance(value, Members):
        for name, member in value.items():
            if not is_named:
                if name == "$ref" and isinstance(member, str):
                    yield member, (*place, name)
                    continue
                if name in _DATA or name.startswith("x-"):
                    continue
                if name == "examples":
                    yield from _of_examples(member, (*place, name))
                    continue
            yield from _references(member, (*place, name), not is_named and name in _NAMED)


def _of_examples(examples: Any, place: Place) -> Iterator[tuple[str, Place]]:
    """Examples may be references; what is in them is data."""
    if isinstance(examples, Members):
        for name, example in examples.items():
            if isinstance(example, Members) and isinstance(example.get("$ref"), str):
                yield cast(str, example["$ref"]), (*place, name, "$ref")
