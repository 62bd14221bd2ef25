"""How Django requests are run under ASGI: one thread for the whole request, no thread for a stream.

Django's own handler makes and joins a single-thread executor for each request and crosses between loop and threads
for signals, middleware and view. Here all of that is one call in a fixed pool of threads, each with its own database
connection. A streaming answer leaves its thread (and so its connection) before the first byte. See docs/adr/0001.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

from django.conf import settings
from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from assistant_site.wire import rest

logger = logging.getLogger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class LateResponse(HttpResponse):
    """An answer that has to be waited for, such as an upstream's: `make` runs in the event loop and holds no thread."""

    def __init__(self, make: Callable[[], Awaitable[HttpResponseBase]]) -> None:
        super().__init__()
        self.make = make


class BodyTooLarge(Exception):
    """More bytes came than MAX_BODY_MB allows."""


class Handler(ASGIHandler):
    def __init__(self) -> None:
        super().__init__()
        self.load_middleware(is_async=False)
        self.threads = ThreadPoolExecutor(settings.WEB_THREADS, thread_name_prefix="request")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self.read_limited_body(receive)
        except RequestAborted:
            return
        except BodyTooLarge:
            await self.send_response(rest.error_response(rest.too_large()), send)
            return
        loop = asyncio.get_running_loop()
        response = await loop.run_in_executor(self.threads, self.respond, scope, body)
        if not response.streaming and not isinstance(response, LateResponse):
            await self.send_response(response, send)
            return
        try:
            await self.send_while_connected(response, receive, send)
        finally:
            await loop.run_in_executor(self.threads, response.close)

    def respond(self, scope: Scope, body: IO[bytes]) -> Any:
        """The whole synchronous life of a request; a finished answer has been closed."""
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=self.__class__, scope=scope)
        request, refused = self.create_request(scope, body)
        response: Any = refused if request is None else self.get_response(request)
        response._handler_class = self.__class__
        if not response.streaming and not isinstance(response, LateResponse):
            response.close()  # sends request_finished, which gives broken connections up
            body.close()
        return response

    async def send_while_connected(self, response: HttpResponseBase, receive: Receive, send: Send) -> None:
        """Sends a streamed or late answer; a client that leaves ends it at once."""
        sending = asyncio.create_task(self.send_late(response, send))
        leaving = asyncio.create_task(self.listen_for_disconnect(receive))
        await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        for task in (leaving, sending):
            if not task.done():
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError, RequestAborted):
                await task

    async def send_late(self, response: Any, send: Send) -> None:
        if isinstance(response, LateResponse):
            made: Any = await response.make()
            for name, value in response.items():  # what the middleware added
                if name.lower() != "content-length":
                    made.headers.setdefault(name, value)
            if not made.streaming:
                made.headers["Content-Length"] = str(len(made.content))
            response = made
        if isinstance(response, StreamingHttpResponse) and not response.is_async:
            response = self.stepwise(response)
        await self.send_response(response, send)

    def stepwise(self, response: StreamingHttpResponse) -> StreamingHttpResponse:
        """A synchronous stream (a file) as an asynchronous one; each piece is fetched in a thread."""
        pieces: Any = iter(response.streaming_content)  # type: ignore[arg-type]
        loop = asyncio.get_running_loop()

        async def stepping() -> Any:
            while (piece := await loop.run_in_executor(self.threads, next, pieces, None)) is not None:
                yield piece

        response.streaming_content = stepping()
        return response

    async def read_limited_body(self, receive: Receive) -> IO[bytes]:
        """The body as a file, memory first, then disk."""
        size = 0

        async def counted() -> Mapping[str, Any]:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > settings.MAX_BODY_BYTES:
                raise BodyTooLarge
            return message

        return await self.read_body(counted)
