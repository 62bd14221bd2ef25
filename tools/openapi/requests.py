"""The one request that a call of an operation is: exactly which bytes go where.

Arguments fill the places that the operation has for them. None of them can change the scheme, the host or the port, nor
climb out of its segment of the path.
"""

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from tools.openapi.bodies import body_of, fitted
from tools.openapi.faults import BadArguments
from tools.openapi.operation import Body, Field, Operation, Parameter, has_one_value, one_value
from tools.openapi.schemas import Schema
from tools.openapi.servers import PATH_SAFE, origin
from tools.openapi.styles import TOKEN, encoded, in_cookie, in_header, in_path, in_query, json_of

ACCEPT = "application/json, text/*;q=0.9, */*;q=0.5"
HIDDEN = "********"
_PRINTABLE = "".join(map(chr, range(32, 127))) + "\t"

_TEMPLATE = re.compile(r"\{([^{}]*)\}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SLASH = re.compile(r"[/\\]")


@dataclass(frozen=True)
class Request:
    """A request as it is sent. `secrets` are what of it must not be told to anybody."""

    method: str
    url: str
    headers: dict[str, str]
    content: bytes | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url.partition('?')[0]}>"

    def without_secrets(self, text: str) -> str:
        """The text with each secret hidden: answers may repeat what they were sent. Three characters are no secret."""
        forms = {form for secret in map(str.strip, self.secrets) if len(secret) > 3 for form in _forms(secret)}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, HIDDEN)
        return text


def _forms(secret: str) -> Iterator[str]:
    """The secret as it stands in texts, headers, addresses, JSON and HTML."""
    yield secret
    yield quote(secret, safe=_PRINTABLE)
    yield encoded(secret)
    for ascii_only in (True, False):
        written = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        yield from (written, written.replace("/", "\\/"))
    yield html.escape(secret)


def request_for(operation: Operation, arguments: Mapping[str, Any]) -> Request:
    """Raises `BadArguments`, whose text is for the model."""
    try:
        return _request(operation, arguments)
    except (RecursionError, UnicodeEncodeError):
        raise BadArguments("The arguments cannot be written: they are nested too deep, or no text.") from None


def _request(operation: Operation, arguments: Mapping[str, Any]) -> Request:
    given = {name: value for name, value in arguments.items() if value is not None or _takes_null(operation, name)}
    _check_known(operation, given)
    path: dict[str, str] = {}
    query: list[str] = []
    headers = {"Accept": ACCEPT}
    cookies: list[str] = []
    for each in operation.parameters:
        if each.is_fixed or each.argument in given:
            value = _value(each, each.argument, given)
            _write(each, value, path, query, headers, cookies)
        elif each.required:
            raise _missing(each.argument, each.schema)
    content, content_type = _content(operation.body, given, set(_known(operation)))
    if content is not None:
        headers["Content-Type"] = header_value("Content-Type", content_type)
    if cookies:
        headers["Cookie"] = header_value("Cookie", "; ".join(cookies))
    return Request(operation.method, _url(operation, path, query), headers, content)


def header_value(name: str, value: str) -> str:
    """Raises `BadArguments` for what would end the header."""
    if not TOKEN.match(name) or _CONTROL.search(value):
        raise BadArguments(f"“{name[:100]}” is a header and cannot have line breaks or control characters.")
    return quote(value.strip(" \t"), safe=_PRINTABLE)


def with_query(url: str, pairs: Iterable[str]) -> str:
    added = "&".join(pairs)
    if not added:
        return url
    return f"{url}{'&' if '?' in url else '?'}{added}"


def _takes_null(operation: Operation, name: str) -> bool:
    """Whether null is a value there, and not only a way to say nothing."""
    if operation.body is None or operation.body.kind != "json":
        return False
    schemas = [each.schema for each in operation.body.fields if each.argument == name]
    if operation.body.argument == name:
        schemas = [operation.body.schema]
    return any(_allows_null(schema) for schema in schemas)


def _allows_null(schema: Schema) -> bool:
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return "null" in kinds
    return kinds == "null" or any(
        isinstance(each, dict) and each.get("type") == "null" for each in schema.get("anyOf", [])
    )


def _check_known(operation: Operation, given: dict[str, Any]) -> None:
    if operation.body is not None and operation.body.is_open:
        return
    known = _known(operation)
    for name in given:
        if name not in known:
            takes = ", ".join(f"“{each}”" for each in known) if known else "no arguments"
            raise BadArguments(f"There is no argument “{name[:100]}”. This function takes {takes}.")


def _known(operation: Operation) -> list[str]:
    known = [each.argument for each in operation.parameters]
    if operation.body is not None:
        known += [each.argument for each in operation.body.fields] or [operation.body.argument]
    return known


def _missing(name: str, schema: Schema) -> BadArguments:
    kinds = schema.get("type")
    told = f" ({kinds})" if isinstance(kinds, str) else ""
    return BadArguments(f"The argument “{name}”{told} is missing.")


def _value(each: Parameter | Field, name: str, given: dict[str, Any]) -> Any:
    """The argument, or the only value that it can have."""
    if name not in given:
        return one_value(each.schema)
    value = fitted(given[name], each.schema)
    if has_one_value(each.schema) and value != one_value(each.schema):
        raise BadArguments(f"“{name}” must be {json_of(one_value(each.schema))}; it can be left out.")
    allowed = each.schema.get("enum")
    if isinstance(allowed, list) and value not in allowed:
        listed = ", ".join(json_of(one) for one in allowed[:50])
        raise BadArguments(f"“{name}” must be one of {listed}.")
    kinds = each.schema.get("type")
    if kinds in ("array", "object") and isinstance(value, str):
        value = fitted(_unquoted(value), each.schema)
    if kinds == "array" and not isinstance(value, list):
        return [value] if not isinstance(value, dict) or "bytes" in value else _refuse(name, "a list")
    if kinds == "object" and not isinstance(value, dict):
        return _refuse(name, "an object")
    if kinds in ("string", "integer", "number", "boolean") and isinstance(value, list):
        return _refuse(name, f"one value ({kinds}) and no list")
    return value


def _unquoted(text: str) -> Any:
    """What models sometimes write as a text in JSON instead of as JSON."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, list | dict) else text


def _refuse(name: str, wanted: str) -> Any:
    raise BadArguments(f"“{name}” must be {wanted}.")


def _write(
    each: Parameter, value: Any, path: dict[str, str], query: list[str], headers: dict[str, str], cookies: list[str]
) -> None:
    if each.is_json:
        value = json_of(value)
    if each.where == "path":
        path[each.name] = _segment(each, value)
    elif each.where == "query":
        query += in_query(each.name, value, each.style, each.explode, each.allow_reserved)
    elif each.where == "header":
        if value not in ([], {}):
            headers[each.name] = header_value(each.name, in_header(value, each.style, each.explode))
    elif written := in_cookie(each.name, value, each.explode):
        cookies.append(written)


def _segment(each: Parameter, value: Any) -> str:
    written = in_path(each.name, value, each.style, each.explode)
    if not written or written == ".":
        raise BadArguments(f"“{each.argument}” cannot be empty.")
    return written


def _content(body: Body | None, given: dict[str, Any], known: set[str]) -> tuple[bytes | None, str]:
    if body is None:
        return None, ""
    if not body.fields:
        if body.argument in given:
            return body_of(body, fitted(given[body.argument], body.schema))
        if body.required:
            raise _missing(body.argument, body.schema)
        return None, ""
    value: dict[str, Any] = {}
    for each in body.fields:
        if each.is_fixed or each.argument in given:
            value[each.name] = _value(each, each.argument, given)
        elif each.required:
            raise _missing(each.argument, each.schema)
    if body.is_open:
        value |= {name: each for name, each in given.items() if name not in known}
    if not value and not body.required:
        return None, ""
    return body_of(body, value)


def _url(operation: Operation, path: dict[str, str], query: list[str]) -> str:
    template, _, fixed = operation.path.partition("?")
    pieces = _TEMPLATE.split(template)
    written = "".join(path[each] if n % 2 else quote(each, safe=PATH_SAFE) for n, each in enumerate(pieces))
    if not written.startswith("/"):
        written = f"/{written}"
    _check_segments(template, written)
    url = operation.server + written
    # Unreachable as everything is encoded; what is sent with a credential is looked at twice all the same.
    if origin(url) != origin(operation.server) or urlsplit(url).fragment:
        raise BadArguments("These arguments would lead to another server.")
    return with_query(url, ([quote(fixed, safe=PATH_SAFE + "?[]")] if fixed else []) + query)


def _check_segments(template: str, written: str) -> None:
    """Servers and clients take `.` and `..` out of a path, also where they are encoded."""
    if _climbs(written) > _climbs(template):
        raise BadArguments("An argument that stands in the path cannot be “.” or “..”, nor have these between slashes.")


def _climbs(path: str) -> int:
    return sum(segment in (".", "..") for segment in _SLASH.split(unquote(path)))
