"""The way to an MCP server: a guarded transport that remembers what went wrong on it.

The protocol's client makes of every failure an error of its own, mostly without the reason. Here the reason is kept,
and a request that could not be made is answered as by a gateway, so that the client ends in order.
"""

import asyncio
from collections.abc import AsyncIterator

import httpx2

GRACE_SECONDS = 1.0  # for what the client still sends when its time is over
GATEWAY_ERROR = 502
# The client reads an answer in the event loop that carries all runs, and takes 25 µs for each object or list in it:
# half a second as a whole. What is long for a good reason, a picture or a text, has few of them.
MOST_PARTS = 15_000
MOST_COMMAS = 500_000
_GIVEN_UP = b'"method":"notifications/cancelled"'


class Watched(httpx2.AsyncBaseTransport):
    """One use of a server, to be ended by `deadline`, a moment of the running loop's clock."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, deadline: float) -> None:
        self._inner = inner
        self._deadline = deadline
        self.failure: Exception | None = None  # of the first request that got no answer, or no whole one
        self.has_begun = False  # that answer
        self.status = 0  # of the last answer
        self.content_type = ""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET" and "last-event-id" not in request.headers:
            # For what a server says unasked. Nothing of that is wanted.
            return httpx2.Response(405, request=request)
        if self.failure is not None:
            return httpx2.Response(GATEWAY_ERROR, request=request)
        try:
            async with asyncio.timeout_at(self._last_moment(request)):
                answer = await self._inner.handle_async_request(request)
        except Exception as error:
            self.failure = error
            return httpx2.Response(GATEWAY_ERROR, request=request)
        if request.method == "POST":
            self.status = answer.status_code
            self.content_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        return httpx2.Response(
            answer.status_code, headers=answer.headers, stream=_Told(answer, self), extensions=answer.extensions
        )

    def _last_moment(self, request: httpx2.Request) -> float:
        """Nobody waits for what is said when all is over: that a call is given up, that a session ends."""
        is_farewell = request.method == "DELETE" or _GIVEN_UP in request.content
        now = asyncio.get_running_loop().time()
        return (min(now, self._deadline) if is_farewell else self._deadline) + GRACE_SECONDS

    async def aclose(self) -> None:
        await self._inner.aclose()


class TooManyParts(Exception):
    """An answer that would take too long to read."""


class _Told(httpx2.AsyncByteStream):
    """An answer's body, whose breaking off is remembered. Ends by `TooManyParts` if it has too many."""

    def __init__(self, answer: httpx2.Response, watched: Watched) -> None:
        self._answer = answer
        self._watched = watched

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._answer.stream, httpx2.AsyncByteStream)
        parts = commas = 0
        try:
            async for piece in self._answer.stream:
                parts += piece.count(b"{") + piece.count(b"[")
                commas += piece.count(b",")
                if parts > MOST_PARTS or commas > MOST_COMMAS:
                    raise TooManyParts
                yield piece
        except Exception as error:
            if self._watched.failure is None:
                self._watched.failure, self._watched.has_begun = error, True
            raise httpx2.StreamError("the answer broke off") from error

    async def aclose(self) -> None:
        await self._answer.aclose()
