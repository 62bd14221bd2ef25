"""Ids in OpenAI's shape that sort in the order in which they were made.

`prefix` + 24 base62 characters: the first nine are the moment in microseconds, made unique within the process, the
other fifteen (89 bits) are random. The alphabet is in ASCII order and columns use the collation "C", so a list page is
a range of the primary key.
"""

import secrets
import threading
import time
from datetime import datetime
from typing import Any

from django.db import models

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LENGTH = 24
_MOMENT_LENGTH = 9
_RANDOM_LENGTH = LENGTH - _MOMENT_LENGTH
_RANDOM_RANGE = 62**_RANDOM_LENGTH

_lock = threading.Lock()
_last = 0


def base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def _next_moment() -> int:
    """Now in microseconds, but later than every moment this process has handed out."""
    global _last
    with _lock:
        _last = max(time.time_ns() // 1000, _last + 1)
        return _last


def new_id(prefix: str) -> str:
    """A new id; `prefix` contains its separator, as in `asst_` or `file-`."""
    return prefix + base62(_next_moment(), _MOMENT_LENGTH) + base62(secrets.randbelow(_RANDOM_RANGE), _RANDOM_LENGTH)


def moment_id(prefix: str, moment: datetime) -> str:
    """Where the ids that are made from this moment on begin, in the order of ids; no object has it."""
    return prefix + base62(max(0, int(moment.timestamp() * 1_000_000)), _MOMENT_LENGTH)


class WireIdField(models.CharField):  # type: ignore[type-arg]
    """A primary key that is also the object's id on the wire."""

    def __init__(self, *, prefix: str, **options: Any) -> None:
        self.prefix = prefix
        fixed: dict[str, Any] = {
            "max_length": 64,
            "primary_key": True,
            "editable": False,
            "db_collation": "C",
            "default": self.make,
        }
        super().__init__(**(fixed | options))

    def make(self) -> str:
        return new_id(self.prefix)

    def deconstruct(self) -> Any:
        name, path, args, options = super().deconstruct()
        for fixed in ("default", "primary_key", "editable", "db_collation"):
            options.pop(fixed, None)
        return name, path, args, options | {"prefix": self.prefix}
