"""Frames from inside are hostile input: whatever comes, it is a frame or a violation, and costs little."""

import asyncio
import json
import random
import struct
from typing import Any

import pytest

from sandbox import frames
from sandbox.frames import Violation
from sandbox.protocol import FileInfo


def read(data: bytes) -> Any:
    async def fed() -> Any:
        reader = asyncio.StreamReader(limit=64 * 1024)
        reader.feed_data(data)
        reader.feed_eof()
        header, payload, size = await frames.read(reader)
        assert size <= len(data)
        return header, payload

    return asyncio.run(fed())


def raw(head: bytes, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(head)) + head + payload


def test_a_frame_comes_out_as_it_went_in() -> None:
    assert read(frames.pack({"op": "exec", "id": 3}, "print('é')".encode())) == (
        {"op": "exec", "id": 3, "bytes": 11},
        "print('é')".encode(),
    )


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">I", 2**32 - 1) + b"{}",
        struct.pack(">I", 0),
        raw(b'{"bytes": 4294967295}'),
        raw(b'{"bytes": -1}'),
        raw(b'{"bytes": true}'),
        raw(b'{"bytes": "7"}'),
        raw(b'{"bytes": 1.0}'),
        raw(b"{}"),
        raw(b"[]"),
        raw(b"[" * 60_000),
        raw(b'{"a":' * 10_000),
        raw(b"\xff\xfe"),
        raw(b"NaN"),
    ],
)
def test_what_is_no_frame_is_a_violation(data: bytes) -> None:
    with pytest.raises(Violation):
        read(data)


def test_a_frame_that_is_cut_is_the_end() -> None:
    whole = frames.pack({"event": "stdout"}, b"x" * 100)
    for cut in (0, 3, 4, 10, len(whole) - 1):
        with pytest.raises(asyncio.IncompleteReadError):
            read(whole[:cut])


def test_noise_is_a_violation_or_the_end() -> None:
    chance = random.Random(5)
    for _ in range(2_000):
        head = bytes(chance.choices(b'{}[]",:0123456789abtrue\\ \x00\xff', k=chance.randint(1, 60)))
        with pytest.raises((Violation, asyncio.IncompleteReadError)):
            read(raw(head, b"abc"))


@pytest.mark.parametrize(
    "told",
    [
        b"{}",
        b"[1]",
        b'[{"name": 1, "bytes": 1, "modified": 1}]',
        b'[{"name": "a", "bytes": -1, "modified": 1}]',
        b'[{"name": "a", "bytes": true, "modified": 1}]',
        json.dumps([{"name": "a", "bytes": 1, "modified": 1}] * 1_001).encode(),
    ],
)
def test_lists_of_files_that_are_none(told: bytes) -> None:
    with pytest.raises(Violation):
        frames.files(told)


def test_names_that_nobody_should_have_are_left_out() -> None:
    names = ["a.txt", "b/c.txt", "../x", "/etc/passwd", "a//b", "a/./b", "x\ny", "\x1b[31m", "", "a" * 256, "\ud800"]
    names += ["/".join("abcdefghi"), "报告 🎉.xlsx"]
    told = json.dumps([{"name": name, "bytes": 1, "modified": 2} for name in names]).encode()
    assert frames.files(told) == tuple(FileInfo(name, 1, 2) for name in ("a.txt", "b/c.txt", "报告 🎉.xlsx"))
