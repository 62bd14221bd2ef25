"""The one client that fetches an address on somebody else's behalf, and cannot be turned against our own network.

The host's name is resolved once, every address it has is judged, and the connection goes to a judged one: a name that
changes its answer between the look and the connection gains nothing. TLS is verified against the name all the same.
Redirects are followed by hand and judged like the first address. Size and time are bounded as a whole.

What is not public is refused, unless `settings.FETCH_ALLOWED_HOSTS` names it. Proxies of the environment are not used:
they would resolve names themselves.
"""

import asyncio
import functools
import socket
import ssl
import weakref
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import anyio
import httpx2
from django.conf import settings

from assistant_site.addresses import AllowedHosts, is_public, parsed

MEGABYTE = 1024 * 1024
MAX_REDIRECTS = 5
MAX_CONNECTIONS = 100
CONNECT_SECONDS = 5.0
TRIED_ADDRESSES = 4
REDIRECTS = (301, 302, 303, 307, 308)

Resolver = Callable[[str, int], Awaitable[list[str]]]

# What a connection raises that breaks, or a server that does not speak HTTP. OSError: the system's own, and TLS's.
_BROKEN = (httpx2.RequestError, httpx2.StreamError, OSError, anyio.EndOfStream, anyio.BrokenResourceError)

# Resolving blocks a thread, for long where a name server is silent; that must not take the threads of anything else.
_resolving = ThreadPoolExecutor(max_workers=16, thread_name_prefix="names")


@dataclass(frozen=True)
class Fetched:
    """`url`: the last one, behind all redirects. `body` is decoded."""

    url: str
    status: int
    content_type: str
    body: bytes


class CannotFetch(Exception):
    """`message` is a sentence for whoever gave the address; it has nothing in it that they could not know."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True)
class _Bounds:
    max_bytes: int
    allowed: AllowedHosts
    ports: Collection[int] | None


async def resolved(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system finds them. Raises OSError if it has none."""
    look = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_resolving, look)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


class GuardedClient:
    """One event loop's client. `resolve` and `verify` are for those who have names or certificates of their own."""

    def __init__(self, resolve: Resolver = resolved, verify: ssl.SSLContext | bool = True) -> None:
        self._resolve = resolve
        self._http = httpx2.AsyncClient(
            verify=verify,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),  # `fetch` bounds the whole
            # A kept connection is known by its address alone; another name at that address must not get it.
            limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=0),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"User-Agent": "Holdfast", "Accept": "*/*", "Accept-Encoding": "gzip", "Connection": "close"},
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def fetch(
        self,
        url: str,
        *,
        max_bytes: int,
        seconds: float,
        headers: Mapping[str, str] | None = None,
        allowed_hosts: Iterable[str] | None = None,
        ports: Collection[int] | None = None,
    ) -> Fetched:
        """GETs an address; raises `CannotFetch`, also for every status but 2xx.

        `headers` go to the origin of `url` only, not to where it may redirect. `allowed_hosts` stands in for the
        setting; `ports` limits the ports, where only some make sense.
        """
        entries = settings.FETCH_ALLOWED_HOSTS if allowed_hosts is None else allowed_hosts
        bounds = _Bounds(max_bytes, AllowedHosts.of(entries), ports)
        first = _checked(url)
        try:
            async with asyncio.timeout(seconds):
                return await self._follow(first, dict(headers or {}), bounds)
        except TimeoutError:
            raise CannotFetch(f"{_name(first)} took longer than {seconds:g} seconds.") from None

    async def _follow(self, url: httpx2.URL, headers: dict[str, str], bounds: _Bounds) -> Fetched:
        for _ in range(MAX_REDIRECTS + 1):
            async with self._answer(url, headers, bounds) as answer:
                location = answer.headers.get("location", "")
                if answer.status_code not in REDIRECTS or not location:
                    return await _read(url, answer, bounds)
            target = _redirected(url, location)
            if _origin(target) != _origin(url):
                headers = {}
            url = target
        raise CannotFetch(f"{_name(url)} redirected more than {MAX_REDIRECTS} times.")

    @asynccontextmanager
    async def _answer(
        self, url: httpx2.URL, headers: Mapping[str, str], bounds: _Bounds
    ) -> AsyncGenerator[httpx2.Response, None]:
        """The head of the answer, from the first of the host's addresses that takes a connection; the body unread."""
        answer = None
        for address in (await self._addresses(url, bounds))[:TRIED_ADDRESSES]:
            try:
                answer = await self._http.send(self._request(url, address, headers), stream=True)
                break
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure: Exception = error
            except (*_BROKEN, httpx2.InvalidURL, ValueError) as error:
                raise CannotFetch(f"{_name(url)} did not answer as a web server does.") from error
        if answer is None:
            raise CannotFetch(_unreachable(url, failure)) from failure
        try:
            yield answer
        finally:
            await answer.aclose()

    def _request(self, url: httpx2.URL, address: str, headers: Mapping[str, str]) -> httpx2.Request:
        sent = httpx2.Headers(headers)
        sent["Host"] = url.netloc.decode("ascii")
        return self._http.build_request(
            "GET",
            url.copy_with(host=address),
            headers=sent,
            # The name, or address, that TLS asks for and verifies.
            extensions={"sni_hostname": url.raw_host.decode("ascii").rstrip(".")},
        )

    async def _addresses(self, url: httpx2.URL, bounds: _Bounds) -> list[str]:
        """The host's addresses, if it may be asked at all of them."""
        host = url.raw_host.decode("ascii")
        port = url.port or (443 if url.scheme == "https" else 80)
        if bounds.ports is not None and port not in bounds.ports:
            raise CannotFetch(f"Port {port} of {_name(url)} is not allowed.")
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError):
            addresses = []
        if not addresses:
            raise CannotFetch(f"There is no host named {_name(url)}.")
        for address in map(parsed, addresses):
            if not is_public(address) and not bounds.allowed.have(host, address):
                raise CannotFetch(f"The address of {_name(url)} is not public.")
        return addresses


def _checked(address: str) -> httpx2.URL:
    """The address taken apart. What is judged here is what is connected to: nobody parses it a second time."""
    try:
        url = httpx2.URL(address)
    except (httpx2.InvalidURL, ValueError, TypeError):
        raise CannotFetch("The address is not a valid URL.") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise CannotFetch("Only addresses that begin with http:// or https:// can be fetched.")
    if url.userinfo:
        raise CannotFetch("An address with a user name or password in it is not fetched.")
    if url.port is not None and not 1 <= url.port <= 65_535:
        raise CannotFetch("The address is not a valid URL.")
    return url


def _redirected(url: httpx2.URL, location: str) -> httpx2.URL:
    try:
        target = _checked(str(url.join(location)))
    except httpx2.InvalidURL:
        raise CannotFetch(f"{_name(url)} redirected to an address that is not a valid URL.") from None
    if url.scheme == "https" and target.scheme == "http":
        raise CannotFetch(f"{_name(url)} redirected from https to http.")
    return target


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _name(url: httpx2.URL) -> str:
    """The host for a message."""
    return url.raw_host.decode("ascii")[:253]


def _unreachable(url: httpx2.URL, failure: Exception) -> str:
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"{_name(url)} has no valid certificate, or speaks no TLS."
        cause = cause.__cause__ or cause.__context__
    return f"{_name(url)} cannot be reached."


async def _read(url: httpx2.URL, answer: httpx2.Response, bounds: _Bounds) -> Fetched:
    if not answer.is_success:
        raise CannotFetch(f"{_name(url)} answered {answer.status_code}.")
    body = bytearray()
    async with aclosing(_decoded(url, answer, bounds.max_bytes)) as pieces:
        async for piece in pieces:
            body += piece
            if len(body) > bounds.max_bytes:
                raise _too_large(url, bounds.max_bytes)
    content_type = answer.headers.get("content-type", "")[:256]
    return Fetched(str(url), answer.status_code, content_type, bytes(body))


async def _decoded(url: httpx2.URL, answer: httpx2.Response, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body's pieces, none larger than `max_bytes` + 1: a small one of zeros may unfold to a thousand times more."""
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip"):
        raise CannotFetch(f"{_name(url)} answered in an encoding that was not asked for.")
    if encoding in ("identity", "") and int(answer.headers.get("content-length", 0)) > max_bytes:
        raise _too_large(url, max_bytes)
    gzip = zlib.decompressobj(wbits=31) if encoding.endswith("gzip") else None
    try:
        async for piece in answer.aiter_raw():
            yield gzip.decompress(piece, max_bytes + 1) if gzip is not None else piece
            if gzip is not None and gzip.eof:
                return
    except (*_BROKEN, zlib.error) as error:
        raise CannotFetch(f"{_name(url)} broke off in the middle of its answer.") from error
    if gzip is not None and not gzip.eof:
        raise CannotFetch(f"{_name(url)} broke off in the middle of its answer.")


def _too_large(url: httpx2.URL, max_bytes: int) -> CannotFetch:
    size = f"{max_bytes // MEGABYTE} MB" if max_bytes >= MEGABYTE else f"{max_bytes} bytes"
    return CannotFetch(f"What {_name(url)} sends is larger than {size}.")


_clients: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, GuardedClient]" = weakref.WeakKeyDictionary()


async def fetch(
    url: str,
    *,
    max_bytes: int,
    seconds: float,
    headers: Mapping[str, str] | None = None,
    allowed_hosts: Iterable[str] | None = None,
    ports: Collection[int] | None = None,
) -> Fetched:
    """`GuardedClient.fetch` of the running loop's client."""
    loop = asyncio.get_running_loop()
    client = _clients.get(loop)
    if client is None:
        client = _clients[loop] = GuardedClient()
    return await client.fetch(
        url, max_bytes=max_bytes, seconds=seconds, headers=headers, allowed_hosts=allowed_hosts, ports=ports
    )
