"""One operation's part of a document: a document of its own, as small as a call needs it."""

from collections.abc import Iterator, Mapping
from typing import Any

Document = dict[str, Any]

_LEFT_OUT = ("responses", "callbacks", "links", "example", "examples", "externalDocs", "x-codeSamples")
_WHOLE = ("openapi", "info", "servers", "security")
_ANSWER = {"default": {"description": "What the service answers."}}
COMPONENTS = "#/components/"


def cut(document: Document, path: str, method: str) -> Document:
    """The document (OpenAPI 3) with this operation only, and the components that it refers to; without its answers."""
    item = document["paths"][path]
    if "$ref" in item:
        item = _at(document, item["$ref"])
    method = next(key for key in item if key.lower() == method.lower())
    operation = {key: value for key, value in item[method].items() if key not in _LEFT_OUT} | {"responses": _ANSWER}
    shared = {key: item[key] for key in ("parameters", "servers") if key in item}
    kept: Document = {key: value for key, value in document.items() if key in _WHOLE}
    kept["paths"] = {path: shared | {method: operation}}
    components: dict[str, dict[str, Any]] = {}
    schemes = document.get("components", {}).get("securitySchemes", {})
    ways = operation.get("security") or document.get("security") or []
    for name in {name for way in ways for name in way}:
        if name in schemes:
            components.setdefault("securitySchemes", {})[name] = schemes[name]
    _add_referred(document, [kept["paths"], components], components)
    return kept | ({"components": components} if components else {})


def _add_referred(document: Document, parts: list[Any], components: dict[str, dict[str, Any]]) -> None:
    """Adds what the parts refer to, and what that refers to, each under its own kind and name."""
    while parts:
        for reference in set(_references(parts.pop())):
            kind, _, rest = reference.removeprefix(COMPONENTS).partition("/")
            name = rest.partition("/")[0]
            key = name.replace("~1", "/").replace("~0", "~")
            if not reference.startswith(COMPONENTS) or key in components.get(kind, {}):
                continue
            found = document["components"][kind][key]
            components.setdefault(kind, {})[key] = found
            parts.append(found)


def _references(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            if isinstance(part.get("$ref"), str):
                yield part["$ref"]
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def _at(document: Document, reference: str) -> Any:
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found
