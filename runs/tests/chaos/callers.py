"""A tenant that calls the site over HTTP while it falls apart: it asks again, the next web, until it is answered."""

import asyncio
import contextlib
import itertools
import json
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

ANSWER_SECONDS = 20.0
PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 0.1


class Unreachable(Exception):
    """No answer: nobody listens, the connection broke, or it took too long. What was asked for may have been done."""


class NoAnswer(Exception):
    """Nobody answered for a minute."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any

    @property
    def message(self) -> str:
        return str(self.body.get("error", {}).get("message", "")) if isinstance(self.body, dict) else ""


@dataclass
class Connection:
    """One request, whose answer's head has been read."""

    status: int
    headers: dict[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises Unreachable if it breaks off."""
        try:
            if self.headers.get("transfer-encoding") != "chunked":
                length = int(self.headers.get("content-length", 0))
                yield await self.reader.readexactly(length)
                return
            while size := int(await self.reader.readline() or b"broken", 16):
                piece = await self.reader.readexactly(size + 2)
                yield piece[:-2]
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            raise Unreachable(repr(error)) from None

    def close(self) -> None:
        self.writer.transport.abort()


async def connect(
    port: int, token: str, method: str, path: str, body: Any = None, *, receive_buffer: int = 0, **headers: str
) -> Connection:
    """Sends a request and reads the head of the answer. Raises Unreachable."""
    content = b"" if body is None else json.dumps(body).encode()
    fields = {
        "Host": "chaos",
        "Connection": "close",
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
        **headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer = None
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            end = socket.socket()
            end.setblocking(False)
            if receive_buffer:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            await asyncio.get_running_loop().sock_connect(end, ("127.0.0.1", port))
            reader, writer = await asyncio.open_connection(sock=end, limit=receive_buffer or 2**16)
            writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + content)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
        if writer is not None:
            writer.transport.abort()
        raise Unreachable(repr(error)) from None
    except asyncio.CancelledError:
        if writer is not None:
            writer.transport.abort()
        raise
    named = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    return Connection(int(head[0].split(" ")[1]), named, reader, writer)


class Caller:
    def __init__(self, token: str, ports: list[int], complaints: list[str]) -> None:
        self.token = token
        self.complaints = complaints  # answers that nobody should ever get
        self._ports = itertools.cycle(ports)

    def port(self) -> int:
        return next(self._ports)

    async def once(self, method: str, path: str, body: Any = None) -> Answer:
        """One attempt. Raises Unreachable."""
        connection = await connect(self.port(), self.token, method, f"/v1/{path}", body)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                raw = b"".join([piece async for piece in connection.pieces()])
        except TimeoutError:
            raise Unreachable("the body did not come") from None
        finally:
            connection.close()
        try:
            answer = Answer(connection.status, json.loads(raw))
        except ValueError:
            answer = Answer(connection.status, raw.decode(errors="replace"))
        if answer.status >= 500 and answer.status != 503:
            self.complaints.append(f"{method} {path} was answered {answer.status}: {str(answer.body)[:300]}")
        return answer

    async def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """Again and again until there is an answer below 500. Only for what may be done twice. Raises NoAnswer."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with contextlib.suppress(Unreachable):
                answer = await self.once(method, path, body)
                if answer.status < 500:
                    return answer
            if time.monotonic() > deadline:
                raise NoAnswer(f"{method} {path}")
            await asyncio.sleep(PAUSE_SECONDS)

    async def get(self, path: str) -> Any:
        """The body of a 200. Raises NoAnswer, and LookupError for any other answer."""
        answer = await self.ask("GET", path)
        if answer.status != 200:
            raise LookupError(f"GET {path}: {answer.status} {answer.message}")
        return answer.body
