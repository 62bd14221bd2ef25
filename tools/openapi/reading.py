"""From a text to plain JSON values, whatever the text is made of.

YAML is read as YAML 1.2 reads it: `no` and `2024-01-01` are strings. Aliases are followed, and what they unfold to is
counted. Nothing is looked up by a tag, and nothing is built but dicts, lists, strings, numbers, booleans and None.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import yaml

from tools.openapi.faults import BadDocument, Place

MAX_BYTES = 16_000_000
MAX_DEPTH = 100  # of values in values
MAX_VALUES = 1_000_000  # with aliases unfolded
# Far above this, an answer about the number would be longer than the document.
MAX_DIGITS = 400

_TOO_MANY = f"The document has more than {MAX_VALUES:,} values."
_TOO_DEEP = f"The document is nested more than {MAX_DEPTH} levels deep."

_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_OTHER_INTEGER = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Members(dict[str, Any]):
    """An object of the document. A message that shows it is short."""

    def __repr__(self) -> str:
        return "{" + ", ".join(repr(key)[:40] for key in list(self)[:5]) + ("…}" if len(self) > 5 else "}")


class Items(list[Any]):
    """An array of the document. A message that shows it is short."""

    def __repr__(self) -> str:
        return f"[{len(self)} items]"


def parsed(source: str | bytes | Mapping[str, Any]) -> Members:
    """The document as JSON values, keys in its order. Raises `BadDocument`."""
    value = _of_text(source) if isinstance(source, str | bytes) else source
    document = _Copying().copy(value, ())
    if not isinstance(document, Members):
        raise BadDocument("", "The document must be an object with `openapi` or `swagger`, `info` and `paths`.")
    return document


def _of_text(source: str | bytes) -> Any:
    if len(source) > MAX_BYTES:
        raise BadDocument("", f"The document is larger than {MAX_BYTES // 1_000_000} MB.")
    try:
        text = source if isinstance(source, str) else source.decode("utf-8-sig")
        if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
            raise BadDocument("", f"The document is larger than {MAX_BYTES // 1_000_000} MB.")
    except UnicodeDecodeError:
        raise BadDocument("", "The document is not text in UTF-8.") from None
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise BadDocument("", "The document is empty.")
    if text.lstrip()[0] != "{":
        return _of_yaml(text)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        try:
            return _of_yaml(text)  # in braces, and with what JSON does not allow
        except BadDocument:
            raise BadDocument(f"line {error.lineno}, column {error.colno}", f"No JSON: {error.msg}.") from None
    except RecursionError:
        raise BadDocument("", _TOO_DEEP) from None
    except ValueError:
        raise BadDocument("", "The document has a number that is too long.") from None


def _of_yaml(text: str) -> Any:
    try:
        return _Composing().compose(text)
    except yaml.MarkedYAMLError as error:
        place = _line(error.problem_mark or error.context_mark)
        raise BadDocument(place, f"No YAML: {error.problem or error.context}.") from None
    except yaml.YAMLError as error:
        raise BadDocument("", f"No YAML: {' '.join(str(error).split())[:200]}.") from None


class _Composing:
    """Builds values out of YAML's events, without recursion: depth is a matter of the document's author."""

    def __init__(self) -> None:
        self._anchors: dict[str, Any] = {}
        self._open: list[tuple[Any, list[Any], str | None]] = []  # containers with what has come into them
        self._whole: list[Any] = []
        self._merged = 0

    def compose(self, text: str) -> Any:
        documents = 0
        # The parser in C gives the same events, many times faster.
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise BadDocument("", "The text has more than one YAML document.")
            elif isinstance(event, yaml.AliasEvent):
                if event.anchor not in self._anchors:
                    raise _at(event, f"There is no anchor `{event.anchor}` before this.")
                self._add(self._anchors[event.anchor], None)
            elif isinstance(event, yaml.ScalarEvent):
                self._add(_scalar(event), event.anchor)
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                if len(self._open) >= MAX_DEPTH:
                    raise _at(event, _TOO_DEEP)
                container: Any = Members() if isinstance(event, yaml.MappingStartEvent) else Items()
                if event.anchor:
                    self._anchors[event.anchor] = container
                self._open.append((container, [], event.anchor))
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                container, content, _ = self._open.pop()
                if isinstance(container, Items):
                    container.extend(content)
                else:
                    self._fill(container, content, event)
                self._add(container, None)
        return self._whole[0] if self._whole else None

    def _add(self, value: Any, anchor: str | None) -> None:
        if anchor:
            self._anchors[anchor] = value
        (self._open[-1][1] if self._open else self._whole).append(value)

    def _fill(self, members: Members, content: list[Any], event: yaml.Event) -> None:
        given: dict[str, Any] = {}
        for key, value in zip(content[::2], content[1::2], strict=True):
            if isinstance(key, dict | list):
                raise _at(event, "A key of this object is no text.")
            if key == "<<" and isinstance(value, dict | list):
                for source in value if isinstance(value, list) else [value]:
                    if not isinstance(source, dict):
                        raise _at(event, "What is merged with `<<` is no object.")
                    self._merged += len(source)
                    if self._merged > MAX_VALUES:
                        raise _at(event, _TOO_MANY)
                    for name, inherited in source.items():
                        members.setdefault(name, inherited)
            else:
                given[_key(key)] = value
        members.update(given)


def _at(event: yaml.Event, message: str) -> BadDocument:
    return BadDocument(_line(event.start_mark), message)


def _line(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def _key(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _scalar(event: yaml.ScalarEvent) -> Any:
    text: str = event.value
    tag = event.tag
    if tag == "tag:yaml.org,2002:str" or (tag is None and not event.implicit[0]) or tag == "!":
        return text
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.match(text) and len(text) <= MAX_DIGITS:
        return int(text)
    if _OTHER_INTEGER.match(text) and len(text) <= MAX_DIGITS:
        return int(text, 0)
    if _FLOAT.match(text) and math.isfinite(float(text)):
        return float(text)
    return text


class _Copying:
    """A copy in which each value stands for itself, counted and made fit to be stored."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def copy(self, value: Any, place: Place) -> Any:
        self._left -= 1
        if self._left < 0:
            raise BadDocument("", _TOO_MANY)
        if len(place) > MAX_DEPTH:
            raise BadDocument("", _TOO_DEEP)
        if isinstance(value, str):
            return _UNSTORABLE.sub("\ufffd", value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            if abs(value) >= 10**MAX_DIGITS:
                raise BadDocument(place, "This number is too long.")
            return int(value)
        if isinstance(value, float):
            if not math.isfinite(value):
                raise BadDocument(place, "This number is not one that JSON has.")
            return float(value)
        if isinstance(value, Mapping):
            members = Members()
            for key, member in value.items():
                name = _UNSTORABLE.sub("\ufffd", _name(key, place))
                members[name] = self.copy(member, (*place, name))
            return members
        if isinstance(value, list | tuple):
            return Items(self.copy(item, (*place, number)) for number, item in enumerate(value))
        raise BadDocument(place, f"This is a Python {type(value).__name__}, which JSON does not have.")


def _name(key: object, place: Place) -> str:
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, bool | int | float):
        return json.dumps(key)
    raise BadDocument(place, "A key of this object is no text.")


def as_object(value: Any, place: Place) -> dict[str, Any]:
    """The value, if it is an object; else raises `BadDocument`. For what stands behind a reference."""
    if not isinstance(value, dict):
        raise BadDocument(place, "This must be an object.")
    return value


def as_list(value: Any, place: Place) -> list[Any]:
    if not isinstance(value, list):
        raise BadDocument(place, "This must be an array.")
    return value


def as_text(value: Any, place: Place) -> str:
    if not isinstance(value, str):
        raise BadDocument(place, "This must be a text.")
    return value
