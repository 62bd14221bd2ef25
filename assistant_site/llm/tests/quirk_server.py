"""A provider that answers byte for byte what a test tells it, over real HTTP on loopback.

    with QuirkServer(said("Hello"), refusing(429)) as provider:
        ...  # Endpoint(provider.base_url, "key")
        assert provider.requests[0].body["model"] == "m"

It runs in a thread with an event loop of its own, so synchronous tests, asynchronous ones and other processes can all
use it. Answers are given in order, whoever asks; the last one is repeated.
"""

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from assistant_site.tests.closing import close

CUT: Literal["cut"] = "cut"  # a piece: the connection breaks here
HANG: Literal["hang"] = "hang"  # a piece: silence until the client leaves
Piece = bytes | float | Literal["cut", "hang"]  # a number is a pause in seconds


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: Any  # Any: decoded JSON; the bytes of a form; None without a body


@dataclass(frozen=True)
class Answer:
    """`framing`: chunked, with a content length, or ended by closing the connection."""

    pieces: tuple[Piece, ...] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})
    framing: Literal["chunked", "length", "close"] = "chunked"
    before: float = 0.0  # seconds until the head goes out


Script = Answer | Callable[[Request], Answer]


def streaming(*chunks: object, done: bool = True, end: bytes = b"\n\n") -> Answer:
    """An event stream of these chunks, each one a piece of its own; bytes go out as they are."""
    pieces = [chunk if isinstance(chunk, bytes) else b"data: " + json.dumps(chunk).encode() + end for chunk in chunks]
    return Answer((*pieces, *([b"data: [DONE]" + end] if done else [])))


def delta(_finish: str | None = None, **fields: object) -> dict[str, Any]:
    """A usual chunk."""
    return {"id": "c", "choices": [{"index": 0, "delta": fields, "finish_reason": _finish}]}


def said(*texts: str, finish: str = "stop", usage: tuple[int, int] | None = (7, 3)) -> Answer:
    """A usual answer in these pieces."""
    numbers = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)} if usage else None
    last = [{"id": "c", "choices": [], "usage": numbers}] if numbers else []
    return streaming(delta(role="assistant", content=""), *(delta(content=t) for t in texts), delta(finish), *last)


def called(*calls: tuple[str, str], finish: str = "tool_calls") -> Answer:
    """A usual turn of these calls: pairs of a function and its arguments' text."""
    chunks = []
    for index, (name, arguments) in enumerate(calls):
        opening = {"index": index, "id": f"call_{index}", "type": "function"}
        chunks.append(delta(tool_calls=[{**opening, "function": {"name": name, "arguments": ""}}]))
        half = len(arguments) // 2
        for piece in (arguments[:half], arguments[half:]):
            chunks.append(delta(tool_calls=[{"index": index, "function": {"arguments": piece}}]))
    return streaming(*chunks, delta(finish))


def answering(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """A JSON body; bytes go out as they are."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer((raw,), status, {"content-type": "application/json", **(headers or {})}, "length")


def refusing(status: int, code: str | None = None, message: str = "No.", **headers: str) -> Answer:
    """An error in OpenAI's envelope; keywords are headers, `_` for `-`."""
    error = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    return answering(error, status, {name.replace("_", "-"): value for name, value in headers.items()})


class QuirkServer:
    """Serves while its `with` block lasts."""

    def __init__(self, *script: Script) -> None:
        self.script = list(script)
        self.requests: list[Request] = []
        self.connections = 0  # opened so far
        self.left = 0  # clients that closed before their answer ended
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main(started)), daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _main(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._take, "127.0.0.1", 0, backlog=1_000)
        self.port: int = server.sockets[0].getsockname()[1]
        started.set()
        await self._stop.wait()
        await close(server)
        for task, writer in self._open.items():
            task.cancel()
            writer.transport.abort()  # a client that does not read keeps it open otherwise
        await asyncio.gather(*self._open, return_exceptions=True)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = self._loop.create_task(self._serve(reader, writer))
        self._open[task] = writer  # from now on, though the task has not begun
        task.add_done_callback(self._open.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read(reader)) is not None:
                self.requests.append(request)
                step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                if not await self._answer(step(request) if callable(step) else step, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays open."""
        if not await self._pause(answer.before, reader):
            return False
        writer.write(_head(answer))
        for piece in answer.pieces:
            if piece == CUT:
                await writer.drain()
                return False
            if isinstance(piece, bytes):
                if piece:
                    writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if answer.framing == "chunked" else piece)
                    await writer.drain()
            elif not await self._pause(3_600.0 if piece == HANG else float(piece), reader):
                return False
        if answer.framing == "chunked":
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return answer.framing != "close"

    async def _pause(self, seconds: float, reader: asyncio.StreamReader) -> bool:
        """False if the client left meanwhile. It looks instead of reading, which could take a next request's byte."""
        until = self._loop.time() + seconds
        while (rest := until - self._loop.time()) > 0:
            if reader.at_eof() or reader.exception() is not None:
                self.left += 1
                return False
            await asyncio.sleep(min(rest, 0.01))
        return True


def _head(answer: Answer) -> bytes:
    headers = dict(answer.headers)
    if answer.framing == "chunked":
        headers["transfer-encoding"] = "chunked"
    elif answer.framing == "length":
        headers["content-length"] = str(sum(len(piece) for piece in answer.pieces if isinstance(piece, bytes)))
    else:
        headers["connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {answer.status} Told\r\n{lines}\r\n".encode()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    raw = await reader.readexactly(int(headers.get("content-length", 0)))
    method, path, _ = first.split(" ")
    is_form = headers.get("content-type", "").startswith("multipart/")
    return Request(method, path, headers, raw if is_form else json.loads(raw) if raw else None)
