"""How OpenAPI writes a value in a path, a query, a header, a cookie or a form: its styles, as in RFC 6570."""

import json
import re
from typing import Any
from urllib.parse import quote

from tools.openapi.faults import BadArguments

# Reserved characters that an `allowReserved` value may keep. Not those that would end the value or the query, nor those
# that no query may have, nor a plus, which forms read as a blank.
RESERVED = ":/?@!$'()*,;="
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")  # what a header may be called
_ENCODED = re.compile(r"(%[0-9A-Fa-f]{2})")

_DELIMITERS = {"spaceDelimited": "%20", "pipeDelimited": "%7C", "tabDelimited": "%09"}
Pairs = list[tuple[str, str]]


def text_of(value: Any) -> str:
    """A value as text: `true`, `1`, `1.5`; what has values in it, as JSON."""
    return value if isinstance(value, str) else json_of(value)


def json_of(value: Any) -> str:
    """Compact JSON. Raises `BadArguments` for what JSON does not have."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise BadArguments("The arguments cannot be written as JSON.") from None


def encoded(text: str, allow_reserved: bool = False) -> str:
    """Percent-encoded UTF-8. With `allow_reserved`, what is encoded already stays as it is."""
    if not allow_reserved:
        return quote(text, safe="")
    pieces = _ENCODED.split(text)
    return "".join(each if n % 2 else quote(each, safe=RESERVED) for n, each in enumerate(pieces))


def in_path(name: str, value: Any, style: str, explode: bool) -> str:
    """What stands in the path for the parameter, in the styles simple, label and matrix."""
    name = encoded(name)
    if style == "matrix":
        return _matrix(name, value, explode)
    written = _simple(value, explode, encoded, "." if style == "label" and explode else _DELIMITERS.get(style, ","))
    return f".{written}" if style == "label" else written


def in_header(value: Any, style: str, explode: bool) -> str:
    """A header's value; nothing is encoded there but what is not ASCII."""
    return _simple(value, explode, lambda text: text, {"spaceDelimited": " ", "pipeDelimited": "|"}.get(style, ","))


def in_query(name: str, value: Any, style: str, explode: bool, allow_reserved: bool = False) -> list[str]:
    """`name=value` pairs; none for an empty list or object."""
    if style == "deepObject" and isinstance(value, dict | list):
        return [f"{encoded(key)}={encoded(text, allow_reserved)}" for key, text in _deep(name, value)]

    def write(each: Any) -> str:
        return encoded(text_of(each), allow_reserved)

    key = encoded(name)
    if isinstance(value, list):
        if explode:
            return [f"{key}={write(each)}" for each in value]
        return [f"{key}={_DELIMITERS.get(style, ',').join(map(write, value))}"] if value else []
    if isinstance(value, dict):
        members = {encoded(each): write(member) for each, member in value.items() if member is not None}
        if explode and style == "form":
            return [f"{each}={member}" for each, member in members.items()]
        written = _DELIMITERS.get(style, ",").join(part for member in members.items() for part in member)
        return [f"{key}={written}"] if members else []
    return [f"{key}={write(value)}"]


def in_cookie(name: str, value: Any, explode: bool) -> str:
    """`name=value`, several of them as cookies are separated."""
    return "; ".join(in_query(name, value, "form", explode))


def _simple(value: Any, explode: bool, write: Any, delimiter: str) -> str:
    if isinstance(value, list):
        return delimiter.join(write(text_of(each)) for each in value)
    if isinstance(value, dict):
        members = [(write(name), write(text_of(each))) for name, each in value.items() if each is not None]
        if explode:
            return delimiter.join(f"{name}={each}" for name, each in members)
        return delimiter.join(part for member in members for part in member)
    return str(write(text_of(value)))


def _matrix(name: str, value: Any, explode: bool) -> str:
    if isinstance(value, list) and explode:
        return "".join(_assigned(name, encoded(text_of(each))) for each in value)
    if isinstance(value, dict) and explode:
        return "".join(
            _assigned(encoded(each), encoded(text_of(member))) for each, member in value.items() if member is not None
        )
    written = _simple(value, False, encoded, ",")
    return "" if isinstance(value, dict | list) and not value else _assigned(name, written)


def _assigned(name: str, value: str) -> str:
    return f";{name}={value}" if value else f";{name}"


def _deep(name: str, value: Any) -> Pairs:
    """`name[a]`, `name[a][b]`; the specification says nothing of lists, which are written as `name[]`."""
    if isinstance(value, dict):
        return [pair for key, each in value.items() if each is not None for pair in _deep(f"{name}[{key}]", each)]
    if isinstance(value, list):
        return [pair for each in value for pair in _deep(f"{name}[]", each)]
    return [(name, text_of(value))]
