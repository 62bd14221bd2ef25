"""Bytes to a provider and back, over the `openai` package's client: connections, timeouts, one attempt at a time.

The package's own retries and its typed stream stay off: retrying has one policy, in `client`, and the typed stream
costs 90 µs of CPU per token where reading the bytes costs a tenth.

Per event loop there is one pool of connections, shared by the clients of all endpoints: building its TLS context takes
tens of milliseconds, and a busy worker talks to few hosts on behalf of many tenants. It keeps no cookies, so nothing
passes from one tenant's client to another's.
"""

import asyncio
import ssl
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import cast

import anyio
import httpx2
from django.conf import settings
from openai import AsyncOpenAI, AsyncStream, OpenAIError

from assistant_site.llm.chat import Endpoint
from assistant_site.llm.errors import NOT_COMPATIBLE, SILENT, UNREACHABLE, TurnFailed

MAX_CONNECTIONS = 2_000
KEPT_SECONDS = 60.0
MAX_CLIENTS = 512
MAX_ERROR_BYTES = 64 * 1024

# What reading a body may raise when the connection breaks.
BROKEN = (httpx2.RequestError, httpx2.StreamError, ssl.SSLError, anyio.EndOfStream, anyio.BrokenResourceError)


class Refused(Exception):
    """The provider answered with a status of 300 or more; the body is cut at `MAX_ERROR_BYTES`."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.headers = headers
        self.body = body


class _Pool:
    """The connections and clients of one event loop."""

    def __init__(self) -> None:
        self.http = httpx2.AsyncClient(
            timeout=httpx2.Timeout(settings.LLM_SILENCE_SECONDS, connect=settings.LLM_CONNECT_SECONDS),
            limits=httpx2.Limits(
                max_connections=MAX_CONNECTIONS,
                max_keepalive_connections=MAX_CONNECTIONS,
                keepalive_expiry=KEPT_SECONDS,
            ),
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            event_hooks={"response": [_stop_at_errors]},
            # A proxy of the environment is for the world outside, not for the demo model beside us.
            mounts={"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None},
        )
        self.clients: OrderedDict[tuple[str, str], AsyncOpenAI] = OrderedDict()

    def client_for(self, endpoint: Endpoint) -> AsyncOpenAI:
        key = (endpoint.base_url, endpoint.api_key)
        client = self.clients.get(key)
        if client is None:
            client = AsyncOpenAI(
                base_url=endpoint.base_url,
                api_key=endpoint.api_key or "none",  # the package insists on one; keyless servers ignore it
                timeout=self.http.timeout,
                max_retries=0,
                http_client=self.http,
            )
            # The package reads these from the environment; they belong to the operator, not to a tenant's provider.
            client.organization = client.project = client.admin_api_key = None
            self.clients[key] = client
            if len(self.clients) > MAX_CLIENTS:
                self.clients.popitem(last=False)  # holds no connection of its own
        self.clients.move_to_end(key)
        return client


_pools: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool]" = weakref.WeakKeyDictionary()


def _pool() -> _Pool:
    loop = asyncio.get_running_loop()
    pool = _pools.get(loop)
    if pool is None:
        pool = _pools[loop] = _Pool()
    return pool


async def warm_up() -> None:
    """Pays now what the loop's first turn would pay: some 0.3 s of late imports, TLS tables, naming the platform."""
    try:
        response = await open_turn(Endpoint("http://127.0.0.1:0/v1", "none"), b"{}")  # nobody can listen at port 0
    except TurnFailed:
        return
    await response.aclose()


async def close_connections() -> None:
    """Closes the running loop's connections; the next turn opens new ones."""
    pool = _pools.pop(asyncio.get_running_loop(), None)
    if pool is not None:
        await pool.http.aclose()


async def open_turn(endpoint: Endpoint, body: bytes) -> httpx2.Response:
    """Posts to `chat/completions` once and returns the answer with its body unread: the caller closes it.

    Raises `Refused` for a status of 300 or more, `TurnFailed` if there was no answer.
    """
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream, application/json"}
    client = _pool().client_for(endpoint)
    try:
        answer = await client.post(
            "/chat/completions",
            cast_to=httpx2.Response,
            content=body,
            options={"headers": headers},
            stream=True,
            stream_cls=AsyncStream[object],
        )
        return cast(httpx2.Response, answer)  # asked for by `cast_to`; the package's types know only its own stream
    except OpenAIError as error:  # its APITimeoutError and APIConnectionError wrap what happened
        raise no_answer(error.__cause__ or error) from error
    except (*BROKEN, OSError, httpx2.InvalidURL) as error:
        raise no_answer(error) from error


async def whole_answer(endpoint: Endpoint, path: str, body: bytes | None = None) -> bytes:
    """The body of an answer that is no stream: to a GET, or with a body to a POST. For small answers.

    Raises as `open_turn` does.
    """
    headers = {"Authorization": f"Bearer {endpoint.api_key or 'none'}", "Content-Type": "application/json"}
    method = "GET" if body is None else "POST"
    try:
        answer = await _pool().http.request(method, f"{endpoint.base_url}/{path}", content=body, headers=headers)
    except (*BROKEN, OSError, httpx2.InvalidURL, UnicodeError) as error:
        raise no_answer(error) from error
    return answer.content


def no_answer(error: BaseException) -> TurnFailed:
    """What a broken connection means. Silence is not answered by asking again: it took minutes already."""
    detail = f"{type(error).__name__}: {error}"
    if isinstance(error, httpx2.ReadTimeout):
        return TurnFailed("server_error", SILENT, detail=detail)
    if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol | UnicodeError):
        return TurnFailed("server_error", NOT_COMPATIBLE, detail=detail)
    return TurnFailed("server_error", UNREACHABLE, retry=True, detail=detail)


async def _stop_at_errors(response: httpx2.Response) -> None:
    """Leaves the package's error handling out: that reads an error's body without a bound."""
    if response.status_code < 300:
        return
    kept = bytearray()
    try:
        async for piece in response.aiter_bytes():
            kept += piece
            if len(kept) >= MAX_ERROR_BYTES:
                break
    except BROKEN:
        pass  # the status says enough
    raise Refused(response.status_code, response.headers, bytes(kept[:MAX_ERROR_BYTES]))
