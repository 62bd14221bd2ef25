"""The way to an MCP server: a guarded transport that remembers what went wrong on it.

The protocol's client makes of every failure an error of its own, mostly without the reason. Here the reason is kept,
and a request that could not be made is answered as by a gateway, so that the client ends in order.
"""

import asyncio
from collections.abc import AsyncIterator

import httpx2

GRACE_SECONDS = 1.0  # for what the client still sends when its time is over: that it gives up, that its session ends
GATEWAY_ERROR = 502


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
        if request.method == "DELETE":  # a goodbye, which must not keep anybody waiting
            return min(asyncio.get_running_loop().time(), self._deadline) + GRACE_SECONDS
        return self._deadline + GRACE_SECONDS

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Told(httpx2.AsyncByteStream):
    """An answer's body, whose breaking off is remembered."""

    def __init__(self, answer: httpx2.Response, watched: Watched) -> None:
        self._answer = answer
        self._watched = watched

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._answer.stream, httpx2.AsyncByteStream)
        try:
            async for piece in self._answer.stream:
                yield piece
        except Exception as error:
            if self._watched.failure is None:
                self._watched.failure, self._watched.has_begun = error, True
            raise httpx2.StreamError("the answer broke off") from error

    async def aclose(self) -> None:
        await self._answer.aclose()
