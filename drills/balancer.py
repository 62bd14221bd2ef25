"""What stands in front of the web processes in a drill: a proxy such as nginx, reduced to what a rolling upgrade needs.

Each request has a connection of its own to a web process. One that refuses connections is passed over: the request was
not sent, so it may go to the next. Nothing that was sent is ever sent again.
"""

import asyncio
import contextlib
from collections import Counter

_LONGEST_HEAD = 64 * 1024
_PIECE = 64 * 1024


class Balancer:
    """Listens on a loopback port and hands requests to web processes in turns. Counts what it handed on."""

    def __init__(self) -> None:
        self._backends: list[int] = []
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()  # the loop itself keeps no task alive
        self.port = 0
        self.requests: Counter[int] = Counter()
        self.passed_over = 0
        self.unserved = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_LONGEST_HEAD)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    def put_in(self, port: int) -> None:
        self._backends.append(port)

    def take_out(self, port: int) -> None:
        """It gets no new request; those that it has go on."""
        self._backends.remove(port)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            writer.close()
            return
        found = await self._connect()
        if found is None:
            self.unserved += 1
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        else:
            upstream_reader, upstream_writer = found
            upstream_writer.write(_closing(head))
            sending = asyncio.create_task(_copy(reader, upstream_writer))
            await _copy(upstream_reader, writer)
            sending.cancel()
            upstream_writer.close()
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in range(len(self._backends)):
            self._turn += 1
            port = self._backends[self._turn % len(self._backends)]
            try:
                made = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                self.passed_over += 1
                continue
            self.requests[port] += 1
            return made
        return None


def _closing(head: bytes) -> bytes:
    """The request's head, asking that the connection ends with the answer."""
    lines = [line for line in head[:-4].split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""])


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
