"""A server's tools made fit for a model: names that functions can have, texts and schemas within bounds.

What a server says is a stranger's: it may be long, deep or broken on purpose, and a model's provider refuses the whole
run for one schema that it cannot read. A tool that cannot be made fit is left out.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

MOST_OFFERED = 128
MOST_NAME = 256  # characters of the server's own name for a tool
MOST_DESCRIPTION = 4_000  # characters
MOST_SCHEMA = 32_000  # characters of a tool's schema as JSON
MOST_TOGETHER = 400_000  # characters that the model is told of one server's tools: a hundred thousand tokens
MOST_DEPTH = 40
MOST_FUNCTION_NAME = 64

_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


@dataclass(frozen=True)
class Listed:
    """A tool of a server. `name` is the server's. The two hints are what it says of itself, and may be lies."""

    name: str
    description: str
    parameters: dict[str, Any]
    read_only: bool = False
    idempotent: bool = False

    @property
    def is_repeatable(self) -> bool:
        return self.read_only or self.idempotent


@dataclass(frozen=True)
class Listing:
    """The tools, and the protocol's version that the server speaks. `left_out`: how many tools were not fit."""

    tools: tuple[Listed, ...]
    version: str = ""
    left_out: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> "Listing":
        return cls(tuple(Listed(**each) for each in stored["tools"]), stored["version"], stored["left_out"])

    def named(self, name: str) -> Listed | None:
        return next((each for each in self.tools if each.name == name), None)


@dataclass(frozen=True)
class Told:
    """A tool as its server tells of it."""

    name: str
    title: str
    description: str
    schema: Any
    read_only: bool
    idempotent: bool
    is_callable: bool = True  # by a plain call, without what only other kinds of clients can do


def fitted(told: list[Told], version: str) -> Listing:
    """What of these can be offered; takes a while for many, so not in an event loop."""
    tools: dict[str, Listed] = {}
    together = 0
    for each in told:
        tool = _fit(each)
        if tool is None or tool.name in tools:
            continue
        together += len(tool.description) + len(json.dumps(tool.parameters))
        if together > MOST_TOGETHER:
            break
        tools[tool.name] = tool
    return Listing(tuple(tools.values()), version, len(told) - len(tools))


def _fit(told: Told) -> Listed | None:
    if not told.is_callable or not told.name or len(told.name) > MOST_NAME or _UNSTORABLE.search(told.name):
        return None
    parameters = fit_schema(told.schema)
    if parameters is None:
        return None
    description = _UNSTORABLE.sub(" ", told.description or told.title).strip()
    if len(description) > MOST_DESCRIPTION:
        description = description[:MOST_DESCRIPTION] + " …"
    return Listed(told.name, description, parameters, told.read_only, told.idempotent)


def fit_schema(schema: Any) -> dict[str, Any] | None:
    """The schema of an object, without references that lead out of it. None: it cannot be used.

    Nothing is fetched: a reference to another document becomes a schema that takes anything.
    """
    if not isinstance(schema, dict) or _depth_of(schema) > MOST_DEPTH:
        return None
    try:
        text = json.dumps(schema, allow_nan=False)
    except ValueError:
        return None
    if len(text) > MOST_SCHEMA:
        return None
    schema = json.loads(text)
    for part in _parts(schema):
        for word in _REFERENCES:
            if word in part and not _leads_somewhere(part[word], schema):
                del part[word]
        for word in ("$schema", "$id", "$anchor"):
            part.pop(word, None)
    schema = _cleaned(schema)
    if schema.get("type", "object") != "object":
        return None
    from jsonschema import Draft202012Validator, SchemaError  # not loaded where no server is listed

    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError):
        return None
    return {**schema, "type": "object", "properties": schema.get("properties") or {}}


def _depth_of(value: Any) -> int:
    level, depth = [value], 0
    while level and depth <= MOST_DEPTH:
        depth += 1
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return depth


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object in it, and so every schema."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def _leads_somewhere(reference: Any, schema: dict[str, Any]) -> bool:
    """Whether it is a reference to a part of the same schema that is there."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        return False
    place: Any = schema
    for step in reference.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(place, dict) and step in place:
            place = place[step]
        elif isinstance(place, list) and step.isdecimal() and int(step) < len(place):
            place = place[int(step)]
        else:
            return False
    return isinstance(place, dict)


def _cleaned(value: Any) -> Any:
    """Without characters that cannot be stored."""
    if isinstance(value, str):
        return _UNSTORABLE.sub(" ", value)
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    if isinstance(value, dict):
        return {_cleaned(name): _cleaned(each) for name, each in value.items()}
    return value


def function_name(label: str, name: str) -> str:
    """What the model calls the tool by: `label_name`. Other characters become `_`; what is cut ends in a digest."""
    full = f"{label}_{name}"
    fit = _NOT_IN_NAMES.sub("_", full)
    if len(fit) <= MOST_FUNCTION_NAME and fit == full:
        return fit
    digest = hashlib.sha256(full.encode()).hexdigest()[:8]
    return f"{fit[: MOST_FUNCTION_NAME - 9]}_{digest}"
