"""An HTTP client for load: bare asyncio, connections kept, answers taken apart as they come, no more.

It shares the machine with what it measures, so it must be cheap.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import orjson

from benchmarks.load.events import FIRST_TOKEN

clock = time.perf_counter
T = TypeVar("T")


class Refused(Exception):
    """An answer that is not 200."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"HTTP {status}: {body[:200].decode(errors='replace')}")
        self.status = status


class Pieces:
    """What came of a stream, and when: bytes as they arrived, looked at when it has ended."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.times: list[float] = []
        self.began = clock()
        self.first_token: float | None = None
        self._end = b""

    def __call__(self, piece: bytes) -> None:
        now = clock()
        self.parts.append(piece)
        if self.first_token is None:
            if FIRST_TOKEN in self._end + piece:
                self.first_token = now
            self._end = piece[-len(FIRST_TOKEN) :]
        if self.first_token is not None:
            self.times.append(now)

    @property
    def data(self) -> bytes:
        return b"".join(self.parts)

    @property
    def seconds_to_first(self) -> float:
        return (self.first_token or clock()) - self.began


class _Connection(asyncio.Protocol):
    """One request at a time. `answer` resolves to status and body; a body in chunks goes to `sink` if there is one."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.is_open = False
        self.answer: asyncio.Future[tuple[int, bytes]] | None = None
        self.sink: Callable[[bytes], object] | None = None
        self._buffer = bytearray()
        self._reset()

    def _reset(self) -> None:
        self._status = 0  # 0: the head has not come yet
        self._length = -1  # -1: in chunks
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.is_open = cast(asyncio.Transport, transport), True  # uvloop's is none by its class

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        if self.answer and not self.answer.done():
            self.answer.set_exception(ConnectionError("the connection was cut"))

    def begin(self, request: bytes, sink: Callable[[bytes], object] | None) -> asyncio.Future[tuple[int, bytes]]:
        assert self.transport
        self._reset()
        self.sink = sink
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._advance():
            pass

    def _advance(self) -> bool:
        """Takes one part of what has come; False: more must come first."""
        buffer = self._buffer
        if not self._status:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = bytes(buffer[:end]).lower()
            del buffer[: end + 4]
            self._status = int(head[9:12])
            found = head.find(b"\r\ncontent-length:")
            self._length = int(head[found + 17 :].split(b"\r\n", 1)[0]) if found >= 0 else -1
            return True
        if self._length >= 0:
            if len(buffer) < self._length:
                return False
            self._body.append(bytes(buffer[: self._length]))
            del buffer[: self._length]
            self._end()
            return False
        line = buffer.find(b"\r\n")
        if line < 0:
            return False
        size = int(bytes(buffer[:line]).split(b";")[0], 16)
        end = line + 2 + size
        if len(buffer) < end + 2:
            return False
        piece = bytes(buffer[line + 2 : end])
        del buffer[: end + 2]
        if not size:
            self._end()
            return False
        if self.sink and self._status == 200:
            self.sink(piece)
        else:
            self._body.append(piece)
        return True

    def _end(self) -> None:
        if self.answer and not self.answer.done():
            self.answer.set_result((self._status, b"".join(self._body)))


class Client:
    """Speaks with one server as one token. `base`: an address up to and with its /v1."""

    def __init__(self, base: str, token: str = "") -> None:
        parts = urlsplit(base)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._path = parts.path.rstrip("/")
        self._head = f"host: {parts.netloc}\r\nauthorization: Bearer {token}\r\nopenai-beta: assistants=v2\r\n".encode()
        self._idle: list[_Connection] = []

    def as_(self, token: str, base: str = "") -> "Client":
        """The same server, or another, with another token."""
        host, port = self._address
        return Client(base or f"http://{host}:{port}{self._path}", token)

    async def call(self, method: str, path: str, body: object = None, seconds: float = 60) -> Any:
        """The JSON of the answer. Raises Refused, OSError, TimeoutError."""
        connection = await self._connection()
        async with asyncio.timeout(seconds):
            status, answer = await self._ask(connection, method, path, body, None)
        self._idle.append(connection)
        if status != 200:
            raise Refused(status, answer)
        return orjson.loads(answer)

    async def stream(
        self,
        method: str,
        path: str,
        body: object,
        sink: Callable[[bytes], object],
        *,
        seconds: float = 120,
        watch: Callable[[asyncio.Transport], Awaitable[None]] | None = None,
        small: bool = False,
    ) -> None:
        """Gives the pieces to `sink` until the stream ends. `watch` runs beside it and may pause, resume or abort.

        `small`: the system keeps but a few kilobytes for a reader that pauses. Raises as `call` does.
        """
        connection = await self._connection(small)
        assert connection.transport
        watcher = asyncio.ensure_future(watch(connection.transport)) if watch else None
        try:
            async with asyncio.timeout(seconds):
                status, answer = await self._ask(connection, method, path, body, sink)
        except BaseException:
            connection.transport.abort()
            raise
        finally:
            if watcher:
                watcher.cancel()
        if small or watch:
            connection.transport.close()
        else:
            self._idle.append(connection)
        if status != 200:
            raise Refused(status, answer)

    def close(self) -> None:
        for connection in self._idle:
            if connection.transport:
                connection.transport.abort()
        self._idle.clear()

    async def _ask(
        self, connection: _Connection, method: str, path: str, body: object, sink: Callable[[bytes], object] | None
    ) -> tuple[int, bytes]:
        data = b"" if body is None else orjson.dumps(body)
        more = b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data) if data else b"\r\n"
        if not data and method != "GET":
            more = b"content-length: 0\r\n\r\n"
        head = f"{method} {self._path}{path} HTTP/1.1\r\n".encode()
        return await connection.begin(head + self._head + more + data, sink)

    async def _connection(self, small: bool = False) -> _Connection:
        while self._idle and not small:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        await loop.sock_connect(sock, self._address)
        _, made = await loop.create_connection(_Connection, sock=sock)
        return made


async def gathered(jobs: Iterable[Awaitable[T]], at_once: int = 16) -> list[T]:
    """The results of all, so many at a time."""
    limit = asyncio.Semaphore(at_once)

    async def one(job: Awaitable[T]) -> T:
        async with limit:
            return await job

    return list(await asyncio.gather(*(one(job) for job in jobs)))
