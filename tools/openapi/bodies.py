"""The body of a request, in the operation's media type."""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

from tools.openapi.faults import BadArguments
from tools.openapi.operation import Body, Field
from tools.openapi.schemas import Schema
from tools.openapi.styles import encoded, in_query, json_of, text_of

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAY_BREAK = {'"': "%22", "\r": "%0D", "\n": "%0A"}


def body_of(body: Body, value: Any) -> tuple[bytes, str]:
    """The bytes and their content type. Raises `BadArguments`."""
    if body.kind == "json":
        return _utf8(json_of(value)), body.media_type
    if body.kind in ("form", "multipart"):
        if not isinstance(value, dict):
            raise BadArguments(f"“{body.argument}” must be an object.")
        fields = {each.name: each for each in body.fields}
        if body.kind == "form":
            pairs = [pair for name, each in value.items() for pair in _form_pairs(name, each, fields.get(name))]
            return "&".join(pairs).encode(), body.media_type
        return _multipart([part for name, each in value.items() for part in _parts(name, each, fields.get(name))], body)
    own = str(value.get("type") or "") if is_file(value) else ""
    wanted = body.media_type
    if "*" in wanted or wanted.endswith("/octet-stream"):
        wanted = own or ("text/plain" if wanted == "text/*" else "application/octet-stream")
    return value["bytes"] if is_file(value) else _utf8(text_of(value)), wanted


def is_file(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("bytes"), bytes)


def fitted(value: Any, schema: Schema) -> Any:
    """The value with whole numbers where the schema has integers, as models write 1.0 for 1."""
    if not schema:
        return value
    kinds = schema.get("type")
    if isinstance(value, float) and value.is_integer() and "integer" in (kinds if isinstance(kinds, list) else [kinds]):
        return int(value)
    if isinstance(value, list):
        items = schema.get("items")
        return [fitted(each, items) for each in value] if isinstance(items, dict) else value
    if isinstance(value, dict) and not is_file(value):
        properties = schema.get("properties", {})
        rest = schema.get("additionalProperties")
        rest = rest if isinstance(rest, dict) else {}
        return {name: fitted(each, properties.get(name, rest)) for name, each in value.items()}
    return value


def _utf8(text: str) -> bytes:
    """Half a surrogate pair, which models sometimes write, has no UTF-8."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode()


def _form_pairs(name: str, value: Any, field: Field | None) -> list[str]:
    if value is None:
        return []
    if field is not None and field.style:
        return in_query(name, value, field.style, field.explode, field.allow_reserved)
    if is_file(value):
        raise BadArguments(f"“{name}” cannot be a file.")
    if isinstance(value, list) and not (field and "json" in field.content_type):
        return [f"{encoded(name)}={encoded(text_of(each))}" for each in value]
    return [f"{encoded(name)}={encoded(text_of(value))}"]


def _parts(name: str, value: Any, field: Field | None) -> Iterator[tuple[str, bytes]]:
    """The headers and the content of each part: one an item where a list is given."""
    wanted = (field.content_type if field else "").split(",")[0].strip()
    if value is None:
        return
    if isinstance(value, list) and "json" not in wanted:
        for each in value:
            yield from _parts(name, each, field)
        return
    head = f'Content-Disposition: form-data; name="{_quoted(name)}"'
    if is_file(value):
        kind = str(value.get("type") or ("" if "*" in wanted else wanted) or "application/octet-stream")
        head += f'; filename="{_quoted(str(value.get("name") or "file"))}"\r\nContent-Type: {_CONTROL.sub("", kind)}'
        yield head, value["bytes"]
        return
    if field is not None and field.is_file and isinstance(value, dict):
        raise BadArguments(f"“{field.argument}” must be a file.")
    kind = ("" if "*" in wanted else wanted) or ("application/json" if isinstance(value, dict | list) else "")
    yield head + (f"\r\nContent-Type: {_CONTROL.sub('', kind)}" if kind else ""), _utf8(text_of(value))


def _quoted(text: str) -> str:
    return "".join(_MAY_BREAK.get(character, character) for character in text)


def _multipart(parts: list[tuple[str, bytes]], body: Body) -> tuple[bytes, str]:
    # The same arguments give the same bytes, so that a request can be repeated as it was.
    digest = hashlib.sha256()
    for head, content in parts:
        digest.update(_utf8(head) + b"\0" + hashlib.sha256(content).digest())
    boundary = digest.hexdigest()[:40]
    written = b"".join(
        b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary.encode(), _utf8(head), content) for head, content in parts
    )
    essence = body.media_type.partition(";")[0].strip()
    return written + b"--%b--\r\n" % boundary.encode(), f"{essence}; boundary={boundary}"
