"""The daemon's HTTP: requests in, calls of the pool, answers and lines of events out."""

import asyncio
import hmac
import logging
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sandbox import wire
from sandbox.calls import Call, Calls
from sandbox.pool import Pool
from sandbox.protocol import MIB, FileRefused, SandboxError, SessionKey
from sandbox.readiness import Readiness

logger = logging.getLogger(__name__)

LONGEST_BODY = 4 * MIB  # of JSON; files come as they are
LONGEST_CODE = 1 * MIB
LONGEST_CALL_ID = 200
LONGEST_TAG = 128
PIECE = 256 * 1024
ALIVE_SECONDS = 5.0  # between the empty lines that say that the code still runs
LOOKED_SECONDS = 1.0  # between two looks whether the follower is still there
STUCK_SECONDS = 60.0  # a peer that takes or gives nothing for so long is given up


class Service:
    def __init__(self, pool: Pool, readiness: Readiness) -> None:
        self.pool = pool
        self.readiness = readiness
        self.alive_seconds = ALIVE_SECONDS

    def application(self, tokens: tuple[str, ...] = ()) -> web.Application:
        """What is served on one socket; with tokens, only to those who present one of them."""
        made = web.Application(client_max_size=LONGEST_BODY, middlewares=[_guard(tokens), _refusals])
        session = "/v1/sessions/{tenant}/{thread}"
        made.router.add_get("/health", self.health)
        made.router.add_get("/v1/sessions", self.sessions)
        made.router.add_put(session, self.open)
        made.router.add_delete(session, self.close)
        made.router.add_post(f"{session}/execute", self.execute)
        made.router.add_post(f"{session}/interrupt", self.interrupt)
        made.router.add_get(f"{session}/files", self.files)
        made.router.add_put(f"{session}/files/{{name:.+}}", self.put)
        made.router.add_get(f"{session}/files/{{name:.+}}", self.read)
        return made

    async def health(self, request: web.Request) -> web.Response:
        pool = self.pool
        health = replace(self.readiness.health, sessions=len(pool.held))
        memory = sum(held.session.used.memory for held in list(pool.held.values()))
        return _json(wire.health_to(health) | {"pool": pool.warm.count, "room": pool.bounds.sessions, "memory": memory})

    async def sessions(self, request: web.Request) -> web.Response:
        told = [
            {
                "tenant": held.key.tenant_id,
                "thread": held.key.thread_id,
                "generation": held.session.generation,
                "age": round(held.age, 1),
                "idle": round(held.idle, 1),
                "is_busy": held.is_busy,
                "memory": held.session.used.memory,
            }
            for held in list(self.pool.held.values())
        ]
        return _json({"sessions": told})

    async def open(self, request: web.Request) -> web.Response:
        key = _key(request)
        limits = wire.limits_from(wire.loads(await request.read() or b"{}"), self.pool.bounds.limits)
        self.readiness.check()
        return _json(wire.opened_to(await self.pool.open(key, limits)))

    async def close(self, request: web.Request) -> web.Response:
        await self.pool.end(_key(request))
        return _json({})

    async def interrupt(self, request: web.Request) -> web.Response:
        if held := self.pool.held.get(_key(request)):
            await held.calls.interrupt()
        return _json({})

    async def files(self, request: web.Request) -> web.Response:
        held = self.pool.of(_key(request), _generation(request))
        with held.used() as session:
            return _json({"files": [wire.file_to(file) for file in await session.files()]})

    async def put(self, request: web.Request) -> web.Response:
        name = wire.checked_name(request.match_info["name"])
        tag = request.query.get("tag", "")
        if tag and (len(tag) > LONGEST_TAG or "/" in wire.checked_name(tag)):
            raise FileRefused("The file's tag is not a short name.")
        size = request.content_length
        if size is None:
            raise wire.Malformed("A file's size must be said in Content-Length.")
        held = self.pool.of(_key(request), _generation(request))
        if size > held.session.limits.data_bytes:
            most = held.session.limits.data_bytes // MIB
            raise FileRefused(f"The file has {size} bytes; the session's whole folder has room for {most} MiB.")
        with held.used() as session:
            held.files.pop(name, None)
            await session.put(name, _pieces(request), tag)
            held.files[name] = tag
        return _json({})

    async def read(self, request: web.Request) -> web.StreamResponse:
        name = wire.checked_name(request.match_info["name"])
        try:
            most = int(request.query["most"])
        except (KeyError, ValueError):
            raise wire.Malformed("most must be a number of bytes.") from None
        held = self.pool.of(_key(request), _generation(request))
        with held.used() as session:
            pieces = session.read(name, most)
            first = await anext(pieces, b"")  # a refusal comes before the first byte
            response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
            await response.prepare(request)
            await _send_all(request, response, first, pieces)
        return response

    async def execute(self, request: web.Request) -> web.StreamResponse:
        key = _key(request)
        body = wire.loads(await request.read())
        call_id, code = wire.field(body, "call_id", str), wire.field(body, "code", str, "")
        attach_only = wire.field(body, "attach_only", bool, False)
        if not 0 < len(call_id) <= LONGEST_CALL_ID:
            raise wire.Malformed(f"call_id must have 1 to {LONGEST_CALL_ID} characters.")
        if len(code) > LONGEST_CODE:
            raise wire.Malformed(f"code must have at most {LONGEST_CODE} characters.")
        calls = self.pool.calls_of(key, wire.field(body, "generation", str), attach_only=attach_only)
        call = calls.submit(call_id, wire.clean(code), attach_only=attach_only)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        await self._send_events(request, response, calls, call)
        return response

    async def _send_events(self, request: web.Request, response: web.StreamResponse, calls: Calls, call: Call) -> None:
        """Until the call is over; who has gone is followed no more, and the code goes on."""
        sent_at = time.monotonic()
        try:
            async with aclosing(calls.follow(call, LOOKED_SECONDS)) as events:
                async for event in events:
                    if event is not None:
                        await _write(response, wire.event_to(event))
                    elif request.transport is None or request.transport.is_closing():
                        return
                    elif time.monotonic() - sent_at < self.alive_seconds:
                        continue
                    else:
                        await _write(response, b"\n")
                    sent_at = time.monotonic()
            await response.write_eof()
        except (ConnectionError, TimeoutError):
            _abort(request)


def _key(request: web.Request) -> SessionKey:
    return wire.key_of(request.match_info["tenant"], request.match_info["thread"])


def _generation(request: web.Request) -> str:
    return request.query.get("generation", "")


def _json(value: dict[str, object], status: int = 200) -> web.Response:
    return web.Response(body=wire.dumps(value), status=status, content_type="application/json")


async def _write(response: web.StreamResponse, piece: bytes) -> None:
    async with asyncio.timeout(STUCK_SECONDS):
        await response.write(piece)


async def _send_all(
    request: web.Request, response: web.StreamResponse, first: bytes, pieces: AsyncIterator[bytes]
) -> None:
    """All pieces, or a cut connection. Whoever reads may go; the session is asked for the rest in any case, since it
    cannot be told to stop in the middle of a file."""
    is_cut = False
    try:
        await _write(response, first)
    except (ConnectionError, TimeoutError):
        is_cut = True
    try:
        async for piece in pieces:
            try:
                if not is_cut:
                    await _write(response, piece)
            except (ConnectionError, TimeoutError):
                is_cut = True
        if not is_cut:
            await response.write_eof()
    except (SandboxError, ConnectionError):
        is_cut = True
    if is_cut:
        _abort(request)


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    while True:
        try:
            async with asyncio.timeout(STUCK_SECONDS):
                piece = await request.content.read(PIECE)
        except (TimeoutError, OSError, web.RequestPayloadError):
            raise FileRefused("The file did not arrive whole.") from None
        if not piece:
            return
        yield piece


def _guard(tokens: tuple[str, ...]) -> Middleware:
    expected = [f"Bearer {token}".encode() for token in tokens]

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        presented = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if expected and not any(hmac.compare_digest(presented, each) for each in expected):
            return _refused(401, "Unauthorized", "The token is missing or wrong.")
        return await handler(request)

    return guard


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Our exceptions, and aiohttp's own refusals, as JSON."""
    try:
        return await handler(request)
    except SandboxError as error:
        status, body = wire.error_to(error)
        answer = web.Response(body=body, status=status, content_type="application/json")
    except web.HTTPException as refusal:
        answer = _refused(refusal.status, "SandboxError", f"{refusal.reason}.")
    except (ConnectionError, TimeoutError):
        raise web.HTTPBadRequest from None
    if not request.content.at_eof():
        answer.force_close()  # the rest of a body that nobody wants is not read
    return answer


def _refused(status: int, error: str, message: str) -> web.Response:
    answer = _json({"error": error, "message": message}, status)
    answer.force_close()
    return answer
