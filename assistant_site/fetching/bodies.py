"""The body of an answer: unpacked, and no larger than allowed."""

import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import anyio
import httpx2

from assistant_site.fetching.judging import CannotFetch, name_of, too_large

# What a connection raises that breaks, or a server that does not speak HTTP. OSError: the system's own, and TLS's.
BROKEN = (httpx2.RequestError, httpx2.StreamError, OSError, anyio.EndOfStream, anyio.BrokenResourceError)
_PLAIN = ("", "identity")
_GZIP = ("gzip", "x-gzip")


def encoding_of(answer: httpx2.Response) -> str:
    return answer.headers.get("content-encoding", "").strip().lower()


class Body(httpx2.AsyncByteStream):
    """The decoded pieces of an answer, together no more than `max_bytes`; raises `CannotFetch`."""

    def __init__(self, url: httpx2.URL, answer: httpx2.Response, max_bytes: int) -> None:
        self._url = url
        self._answer = answer
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async with aclosing(self._decoded()) as pieces:
            async for piece in pieces:
                read += len(piece)
                if read > self._max_bytes:
                    raise too_large(self._url, self._max_bytes)
                yield piece

    async def aclose(self) -> None:
        await self._answer.aclose()

    async def _decoded(self) -> AsyncGenerator[bytes, None]:
        """No piece is larger than `max_bytes` + 1: a small one of zeros may unfold to a thousand times more."""
        encoding = encoding_of(self._answer)
        if encoding not in _PLAIN + _GZIP:
            raise CannotFetch(f"{name_of(self._url)} answered in an encoding that was not asked for.", was_sent=True)
        if encoding in _PLAIN and int(self._answer.headers.get("content-length", 0)) > self._max_bytes:
            raise too_large(self._url, self._max_bytes)
        gzip = zlib.decompressobj(wbits=31) if encoding in _GZIP else None
        is_empty = True
        try:
            async for piece in self._raw():
                is_empty = is_empty and not piece
                yield gzip.decompress(piece, self._max_bytes + 1) if gzip is not None else piece
                if gzip is not None and gzip.eof:
                    return
        except (*BROKEN, zlib.error) as error:
            raise self._broken_off() from error
        if gzip is not None and not is_empty:
            raise self._broken_off()

    async def _raw(self) -> AsyncGenerator[bytes, None]:
        assert isinstance(self._answer.stream, httpx2.AsyncByteStream)
        async for piece in self._answer.stream:
            yield piece

    def _broken_off(self) -> CannotFetch:
        return CannotFetch(f"{name_of(self._url)} broke off in the middle of its answer.", was_sent=True)
