"""Bytes on their way between the file storage and a session, in pieces; nothing is held whole."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from typing import TypeVar

from files import blobs
from files.storage import Stored, Streamed, Writer
from tools.code_interpreter.access import code_threads

T = TypeVar("T")


@contextlib.asynccontextmanager
async def ended(pieces: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Closes what is read, also if it is not read to its end."""
    try:
        yield pieces
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


async def blob_pieces(blob: str, size: int) -> AsyncGenerator[bytes, None]:
    """A blob's bytes. Raises BlobMissing, StorageFailed."""
    stream = await asyncio.to_thread(Streamed, blob, size)
    try:
        while piece := await asyncio.to_thread(next, stream, b""):
            yield piece
    finally:
        stream.close()


async def stored(pieces: AsyncIterator[bytes]) -> Stored:
    """A new blob of these bytes, which its owner's transaction must be given. Raises StorageFailed, and what
    `pieces` raises."""
    blob = await code_threads().run(blobs.noted)
    opening = asyncio.ensure_future(asyncio.to_thread(Writer, blob))
    try:
        writer = await _whole(opening)
        async for piece in pieces:
            await _whole(asyncio.to_thread(writer.write, piece))
        return await _whole(asyncio.to_thread(writer.finish))
    except BaseException:
        if opening.exception() is None:
            await asyncio.shield(code_threads().run(_abandon, opening.result()))
        raise


async def _whole(work: Awaitable[T]) -> T:
    """Awaits work in a thread, which goes on when it is cancelled: its end is waited for."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _abandon(writer: Writer) -> None:
    writer.abandon()
    blobs.drop(writer.blob)
