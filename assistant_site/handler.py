"""How Django requests are run under ASGI: one thread for the whole request, no thread for a stream.

Django's own handler makes and joins a single-thread executor for each request and crosses between loop and threads
for signals, middleware and view. Here all of that is one call in a fixed pool of threads, each with its own database
connection. A streaming answer leaves its thread (and so its connection) before the first byte. See docs/adr/0001.
"""

import asyncio
import contextlib
import io
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import IO, Any, ParamSpec, TypeVar

from django.conf import settings
from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from assistant_site import bodies, logs
from assistant_site.db import scope as rows
from assistant_site.db.middleware import scope_of
from assistant_site.metrics import counted, publishing
from assistant_site.tracing import spans
from assistant_site.wire import rest
from assistant_site.wire.errors import WireError
from assistant_site.wire.headers import caller_address
from assistant_site.wire.late import ASKED_AGAIN, AskAgain, LateResponse, Patience

logger = logging.getLogger(__name__)
access = logging.getLogger("assistant_site.access")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

SPAN = "holdfast.span"  # in the scope of a request, where it is traced
UNTRACED = frozenset({"/healthz", "/readyz", "/health", "/metrics"})  # what machines ask every few seconds

P = ParamSpec("P")
T = TypeVar("T")
_IN_MEMORY = 2 * 1024 * 1024  # of a body that comes in pieces


def is_finished(response: HttpResponseBase) -> bool:
    """Whether the answer can go out as it is."""
    return not response.streaming and not isinstance(response, LateResponse | AskAgain)


def route_of(request: Any) -> str:
    """The pattern that a request's address fits, as metrics and traces name it; `none` where there is none."""
    route: str | None = getattr(request, "route", None)
    if route is None and (match := getattr(request, "resolver_match", None)) is not None:
        route = match.route
    return route or "none"


class Handler(ASGIHandler):
    def __init__(self) -> None:
        super().__init__()
        self.load_middleware(is_async=False)
        self.threads = ThreadPoolExecutor(settings.WEB_THREADS, thread_name_prefix="request")
        self.is_watched = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.is_watched:
            self.is_watched = True
            publishing.watch(asyncio.get_running_loop())
        try:
            body = await self.body_of(scope, receive)
        except RequestAborted:
            return
        except WireError as refused:
            await self.send_response(rest.error_response(refused), send)
            return
        with self.span_of(scope):
            response = await self.in_a_thread(self.respond, scope, body)
            if is_finished(response):
                await self.send_response(response, send)
                return
            await self.while_connected(self.send_late(response, scope, send), receive)

    async def call(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], client: tuple[str, int] | None
    ) -> tuple[int, bytes]:
        """A request that this process makes to itself, for a `client` at this address.

        Returns status and body of the answer, which must not be a stream.
        """
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path,
            "query_string": b"",
            "client": client,
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        }
        with self.span_of(scope):
            response = await self.in_a_thread(self.respond, scope, io.BytesIO(body))
            if isinstance(response, AskAgain):
                response = await self.asked_again(response, scope)
            return response.status_code, response.content

    async def in_a_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        asked_at = time.perf_counter()

        def called() -> T:
            counted.WEB_WAIT.observe(time.perf_counter() - asked_at)
            return function(*args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self.threads, called)

    def respond(self, scope: Scope, body: IO[bytes]) -> Any:
        """The whole synchronous life of a request; a finished answer has been closed."""
        span = scope.get(SPAN, spans.NOTHING)
        with span.inside():
            return self.timed(scope, body)

    @staticmethod
    def span_of(scope: Scope) -> spans.Span:
        """The span of a request, below the caller's own if callers are trusted with that, else with a link to it."""
        if not spans.are_recorded() or scope["path"] in UNTRACED:
            return spans.NOTHING
        method = scope["method"] if scope["method"] in counted.METHODS else "_OTHER"
        named = next((value for name, value in scope["headers"] if name == b"traceparent"), b"").decode("latin-1")
        trusted = settings.TRACES_TRUST_CALLERS and named
        span = scope[SPAN] = spans.span(
            "HTTP" if method == "_OTHER" else method,
            kind="server",
            parent=named if trusted else "",
            link=None if trusted else named,
            http__request__method=method,
            url__scheme=scope.get("scheme", "http"),
        )
        return span

    def timed(self, scope: Scope, body: IO[bytes]) -> Any:
        began = time.perf_counter()
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=self.__class__, scope=scope)
        request, refused = self.create_request(scope, body)
        response: Any = refused if request is None else self.get_response(request)
        response._handler_class = self.__class__
        route = route_of(request)
        counted.answered(scope["method"], route, response.status_code, time.perf_counter() - began)
        if isinstance(response, LateResponse):
            response.asked = route, began
        elif not isinstance(response, AskAgain):
            self.tell(scope, response, route, began)
        if isinstance(response, AskAgain) and request is not None:
            response.body = request.body  # its file has been read and closed
        if is_finished(response):
            response.close()  # sends request_finished, which gives broken connections up
            body.close()
        return response

    @staticmethod
    def tell(scope: Scope, response: Any, route: str, began: float) -> None:
        """Tells the answer to the trace and the access log, once its head is known."""
        span = scope.get(SPAN, spans.NOTHING)
        if span is spans.NOTHING and not settings.ACCESS_LOG:
            return
        method = scope["method"] if scope["method"] in counted.METHODS else "_OTHER"
        status, named = response.status_code, response.headers.get("x-request-id")
        tenant = scope_of(response)
        tenant = "" if tenant in (rows.CLOSED, rows.EVERYTHING) else tenant
        if route != "none":
            span.rename(f"{method} {route}")
            span.set(http__route=route)
        span.set(
            http__response__status_code=status,
            holdfast__request__id=named,
            holdfast__tenant__id=tenant or None,
        )
        if status >= 500:
            span.fail(str(status))
        if settings.ACCESS_LOG:
            took = 1000 * (time.perf_counter() - began)
            fields = {"method": method, "route": route, "status": status, "milliseconds": round(took, 1)}
            fields |= {"request_id": named} | ({"tenant_id": tenant} if tenant else {})
            access.info("%s %s %s %.1f ms", method, route, status, took, extra={"fields": fields})

    async def while_connected(self, work: Coroutine[Any, Any, None], receive: Receive) -> None:
        """Works on a streamed or late answer; a client that leaves ends it at once."""
        working = asyncio.create_task(work)
        leaving = asyncio.create_task(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:  # also where the server stops
            for task in (leaving, working):
                if not task.done():
                    task.cancel()
                with contextlib.suppress(asyncio.CancelledError, RequestAborted):
                    await task

    async def send_late(self, response: Any, scope: Scope, send: Send) -> None:
        try:
            if isinstance(response, AskAgain):
                response = await self.asked_again(response, scope)
            rows.enter(scope_of(response))
            logs.note({"request_id": response.headers.get("x-request-id", "")})
            await self.send_made(response, scope, send)
        finally:
            await self.in_a_thread(response.close)

    async def asked_again(self, response: Any, scope: Scope) -> Any:
        """The answer that a request gets after it has waited, maybe more than once."""
        patience: Patience = response.patience
        scope = {**scope, ASKED_AGAIN: True}
        try:
            while isinstance(response, AskAgain):
                with rows.within(scope_of(response)):
                    await response.patience.wait()
                response = await self.in_a_thread(self.respond, scope, io.BytesIO(response.body))
        finally:
            await patience.leave()
        return response

    async def send_made(self, response: Any, scope: Scope, send: Send) -> None:
        if isinstance(response, LateResponse):
            made: Any = await response.make()
            for name, value in response.items():  # what the middleware added
                if name.lower().startswith("x-ratelimit-"):  # ours, not an upstream's
                    made.headers[name] = value
                elif name.lower() != "content-length":
                    made.headers.setdefault(name, value)
            if not made.streaming:
                made.headers["Content-Length"] = str(len(made.content))
            made._scope = scope_of(response)
            self.tell(scope, made, *response.asked)
            response = made
        if isinstance(response, StreamingHttpResponse) and not response.is_async:
            response = self.stepwise(response)
        await self.send_response(response, send)

    def stepwise(self, response: StreamingHttpResponse) -> StreamingHttpResponse:
        """A synchronous stream (a file) as an asynchronous one; each piece is fetched in a thread."""
        pieces: Any = iter(response.streaming_content)  # type: ignore[arg-type]
        loop = asyncio.get_running_loop()

        async def stepping() -> Any:
            run: Any = copy_context().run  # whose rows may be seen belongs to it; a thread of the pool has its own
            while (piece := await loop.run_in_executor(self.threads, run, next, pieces, None)) is not None:
                yield piece

        response.streaming_content = stepping()
        return response

    async def body_of(self, scope: Scope, receive: Receive) -> IO[bytes]:
        """The body as a file, wherever the server has it. Raises a WireError for one that is refused."""
        kept: bodies.Body | None = scope.get("extensions", {}).get(bodies.EXTENSION)
        if kept is None:
            return await self.read_limited_body(scope, receive)
        message = await receive()  # an empty body
        if message["type"] == "http.disconnect":
            raise RequestAborted
        if kept.refused:
            kept.file.close()
            raise kept.refused
        kept.file.seek(0)
        return kept.file

    async def read_limited_body(self, scope: Scope, receive: Receive) -> IO[bytes]:
        """The body that comes through `receive`: memory first, then disk."""
        body: IO[bytes] = io.BytesIO()
        size, most, more = 0, settings.MAX_BODY_BYTES, True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RequestAborted
                piece, more = message.get("body", b""), message.get("more_body", False)
                size += len(piece)
                if size > most:
                    most = await self.larger_limit(scope)
                    if size > most:
                        raise bodies.too_large(most)
                if isinstance(body, io.BytesIO) and size > _IN_MEMORY:
                    held, body = body, bodies.waiting_file()
                    body.write(held.getvalue())
                body.write(piece)
        except BaseException as error:
            with contextlib.suppress(OSError):
                body.close()
            if isinstance(error, OSError):
                raise bodies.cannot_wait(error) from error
            raise
        body.seek(0)
        return body

    async def larger_limit(self, scope: Scope) -> int:
        """What a body beyond MAX_BODY_MB may have, for this path and whoever sends it."""
        most = bodies.most_of(scope["method"], scope["path"])
        if most > settings.MAX_BODY_BYTES:
            headers = {name.lower(): value for name, value in scope["headers"]}
            authorization, forwarded = (
                headers.get(name, b"").decode("latin-1") for name in (b"authorization", b"x-forwarded-for")
            )
            address = caller_address(forwarded, (scope.get("client") or ("",))[0] or "")
            refused = await self.in_a_thread(bodies.refusal, authorization, address)
            if refused:
                raise refused
        return most
