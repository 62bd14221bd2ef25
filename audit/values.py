"""What of a row's values may stand in the log: no secrets, and nothing huge.

Secrets are known by the names of the columns and keys that they stand under, wherever in a value that is, and as parts
of addresses. They are hidden after `before` and `after` have been compared, so that a new secret is a visible change.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

HIDDEN = "***"
MOST_TEXT = 4 * 1024  # characters of one text
MOST_FIELD = 16 * 1024  # bytes of one field, as JSON
MOST_SIDE = 30 * 1024  # of `before`, and of `after`
_SHOWN = 1_000  # characters of a field that is too large

_SECRET = re.compile(
    r"(^|_)(sealed|secrets?|passwords?|passwd|authori[sz]ation|authentication|credentials?|headers|cookies?|digest|"
    r"encrypted|bearer|api_?keys?|x_?api_?key|access_?keys?|private_?keys?|secret_?keys?|"
    r"(access|refresh|api|id|auth)_?tokens?)($|_)",
    re.IGNORECASE,
)
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")  # in camelCase
_BARE = {"token", "tokens", "auth"}  # secrets where they stand inside of a value; as columns they are references
_NOT_SECRET = {"encrypted_at", "token_id", "prompt_tokens", "completion_tokens", "cached_tokens"}
_ADDRESS = re.compile(r"\b([a-z][a-z0-9+.-]*://)([^\s/?#@]*@)?([^\s?#]*)(\?[^\s#]*)?(#\S*)?", re.IGNORECASE)
_OWN_TOKEN = re.compile(r"\bsk-[A-Za-z0-9_-]{12,}")


class Secret:
    """A value that is compared, and never shown."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(str(self._value))

    def __repr__(self) -> str:
        return HIDDEN


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both without the fields that are the same in both."""
    names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return tuple({name: value for name, value in side.items() if name in names} for side in (before, after))  # type: ignore[return-value]


def shown(fields: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The fields as they are stored: secrets hidden, long texts cut, the largest fields left out if need be."""
    if fields is None:
        return None
    kept = {name: _fitting(_shown(value, name, is_column=True)) for name, value in fields.items()}
    sizes = {name: len(_json(value)) for name, value in kept.items()}
    for name in sorted(sizes, key=lambda name: sizes[name], reverse=True):
        if sum(sizes.values()) <= MOST_SIDE:
            break
        kept[name] = _too_large(kept[name], most=64)
        sizes[name] = len(_json(kept[name]))
    return kept


def is_secret(name: str, *, is_column: bool) -> bool:
    words = _WORD.sub("_", name).replace("-", "_")
    if words.lower() in _NOT_SECRET:
        return False
    return bool(_SECRET.search(words)) or (not is_column and words.lower() in _BARE)


def _shown(value: Any, name: str, *, is_column: bool = False) -> Any:
    if isinstance(value, Secret) or (value and not isinstance(value, bool) and is_secret(name, is_column=is_column)):
        return HIDDEN
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return {text(str(key)): _shown(each, str(key)) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(each, "") for each in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"({len(value)} bytes)"
    return value


def text(value: str) -> str:
    """A text without what must not stand in the log, cut if it is long; the end tells two long ones apart."""
    cut = len(value) > MOST_TEXT
    kept = value[:MOST_TEXT] if cut else value
    if "://" in kept:
        kept = _ADDRESS.sub(_bare_address, kept)
    kept = _OWN_TOKEN.sub(HIDDEN, kept)
    kept = kept.replace("\x00", "").encode(errors="replace").decode()
    if cut:
        kept += f"… ({len(value):,} characters, SHA-256 {_digest(value)})"
    return kept


def _bare_address(found: "re.Match[str]") -> str:
    scheme, account, place, query, _ = found.groups()
    account = f"{HIDDEN}@" if account else ""
    query = re.sub(r"=[^&]*", f"={HIDDEN}", query) if query else ""
    return f"{scheme}{account}{place}{query}"


def _fitting(value: Any) -> Any:
    return value if len(_json(value)) <= MOST_FIELD else _too_large(value, most=_SHOWN)


def _too_large(value: Any, *, most: int) -> dict[str, Any]:
    written = _json(value).decode()
    return {"begins": written[:most], "bytes": len(written), "sha256": _digest(written)}


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode(errors="replace")).hexdigest()[:16]


def _json(value: Any) -> bytes:
    return json.dumps(value, cls=DjangoJSONEncoder).encode()
