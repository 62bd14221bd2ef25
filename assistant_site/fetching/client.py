"""The client for whole answers: redirects followed by hand, size and time bounded."""

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import httpx2

from assistant_site.fetching.judging import Bounds, CannotFetch, Resolver, checked, name_of, origin_of, resolved
from assistant_site.fetching.transport import Delivery, Dialer

MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
_SAFE = ("GET", "HEAD", "OPTIONS")

# These are made from the address and the content; others in their place would let one request pass for two.
_MADE_HERE = ("host", "content-length", "transfer-encoding", "accept-encoding")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")


@dataclass(frozen=True)
class Fetched:
    """`url`: the last one, behind all redirects. `body` is decoded."""

    url: str
    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True)
class Answer:
    """`url`: the last one, behind all redirects. `headers` have lower-case names. `body` is decoded."""

    url: str
    status: int
    headers: dict[str, str] = field(repr=False)
    content_type: str
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class _Asked:
    method: str
    url: httpx2.URL
    headers: dict[str, str] = field(repr=False)
    content: bytes | None = field(repr=False)

    def request(self) -> httpx2.Request:
        headers = httpx2.Headers({"User-Agent": "Holdfast", "Accept": "*/*"})
        headers.update(self.headers)
        return httpx2.Request(self.method, self.url, headers=headers, content=self.content)

    def redirected(self, status: int, target: httpx2.URL) -> "_Asked":
        """What is asked at `target`, which a server named in answer to this.

        The strict of what is usual: whatever may change something, or carries content, leaves its origin neither with
        its content nor with its method, and becomes a GET only where the standard says so (303, and 301 and 302 after
        POST). Headers, which may be credentials, go to the first origin only: another host, port or scheme is another.
        """
        asked = self
        stays = origin_of(target) == origin_of(self.url)
        if (status == 303 and self.method != "HEAD") or (status in (301, 302) and self.method == "POST"):
            kept = {name: value for name, value in self.headers.items() if not name.lower().startswith("content-")}
            asked = replace(self, method="GET", headers=kept, content=None)
        elif not stays and (self.method not in _SAFE or self.content is not None):
            message = f"{name_of(self.url)} redirected this {self.method} request to another server."
            raise CannotFetch(message, was_sent=True)
        return replace(asked, url=target, headers=asked.headers if stays else {})


class GuardedClient:
    """One event loop's client. `resolve` and `verify` are for those who have names or certificates of their own."""

    def __init__(self, resolve: Resolver = resolved, verify: ssl.SSLContext | None = None) -> None:
        self._dialer = Dialer(resolve, verify)

    async def aclose(self) -> None:
        await self._dialer.aclose()

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
        asked = _asked("GET", url, headers, None)
        bounds = Bounds.of(max_bytes, allowed_hosts, ports)
        async with self._answer(asked, bounds, seconds, follow=True) as (last, answer):
            if not answer.is_success:
                raise CannotFetch(f"{name_of(last)} answered {answer.status_code}.", was_sent=True)
            return Fetched(str(last), answer.status_code, _content_type(answer), await _read(answer))

    async def request(
        self,
        method: str,
        url: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int,
        seconds: float,
        allowed_hosts: Iterable[str] | None = None,
        ports: Collection[int] | None = None,
        follow: bool = True,
    ) -> Answer:
        """Makes a request; an answer of any status is an `Answer`. Raises `CannotFetch`, which says if it was sent.

        Redirects are followed as `_Asked.redirected` says; with `follow` off they are answers like others. The rest is
        as for `fetch`. A `Host` and a `Content-Length` among `headers` are not heeded: they follow from the others.
        """
        asked = _asked(method, url, headers, content)
        bounds = Bounds.of(max_bytes, allowed_hosts, ports)
        async with self._answer(asked, bounds, seconds, follow) as (last, answer):
            named = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(str(last), answer.status_code, named, _content_type(answer), await _read(answer))

    @asynccontextmanager
    async def _answer(
        self, asked: _Asked, bounds: Bounds, seconds: float, follow: bool
    ) -> AsyncGenerator[tuple[httpx2.URL, httpx2.Response], None]:
        """The last address and its answer, the body unread; what is done with it has the same time limit."""
        first, delivery = asked.url, Delivery()
        try:
            async with asyncio.timeout(seconds):
                for _ in range(MAX_REDIRECTS + 1):
                    answer = await self._dialer.send(asked.request(), bounds, delivery)
                    try:
                        location = answer.headers.get("location", "")
                        if not follow or answer.status_code not in REDIRECTS or not location:
                            yield asked.url, answer
                            return
                    finally:
                        await answer.aclose()
                    asked = asked.redirected(answer.status_code, _target(asked.url, location))
                raise CannotFetch(f"{name_of(asked.url)} redirected more than {MAX_REDIRECTS} times.")
        except TimeoutError:
            message = f"{name_of(first)} took longer than {seconds:g} seconds."
            raise CannotFetch(message, was_sent=delivery.was_begun) from None
        except CannotFetch as error:
            error.was_sent = error.was_sent or delivery.was_begun  # by an earlier hop
            raise


def _asked(method: str, url: str, headers: Mapping[str, str] | None, content: bytes | None) -> _Asked:
    method = method.upper()
    if method not in METHODS:
        raise CannotFetch(f"Requests can be {', '.join(METHODS)}.")
    given = {name: value.strip(" \t") for name, value in (headers or {}).items() if name.lower() not in _MADE_HERE}
    for name, value in given.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise CannotFetch("A header of the request has characters that cannot be sent in one.")
    return _Asked(method, checked(url), given, content)


def _target(url: httpx2.URL, location: str) -> httpx2.URL:
    try:
        target = checked(str(url.join(location)))
    except httpx2.InvalidURL:
        raise CannotFetch(f"{name_of(url)} redirected to an address that is not a valid URL.") from None
    if url.scheme == "https" and target.scheme == "http":
        raise CannotFetch(f"{name_of(url)} redirected from https to http.")
    return target


def _content_type(answer: httpx2.Response) -> str:
    return str(answer.headers.get("content-type", ""))[:256]


async def _read(answer: httpx2.Response) -> bytes:
    assert isinstance(answer.stream, httpx2.AsyncByteStream)
    body = bytearray()
    async for piece in answer.stream:
        body += piece
    return bytes(body)
