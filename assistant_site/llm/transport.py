"""Bytes to a provider and back, over aiohttp: connections, timeouts, one attempt at a time.

Retrying has one policy, in `client`, and what is said has one reader, in `reading`. aiohttp parses HTTP in C: a stream
of 64 pieces costs 2 to 3 ms of CPU here, where the `openai` package's client took 6 to 10 (docs/adr/0015-speed.md).

Per event loop there is one pool of connections for all endpoints: building its TLS context takes tens of milliseconds,
and a busy worker talks to few hosts on behalf of many tenants. It keeps no cookies, so nothing passes from one tenant's
calls to another's.
"""

import asyncio
import ssl
import weakref
from collections.abc import Mapping
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2
from django.conf import settings
from yarl import URL

from assistant_site.llm.chat import Endpoint
from assistant_site.llm.errors import NOT_COMPATIBLE, SILENT, UNREACHABLE, TurnFailed

MAX_CONNECTIONS = 2_000
KEPT_SECONDS = 60.0
MAX_ERROR_BYTES = 64 * 1024
MAX_HEADER_BYTES = 32 * 1024  # of one line

# What reading a body may raise when the connection breaks.
BROKEN = (aiohttp.ClientError, ssl.SSLError, OSError)
Silence = aiohttp.SocketTimeoutError  # of these the one that means that nothing came for too long
_NO_ADDRESS = (aiohttp.InvalidURL, UnicodeError, ValueError)

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Refused(Exception):
    """The provider answered with a status of 300 or more; the body is cut at `MAX_ERROR_BYTES`."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.headers = headers
        self.body = body


class _Pool:
    """The connections of one event loop."""

    def __init__(self) -> None:
        connector = aiohttp.TCPConnector(
            limit=MAX_CONNECTIONS,
            keepalive_timeout=KEPT_SECONDS,
            ssl=httpx2.create_ssl_context(),  # the authorities that our other clients trust
        )
        self.session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=settings.LLM_CONNECT_SECONDS,
                sock_connect=settings.LLM_CONNECT_SECONDS,
                sock_read=settings.LLM_SILENCE_SECONDS,
            ),
            headers={"User-Agent": f"Holdfast/{settings.VERSION}"},
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        self._proxies = getproxies()

    def proxy_for(self, url: URL) -> str | None:
        """A proxy of the environment is for the world outside, not for the demo model beside us.

        aiohttp would find it too, but take credentials out of a .netrc along with it.
        """
        if not self._proxies or url.host in _LOOPBACK or proxy_bypass(url.host or ""):
            return None
        return self._proxies.get(url.scheme) or self._proxies.get("all")

    async def request(self, method: str, endpoint: Endpoint, path: str, body: bytes | None) -> aiohttp.ClientResponse:
        url = URL(f"{endpoint.base_url}/{path}", encoded=True)
        headers = {
            "Authorization": f"Bearer {endpoint.api_key or 'none'}",  # keyless servers ignore it
            "Content-Type": "application/json",
            "Accept": "text/event-stream, application/json",
        }
        answer = await self.session.request(
            method, url, data=body, headers=headers, allow_redirects=False, proxy=self.proxy_for(url)
        )
        if answer.status >= 300:
            raise Refused(answer.status, answer.headers, await _beginning_of(answer))
        return answer

    async def close(self) -> None:
        await self.session.close()


_pools: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool]" = weakref.WeakKeyDictionary()


def _pool() -> _Pool:
    loop = asyncio.get_running_loop()
    pool = _pools.get(loop)
    if pool is None:
        pool = _pools[loop] = _Pool()
    return pool


async def warm_up() -> None:
    """Pays now what the loop's first turn would pay: late imports and TLS tables."""
    try:
        answer = await open_turn(Endpoint("http://127.0.0.1:1/v1", "none"), b"{}")  # nobody listens there
    except (TurnFailed, Refused):
        return
    answer.close()


async def close_connections() -> None:
    """Closes the running loop's connections; the next turn opens new ones."""
    pool = _pools.pop(asyncio.get_running_loop(), None)
    if pool is not None:
        await pool.close()


async def open_turn(endpoint: Endpoint, body: bytes) -> aiohttp.ClientResponse:
    """Posts to `chat/completions` once and returns the answer with its body unread: the caller closes it.

    Raises `Refused` for a status of 300 or more, `TurnFailed` if there was no answer.
    """
    try:
        return await _pool().request("POST", endpoint, "chat/completions", body)
    except (*BROKEN, *_NO_ADDRESS) as error:
        raise no_answer(error) from error


async def whole_answer(endpoint: Endpoint, path: str, body: bytes | None = None) -> bytes:
    """The body of an answer that is no stream: to a GET, or with a body to a POST. For small answers.

    Raises as `open_turn` does.
    """
    try:
        async with await _pool().request("GET" if body is None else "POST", endpoint, path, body) as answer:
            return await answer.read()
    except (*BROKEN, *_NO_ADDRESS) as error:
        raise no_answer(error) from error


def no_answer(error: BaseException) -> TurnFailed:
    """What a broken connection means. Silence is not answered by asking again: it took minutes already."""
    said = getattr(error, "os_error", error)  # without aiohttp's words around it
    detail = f"{type(error).__name__}: {said}"
    if isinstance(error, Silence):
        return TurnFailed("server_error", SILENT, detail=detail)
    if isinstance(error, _NO_ADDRESS) and not isinstance(error, OSError):
        return TurnFailed("server_error", NOT_COMPATIBLE, detail=detail)
    return TurnFailed("server_error", UNREACHABLE, retry=True, detail=detail)


async def _beginning_of(answer: aiohttp.ClientResponse) -> bytes:
    """Of an error's body what is looked at. A connection that breaks in it does not matter: the status says enough."""
    kept = bytearray()
    try:
        async for piece in answer.content.iter_any():
            kept += piece
            if len(kept) >= MAX_ERROR_BYTES:
                break
    except BROKEN:
        pass
    finally:
        answer.close()
    return bytes(kept[:MAX_ERROR_BYTES])
