"""The one way out: every request is judged, and goes to an address that was judged, whoever makes it."""

import functools
import ssl
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import httpx2

from assistant_site.fetching.bodies import BROKEN, Body, encoding_of
from assistant_site.fetching.judging import Bounds, CannotFetch, Resolver, addresses_of, check, name_of, resolved

MAX_CONNECTIONS = 400  # who comes later waits: more than the runs that a worker carries, fewer than its open files
CONNECT_SECONDS = 5.0
TRIED_ADDRESSES = 4

# What belongs to the connection, and so to us.
_OURS = ("connection", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "upgrade", "expect")
# Nothing keeps cookies, so that no caller's request goes out with what another's brought. The other two are of the
# body as it came, not as it is given on.
_NOT_GIVEN_ON = {b"set-cookie", b"set-cookie2"}
_OF_PACKED_BODIES = {b"content-encoding", b"content-length"}


@dataclass
class Delivery:
    """`was_begun`: whether some of a request may have left for its server."""

    was_begun: bool = False

    async def __call__(self, event: str, details: dict[str, Any]) -> None:
        """Told by the HTTP client what it is about to do."""
        if event == "http11.send_request_headers.started":
            self.was_begun = True


class Dialer:
    """Sends requests to judged addresses; one event loop's. `resolve` and `verify` as for `GuardedClient`."""

    def __init__(self, resolve: Resolver = resolved, verify: ssl.SSLContext | None = None) -> None:
        self._resolve = resolve
        self._connections = httpx2.AsyncHTTPTransport(
            verify=verify or _usual_verification(),
            trust_env=False,
            # A kept connection is known by its address alone; another name at that address must not get it. And on
            # one that the server is just closing, nobody could say whether a request was carried out.
            limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=0),
        )

    async def aclose(self) -> None:
        await self._connections.aclose()

    async def send(self, request: httpx2.Request, bounds: Bounds, delivery: Delivery) -> httpx2.Response:
        """The answer of the first of the host's addresses that takes a connection, its body unread.

        Raises `CannotFetch`. Redirects are answers like others.
        """
        url = request.url
        check(url)
        failure: Exception | None = None
        for address in (await addresses_of(url, bounds, self._resolve))[:TRIED_ADDRESSES]:
            try:
                answer = await self._connections.handle_async_request(_pinned(request, address, delivery))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = error
            except httpx2.TimeoutException as error:  # of a foreign client, for one of its steps
                raise CannotFetch(f"{name_of(url)} did not answer in time.", was_sent=delivery.was_begun) from error
            except (*BROKEN, httpx2.InvalidURL, ValueError) as error:
                message = f"{name_of(url)} did not answer as a web server does."
                raise CannotFetch(message, was_sent=delivery.was_begun) from error
            else:
                return _guarded(request, answer, bounds.max_bytes)
        assert failure is not None
        raise CannotFetch(_unreachable(url, failure), was_sent=delivery.was_begun) from failure


class GuardedTransport(httpx2.AsyncBaseTransport):
    """For the `httpx2.AsyncClient` of somebody else, whose every request is then judged, redirects too.

    An answer's decoded body is bounded by `max_bytes`; for how long it may last is the client's business, because
    event streams are open for long. Failures are `CannotFetch`. Leave the client's `follow_redirects` off: it would
    take headers along to wherever it is sent.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        allowed_hosts: Iterable[str] | None = None,
        ports: Collection[int] | None = None,
        resolve: Resolver = resolved,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        self._bounds = Bounds.of(max_bytes, allowed_hosts, ports)
        self._dialer = Dialer(resolve, verify)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await self._dialer.send(request, self._bounds, Delivery())

    async def aclose(self) -> None:
        await self._dialer.aclose()


@functools.cache
def _usual_verification() -> ssl.SSLContext:
    """Making one reads a file of all the world's authorities, which takes a while."""
    return httpx2.create_ssl_context(trust_env=False)


def _pinned(request: httpx2.Request, address: str, delivery: Delivery) -> httpx2.Request:
    """The request to this address, in its own host's name."""
    headers = request.headers.copy()
    for name in _OURS:
        headers.pop(name, None)
    headers["Host"] = request.url.netloc.decode("ascii")
    headers["Accept-Encoding"] = "gzip"
    headers["Connection"] = "close"
    times = request.extensions.get("timeout", {})
    connect = times.get("connect")
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=headers,
        stream=request.stream,
        extensions={
            "timeout": times | {"connect": CONNECT_SECONDS if connect is None else min(connect, CONNECT_SECONDS)},
            # The name, or address, that TLS asks for and verifies.
            "sni_hostname": request.url.raw_host.decode("ascii").rstrip("."),
            "trace": delivery,
        },
    )


def _guarded(request: httpx2.Request, answer: httpx2.Response, max_bytes: int) -> httpx2.Response:
    has_body = request.method != "HEAD" and answer.status_code not in (204, 304)
    hidden = _NOT_GIVEN_ON | (_OF_PACKED_BODIES if has_body and encoding_of(answer) else set())
    return httpx2.Response(
        answer.status_code,
        headers=[(name, value) for name, value in answer.headers.raw if name.lower() not in hidden],
        stream=Body(request.url, answer, max_bytes) if has_body else answer.stream,
    )


def _unreachable(url: httpx2.URL, failure: Exception) -> str:
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"{name_of(url)} has no valid certificate, or speaks no TLS."
        cause = cause.__cause__ or cause.__context__
    return f"{name_of(url)} cannot be reached."
