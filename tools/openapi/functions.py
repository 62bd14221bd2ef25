"""The arguments of a function, out of an operation's parameters and its body, and how each is written."""

import json
import re
from dataclasses import dataclass
from typing import Any, cast

from tools.openapi.faults import BadDocument, Place
from tools.openapi.operation import FORM, MULTIPART, Body, Field, Parameter, Where
from tools.openapi.reading import as_object, as_text
from tools.openapi.references import References
from tools.openapi.schemas import Inlining, Schema, TooLarge, merged, only_required
from tools.openapi.styles import TOKEN

MAX_CHARACTERS = 32_000  # of a function's arguments as JSON, where telling less of them comes below it
MOST_CHARACTERS = 200_000  # however little is told
MAX_VALUES = 1_000_000  # of all functions of a document, with those that were looked at in vain: some ten seconds
MOST_TOGETHER = 16_000_000  # characters of all functions of a document; GitHub's, with 1,223, have three
# Levels told, values told, and whether descriptions and long lists are left out. The last tells no more than types.
_ATTEMPTS = (
    (8, 2_500, False),
    (5, 2_000, False),
    (4, 2_000, False),
    (3, 2_000, False),
    (2, 2_000, True),
    (1, 10_000, True),
    (-1, 10_000, True),
)
MAX_ARGUMENT = 64

_STYLES = {
    "path": ("simple", "label", "matrix", "spaceDelimited", "pipeDelimited", "tabDelimited"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "tabDelimited", "deepObject"),
    "header": ("simple", "spaceDelimited", "pipeDelimited", "tabDelimited"),
    "cookie": ("form",),
}
# As the specification says, the first three are none of the document's business; the others belong to the connection.
_NOT_HEADERS = {
    "accept",
    "content-type",
    "authorization",
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "cookie",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
}
_PLACES = {"path": "in the path", "query": "in the query", "header": "in a header", "cookie": "in a cookie"}

Located = tuple[dict[str, Any], Place]


@dataclass
class Allowance:
    """What is left for all functions of one document: `values` that may be looked at, `characters` that may be told.

    Many operations may have one large schema, so that a small document would become a thousand times more.
    """

    values: int = MAX_VALUES
    characters: int = MOST_TOGETHER

    def take(self, values: int, characters: int) -> None:
        """Raises `BadDocument` if that is more than is left."""
        self.values -= values
        self.characters -= characters
        if self.values < 0 or self.characters < 0:
            raise BadDocument(
                "paths", "The operations together take more than can be read: divide the document into smaller ones."
            )


def operation_parts(
    references: References,
    parameters: list[Located],
    body: tuple[Any, Place] | None,
    place: Place,
    allowance: Allowance,
) -> tuple[tuple[Parameter, ...], Body | None]:
    """Told as fully as a function's size allows. Raises `BadDocument`."""
    for depth, values, is_terse in _ATTEMPTS:
        inlining = Inlining(references, depth=depth, values=values, is_terse=is_terse)
        parts, characters = None, MOST_CHARACTERS
        try:
            parts = _Arguments(references, inlining).of(parameters, body)
            characters = _characters(*parts)
        except TooLarge:
            pass
        is_told = parts is not None and characters <= (MAX_CHARACTERS if depth > 1 else MOST_CHARACTERS)
        allowance.take(min(inlining.told, values), characters if is_told else 0)
        if parts is not None and is_told:
            return parts
    raise BadDocument(place, "This operation takes more than a function for a model can hold.")


def _characters(parameters: tuple[Parameter, ...], body: Body | None) -> int:
    schemas = [each.schema for each in parameters] + ([body.schema] if body else [])
    return sum(len(json.dumps(schema, ensure_ascii=False)) for schema in schemas)


class _Arguments:
    def __init__(self, references: References, inlining: Inlining) -> None:
        self._references = references
        self._inlining = inlining
        self._taken: set[str] = set()

    def of(
        self, parameters: list[Located], body: tuple[Any, Place] | None
    ) -> tuple[tuple[Parameter, ...], Body | None]:
        told = [self._parameter(source, place) for source, place in parameters]
        return tuple(each for each in told if each is not None), self._body(*body) if body else None

    def _argument(self, name: str, where: str) -> str:
        """A name for it that no other argument has, of characters that every provider takes."""
        plain = re.sub(r"[^a-zA-Z0-9_.-]+", "_", name)
        plain = (plain if plain == name else plain.strip("_."))[:MAX_ARGUMENT] or "argument"
        free, number = plain, 1
        while free in self._taken:
            ending = f"_in_{where}" + (f"_{number}" if number > 1 else "")
            free = plain[: MAX_ARGUMENT - len(ending)] + ending
            number += 1
        self._taken.add(free)
        return free

    def _parameter(self, source: dict[str, Any], place: Place) -> Parameter | None:
        name, where = source["name"], source["in"]
        if where not in _STYLES:
            raise BadDocument((*place, "in"), f"A parameter cannot be in “{where[:40]}”.")
        if where == "header" and name.lower() in _NOT_HEADERS:
            return None
        if where == "header" and not TOKEN.match(name):
            raise BadDocument((*place, "name"), f"“{name[:100]}” is no name of a header.")
        schema, place_of_schema, is_json = source.get("schema", {}), (*place, "schema"), False
        if "content" in source:
            content = as_object(source["content"], (*place, "content"))
            for media_type, media in content.items():
                is_json = _is_json(media_type)
                place_of_schema = (*place, "content", media_type, "schema")
                schema = as_object(media, place_of_schema[:-1]).get("schema", {})
                break
        default = "form" if where in ("query", "cookie") else "simple"
        style = source.get("style", default)
        if style not in _STYLES[where]:
            raise BadDocument((*place, "style"), f"There is no style “{str(style)[:40]}” {_PLACES[where]}.")
        argument = self._argument(name, where)
        told = self._inlining.schema(schema, place_of_schema)
        return Parameter(
            name=name,
            where=cast(Where, where),
            argument=argument,
            required=where == "path" or source.get("required") is True,
            schema=_described(told, source.get("description"), name, argument, _PLACES[where]),
            style=style,
            explode=source.get("explode", style == "form") is True,
            allow_reserved=source.get("allowReserved") is True and where == "query",
            is_json=is_json,
        )

    def _body(self, given: Any, place: Place) -> Body | None:
        source = as_object(given, place)
        content = as_object(source.get("content"), (*place, "content"))
        if not content:
            return None
        media_type = min(content, key=_rank)
        there: Place = (*place, "content", media_type)
        media = as_object(content[media_type], there)
        told = self._inlining.schema(media.get("schema", {}), (*there, "schema"))
        if isinstance(description := source.get("description"), str):
            told = {"description": description} | told
        body = Body(
            media_type="application/json" if media_type in ("*/*", "application/*") else media_type,
            required=source.get("required") is True,
            schema=told,
        )
        flat = _flat(told) if body.kind in ("json", "form", "multipart") else None
        if flat is None:
            return _with(body, argument=self._argument("body", "body"))
        encoding = as_object(media.get("encoding", {}), (*there, "encoding"))
        asked = flat.get("required", [])
        fields = tuple(
            self._field(name, schema, body.required and name in asked, body.kind, encoding, (*there, "encoding", name))
            for name, schema in flat["properties"].items()
        )
        return _with(body, fields=fields, is_open=flat.get("additionalProperties", False) is not False)

    def _field(
        self, name: str, schema: Schema, required: bool, kind: str, encoding: dict[str, Any], place: Place
    ) -> Field:
        how = as_object(encoding.get(name, {}), place)
        argument = self._argument(name, "body")
        has_style = any(each in how for each in ("style", "explode", "allowReserved"))
        style = as_text(how.get("style", "form"), (*place, "style")) if has_style else ""
        if style and style not in _STYLES["query"]:
            raise BadDocument((*place, "style"), f"There is no style “{style[:40]}” in a form.")
        field = Field(
            name=name,
            argument=argument,
            required=required,
            schema=_described(schema, None, name, argument, "in the body"),
            style=style,
            explode=how.get("explode", style in ("form", "")) is True,
            allow_reserved=how.get("allowReserved") is True,
            content_type=as_text(how.get("contentType", ""), (*place, "contentType")),
        )
        if kind == "multipart" and field.is_file:
            told = "Ids of files." if "items" in schema else "The id of a file."
            text = _added(field.schema.get("description", ""), told)
            return Field(**{**field.__dict__, "schema": field.schema | {"description": text}})
        return field


def _with(body: Body, **values: Any) -> Body:
    return Body(**{**body.__dict__, **values})


def _described(schema: Schema, description: Any, name: str, argument: str, where: str) -> Schema:
    """With the parameter's own description, and its name where the argument had to be called otherwise."""
    text = description if isinstance(description, str) and description else schema.get("description", "")
    if argument != name:
        text = _added(text, f"(`{name}` {where})")
    return schema | {"description": text} if text else schema


def _added(text: str, more: str) -> str:
    return text if text.endswith(more) else f"{text} {more}".strip()


def _flat(schema: Schema) -> Schema | None:
    """The schema, if its properties can be arguments of their own."""
    schema = merged(schema)
    if schema.get("type", "object") != "object" or not schema.get("properties") or "not" in schema:
        return None
    for name in ("oneOf", "anyOf", "allOf"):
        if name in schema and not only_required(schema[name]):
            return None
    return schema


def _is_json(media_type: str) -> bool:
    return media_type.partition(";")[0].strip().lower().endswith(("/json", "+json"))


def _rank(media_type: str) -> int:
    """What is taken first where a body may have several forms."""
    essence = media_type.partition(";")[0].strip().lower()
    known = ("application/json", FORM, MULTIPART, "text/plain", "application/octet-stream", "*/*")
    if _is_json(essence) and essence != "application/json":
        return 1
    return 2 * known.index(essence) if essence in known else 2 * len(known)
