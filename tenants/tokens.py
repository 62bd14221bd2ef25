"""The text of an API token: `sk-holdfast-`, 32 random base62 characters, 6 of checksum.

It begins with `sk-` because some clients insist on that; the rest of the prefix and the checksum let secret scanners
find a leaked one without false alarms. Only the SHA-256 digest is stored: a token has 190 bits of randomness, so a slow
hash would add nothing.
"""

import hashlib
import secrets
import zlib

from assistant_site.wire.ids import base62

PREFIX = "sk-holdfast-"
_RANDOM_LENGTH = 32
_CHECK_LENGTH = 6


def _checksum(body: str) -> str:
    return base62(zlib.crc32(body.encode()), _CHECK_LENGTH)


def new_value() -> str:
    body = base62(secrets.randbelow(62**_RANDOM_LENGTH), _RANDOM_LENGTH)
    return PREFIX + body + _checksum(body)


def is_well_formed(value: str) -> bool:
    """Whether the checksum fits: false for every text that never was one of our tokens."""
    if not value.startswith(PREFIX) or not value.isascii():
        return False
    rest = value[len(PREFIX) :]
    body, check = rest[:_RANDOM_LENGTH], rest[_RANDOM_LENGTH:]
    return len(body) == _RANDOM_LENGTH and check == _checksum(body)


def digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def hint(value: str) -> str:
    """What may be shown of a token: enough to tell two apart, too little to use."""
    return f"{PREFIX}…{value[-4:]}"


def starred(value: str) -> str:
    """A wrong key as the error message repeats it: its first 8 and last 4 characters."""
    if len(value) <= 12:
        return value[:2] + "*" * max(0, len(value) - 2)
    return value[:8] + "*" * min(len(value) - 12, 40) + value[-4:]
