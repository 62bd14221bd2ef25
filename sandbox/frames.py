"""The frames between a session and its runner. What comes from inside is hostile: it is bounded, and checked, or it
ends the session.

A frame: the header's length (four bytes, big-endian), a JSON object of at most 64 KiB, and `bytes` bytes of payload.
"""

import asyncio
import json
import struct
from typing import Any

from sandbox.protocol import MIB, FileInfo

MOST_HEADER = 64 * 1024
MOST_PAYLOAD = 9 * MIB  # a picture has at most 8
MOST_FILES = 1_000
MOST_NAME_BYTES = 1_024
MOST_DEPTH = 8


class Violation(Exception):
    """What came from inside is no frame, or none that belongs there; the session is ended."""


Header = dict[str, Any]


def pack(header: Header, payload: bytes = b"") -> bytes:
    head = json.dumps({**header, "bytes": len(payload)}).encode()
    return struct.pack(">I", len(head)) + head + payload


async def read(reader: asyncio.StreamReader) -> tuple[Header, bytes, int]:
    """The next frame, and its length in bytes. Raises Violation, asyncio.IncompleteReadError at the end."""
    (length,) = struct.unpack(">I", await reader.readexactly(4))
    if not 0 < length <= MOST_HEADER:
        raise Violation(f"a header of {length} bytes")
    header = parsed(await reader.readexactly(length))
    if not isinstance(header, dict):
        raise Violation("a header that is no object")
    count = number(header, "bytes", MOST_PAYLOAD)
    return header, await reader.readexactly(count) if count else b"", 4 + length + count


def parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise Violation("what is no JSON") from None


def number(header: Header, name: str, most: int) -> int:
    value = header.get(name)
    if type(value) is not int or not 0 <= value <= most:
        raise Violation(f"a {name} of {value!r:.40}")
    return value


def text(header: Header, name: str, most: int = 300) -> str:
    value = header.get(name)
    if not isinstance(value, str):
        raise Violation(f"a {name} that is no text")
    return value[:most]


def files(payload: bytes) -> tuple[FileInfo, ...]:
    """A list of files as the runner tells it; names that nobody should have are left out."""
    told = parsed(payload)
    if not isinstance(told, list) or len(told) > MOST_FILES:
        raise Violation("a list of files that is none")
    found = []
    for each in told:
        if not isinstance(each, dict):
            raise Violation("a file that is no object")
        name, size, modified = each.get("name"), each.get("bytes"), each.get("modified")
        if not isinstance(name, str) or type(size) is not int or type(modified) is not int or size < 0:
            raise Violation("a file of wrong types")
        if is_name(name):
            found.append(FileInfo(name, size, modified))
    return tuple(found)


def is_name(name: str) -> bool:
    """Whether this may be the path of a file below /mnt/data."""
    parts = name.split("/")
    try:
        is_short = len(name.encode()) <= MOST_NAME_BYTES and all(len(part.encode()) <= 255 for part in parts)
    except UnicodeEncodeError:
        return False
    return is_short and len(parts) <= MOST_DEPTH and name.isprintable() and not {"", ".", ".."} & set(parts)
