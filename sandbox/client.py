"""The sandbox as workers use it: one or more daemons, over a unix socket or TCP."""

import asyncio
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

import httpx2

from sandbox import wire
from sandbox.hosts import Host, Hosts
from sandbox.protocol import (
    MIB,
    CallLost,
    Done,
    Event,
    FileInfo,
    FileRefused,
    Health,
    Limits,
    OpenedSession,
    SandboxError,
    SandboxUnavailable,
    SessionGone,
    SessionKey,
)

CONNECT_SECONDS = 3.0
HEALTH_TIMEOUT = 5.0
OPEN_TIMEOUT = 120.0  # waits for room, then for a start on a busy machine
SILENCE_SECONDS = 30.0  # of a daemon that should say every 5 s that code still runs
FILE_TIMEOUT = 60.0
PAUSES = (0.2, 1.0)  # before attaching again to a call whose connection was lost
LONGEST_ANSWER = 4 * MIB  # of JSON
UNREACHABLE_REMEDY = "Check that sandboxd runs and that its address is right."

_clients: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[Host, ...], httpx2.AsyncClient]]" = (
    weakref.WeakKeyDictionary()
)
# Nothing of the request was sent.
NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class RemoteSandbox:
    """`protocol.Sandbox` over HTTP. Several daemons share the sessions; each session has its own.

    `urls`: `unix:///path`, `http://…`, `https://…`; raises ValueError with a sentence. Usable from any event loop.
    """

    def __init__(self, urls: Sequence[str], token: str = "") -> None:
        if not urls:
            raise ValueError("A sandbox needs an address.")
        self._hosts = Hosts([Host.of(url) for url in urls], self._health_of)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def open(self, key: SessionKey, limits: Limits) -> OpenedSession:
        candidates = await self._hosts.candidates(key)
        for host in candidates:
            try:
                told = await self._ask(host, "PUT", _path(key), wire.dumps(wire.limits_to(limits)), OPEN_TIMEOUT)
                opened = wire.opened_from(told)
            except _Unreached:
                continue
            return replace(opened, generation=self._hosts.marked(host, opened.generation))
        raise SandboxUnavailable((await self._hosts.together()).sentence or "The code interpreter cannot be reached.")

    async def put(
        self, key: SessionKey, generation: str, name: str, pieces: AsyncIterator[bytes], size: int, tag: str = ""
    ) -> None:
        host, own = self._session(generation)
        path = _path(key, "files", wire.checked_name(name), generation=own, tag=tag)
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        try:
            await self._ask(host, "PUT", path, _exactly(pieces, size), FILE_TIMEOUT, headers)
        except httpx2.LocalProtocolError:
            raise FileRefused("The file has another size than was said.") from None

    async def execute(
        self, key: SessionKey, generation: str, call_id: str, code: str, *, attach_only: bool = False
    ) -> AsyncIterator[Event]:
        try:
            host, own = self._session(generation)
        except SessionGone:
            if attach_only:
                raise CallLost("The session in which the code was begun has ended.") from None
            raise
        body = wire.dumps({"generation": own, "call_id": call_id, "code": code, "attach_only": attach_only})
        told = 0
        is_begun = False
        for pause in (*PAUSES, None):
            try:
                async with aclosing(self._events(host, key, body, skip=told)) as events:
                    async for event in events:
                        is_begun = True
                        told += 1
                        yield event
                        if isinstance(event, Done):
                            return
            except _Unreached as problem:
                if not is_begun:
                    raise SandboxUnavailable(str(problem)) from None
            except SessionGone:
                if is_begun:  # by an attempt before this one
                    break
                raise
            except httpx2.HTTPError:
                is_begun = True
            if pause is not None:  # at most once by its id, so asking again is safe: it attaches
                await asyncio.sleep(pause)
        raise CallLost("The connection to the code interpreter was lost while code ran.")

    async def interrupt(self, key: SessionKey) -> None:
        await self._tell_all("POST", _path(key, "interrupt"))

    async def files(self, key: SessionKey, generation: str) -> list[FileInfo]:
        host, own = self._session(generation)
        told = await self._ask(host, "GET", _path(key, "files", generation=own), b"", FILE_TIMEOUT)
        return wire.files_from(told.get("files"))

    async def read(self, key: SessionKey, generation: str, name: str, most: int) -> AsyncIterator[bytes]:
        host, own = self._session(generation)
        path = _path(key, "files", wire.checked_name(name), generation=own, most=str(most))
        total = 0
        try:
            async with self._answer(host, "GET", path, b"", FILE_TIMEOUT) as answer:
                async for piece in answer.aiter_raw():
                    total += len(piece)
                    if total > most:
                        raise FileRefused(f"The file has more than {most} bytes.")
                    yield piece
        except httpx2.HTTPError:
            raise FileRefused("The file could not be read to its end.") from None

    async def close(self, key: SessionKey) -> None:
        await self._tell_all("DELETE", _path(key))

    async def health(self) -> Health:
        return await self._hosts.together()

    async def sessions(self) -> list[dict[str, Any]]:
        """Every session of every host that answers, as `GET /v1/sessions` tells, with its host's address."""
        found: list[dict[str, Any]] = []
        for host in self._hosts.all:
            try:
                told = await self._ask(host, "GET", "/v1/sessions", b"", HEALTH_TIMEOUT)
            except (SandboxError, httpx2.HTTPError):
                continue
            found += [
                each | {"host": host.socket or host.url} for each in told.get("sessions", []) if isinstance(each, dict)
            ]
        return found

    async def disconnect(self) -> None:
        """Close the running loop's connections; the next request opens new ones."""
        for client in (_clients.pop(asyncio.get_running_loop(), None) or {}).values():
            await client.aclose()

    # --- HTTP --------------------------------------------------------------------------------------------------------

    def _session(self, generation: str) -> tuple[Host, str]:
        host, own = self._hosts.of_generation(generation)
        if host is None:
            raise SessionGone("The session has ended.")
        return host, own

    async def _health_of(self, host: Host) -> Health:
        try:
            headers = {"Connection": "close"}  # who asks only this has no connection left to close
            return wire.health_from(await self._ask(host, "GET", "/health", b"", HEALTH_TIMEOUT, headers))
        except _Unreached as problem:
            return Health(False, reason=str(problem), remedy=UNREACHABLE_REMEDY, is_reached=False)
        except SandboxError as problem:
            return Health(False, reason=str(problem))

    async def _tell_all(self, method: str, path: str) -> None:
        """To every host, since a session may be on another one than now would be chosen; who is away has none."""
        asked = (self._ask(host, method, path, b"", OPEN_TIMEOUT) for host in self._hosts.all)
        for told in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(told, BaseException) and not isinstance(told, SandboxUnavailable):
                raise told

    async def _events(self, host: Host, key: SessionKey, body: bytes, skip: int) -> AsyncGenerator[Event]:
        """The call's events but the first ones; raises what the daemon refuses with, or httpx2.HTTPError when cut."""
        async with self._answer(host, "POST", _path(key, "execute"), body, SILENCE_SECONDS) as answer:
            async for line in _lines(answer):
                try:
                    event = wire.event_from(line)
                except wire.Malformed as flaw:
                    raise CallLost(f"The code interpreter's answer cannot be read. {flaw}") from None
                if isinstance(event, SandboxError):
                    raise event
                if skip > 0:
                    skip -= 1
                else:
                    yield event
        raise httpx2.RemoteProtocolError("The answer ended before the call.")

    async def _ask(
        self,
        host: Host,
        method: str,
        path: str,
        body: bytes | AsyncIterator[bytes],
        seconds: float,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """A JSON object; raises _Unreached, SandboxUnavailable, and what the daemon refuses with."""
        try:
            async with self._answer(host, method, path, body, seconds, headers) as answer:
                return wire.loads(await _bounded(answer))
        except httpx2.LocalProtocolError:
            raise
        except httpx2.HTTPError as problem:
            self._failed(host, problem)
            raise SandboxUnavailable("The connection to the code interpreter was lost.") from problem

    @asynccontextmanager
    async def _answer(
        self,
        host: Host,
        method: str,
        path: str,
        body: bytes | AsyncIterator[bytes],
        seconds: float,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[httpx2.Response]:
        """An answer of status 200 with its body unread; raises _Unreached, or what the daemon refuses with."""
        timeout = httpx2.Timeout(seconds, connect=CONNECT_SECONDS, pool=seconds)
        request = self._client().build_request(
            method, host.url + path, content=body or None, headers={**self._headers, **(headers or {})}, timeout=timeout
        )
        try:
            answer = await self._client().send(request, stream=True)
        except NOT_SENT as problem:
            self._failed(host, problem)
            raise _Unreached(f"The code interpreter cannot be reached at {host.socket or host.url}.") from None
        try:
            if answer.status_code != 200:
                raise await _refusal(answer)
            yield answer
        finally:
            await answer.aclose()

    def _failed(self, host: Host, problem: Exception) -> None:
        reason = f"The code interpreter does not answer ({type(problem).__name__})."
        self._hosts.failed(host, Health(False, reason=reason, remedy=UNREACHABLE_REMEDY, is_reached=False))

    def _client(self) -> httpx2.AsyncClient:
        clients = _clients.setdefault(asyncio.get_running_loop(), {})
        client = clients.get(tuple(self._hosts.all))
        if client is None:
            limits = httpx2.Limits(max_connections=1_000, max_keepalive_connections=20, keepalive_expiry=5.0)
            mounts = {
                f"all://{httpx2.URL(host.url).host}": httpx2.AsyncHTTPTransport(uds=host.socket, limits=limits)
                for host in self._hosts.all
                if host.socket
            }
            client = httpx2.AsyncClient(mounts=mounts, limits=limits, trust_env=False)
            clients[tuple(self._hosts.all)] = client
        return client


class _Unreached(SandboxUnavailable):
    """Nothing was sent."""


async def _refusal(answer: httpx2.Response) -> SandboxError:
    if answer.status_code == 401:
        return SandboxUnavailable("The code interpreter refuses the token. Set the same SANDBOX_TOKEN on both sides.")
    try:
        return wire.error_from(await _bounded(answer))
    except wire.Malformed:
        return SandboxUnavailable(f"The code interpreter answered with status {answer.status_code}.")


async def _bounded(answer: httpx2.Response) -> bytes:
    body = bytearray()
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) > LONGEST_ANSWER:
            raise wire.Malformed("The answer is too long.")
    return bytes(body)


async def _lines(answer: httpx2.Response) -> AsyncIterator[bytes]:
    """The lines that are not empty."""
    rest = bytearray()
    async for piece in answer.aiter_raw():
        at = len(rest)
        rest += piece
        while (end := rest.find(b"\n", at)) >= 0:
            line = bytes(rest[:end])
            del rest[: end + 1]
            at = 0
            if line:
                yield line
        if len(rest) > wire.LONGEST_LINE:
            raise CallLost("The code interpreter's answer cannot be read: a line is too long.")


async def _exactly(pieces: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    total = 0
    async for piece in pieces:
        total += len(piece)
        if total > size:
            break
        yield piece
    if total != size:
        raise httpx2.LocalProtocolError("The body has another length than was said.")


def _path(key: SessionKey, *parts: str, **query: str) -> str:
    wire.key_of(key.tenant_id, key.thread_id)
    path = "/".join(quote(part) for part in ("/v1/sessions", key.tenant_id, key.thread_id, *parts))
    return f"{path}?{urlencode(query)}" if query else path
