"""A model provider for benchmarks that answers at a model's pace and costs little beside what is measured.

    python -m benchmarks.paced_model PORT

The pace is in the model's name, or in the last message of the user, which goes before it: `t50-n64-r50` is 50 ms to the
first token, 64 tokens, 50 of them a second. `r0`: all at once. A `j` at the end (`t800-n200-r30-j`): as models really
write, in fits and starts. Without a pace it is `t50-n64-r50`.

Of the message's text: `tag:abc` makes the answer begin with `[abc]`, so that each can be told from all others;
`call:lookup` has that function called first, if it is offered, and the answer then ends with what it gave.
"""

import asyncio
import random
import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import orjson

from benchmarks.load.loop import run_loop

_PACE = re.compile(r"\bt(\d+)-n(\d+)-r(\d+)(-j)?\b")
_TAG = re.compile(r"\btag:([\w-]+)")
_CALL = re.compile(r"\bcall:(\w+)")
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_PAUSE_EVERY = 40  # tokens, on average, of a model that writes in fits and starts


@dataclass(frozen=True)
class Pace:
    first: float = 0.05  # seconds
    tokens: int = 64
    rate: float = 50.0  # tokens a second; 0: all at once
    is_uneven: bool = False

    @property
    def seconds(self) -> float:
        """Of a whole answer, where it is even."""
        return self.first + ((self.tokens - 1) / self.rate if self.rate else 0)

    def __str__(self) -> str:
        return f"t{self.first * 1000:.0f}-n{self.tokens}-r{self.rate:.0f}{'-j' if self.is_uneven else ''}"


USUAL = Pace()
INSTANT = Pace(0, 64, 0)
SECONDS = USUAL.seconds


def pace_of(*texts: str) -> Pace:
    """The pace that the first of these texts has that has one."""
    for text in texts:
        if found := _PACE.search(text):
            first, tokens, rate, uneven = found.groups()
            return Pace(int(first) / 1000, max(1, int(tokens)), float(rate), bool(uneven))
    return USUAL


def words(tokens: int, tag: str = "", result: str = "") -> list[str]:
    """The tokens of an answer."""
    made = [f"[{tag}]" if tag else "w0", *(f" w{number}" for number in range(1, tokens))]
    if result:
        made[-1] = f" {result}"
    return made


def answer(tokens: int, tag: str = "", result: str = "") -> str:
    return "".join(words(tokens, tag, result))


def event(delta: dict[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "paced", "choices": [choice]}
    return b"data: " + orjson.dumps(body) + b"\n\n"


@lru_cache(4_096)
def of_word(word: str) -> bytes:
    return event({"content": word})


def end(tokens: int, reason: str) -> bytes:
    usage = {"prompt_tokens": 16, "completion_tokens": tokens, "total_tokens": 16 + tokens}
    last = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "paced", "choices": []}
    return event({}, reason) + b"data: " + orjson.dumps(last | {"usage": usage}) + b"\n\ndata: [DONE]\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def text_of(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part.get("text", "") for part in content)
    return content or ""


def respond(request: dict[str, Any]) -> tuple[Pace, list[bytes], bytes]:
    """How an answer is paced, its pieces, and its end."""
    messages = request["messages"]
    last = max((n for n, message in enumerate(messages) if message["role"] == "user"), default=-1)
    asked = text_of(messages[last]["content"]) if last >= 0 else ""
    results = [text_of(message["content"]) for message in messages[last + 1 :] if message["role"] == "tool"]
    pace = pace_of(asked, request["model"])
    tag = _TAG.search(asked)
    offered = {tool["function"]["name"] for tool in request.get("tools") or () if tool["type"] == "function"}
    call = _CALL.search(asked)
    if call and call[1] in offered and not results:
        made = {"name": call[1], "arguments": orjson.dumps({"key": tag[1] if tag else ""}).decode()}
        one = {"index": 0, "id": f"call_{random.getrandbits(64):016x}", "type": "function", "function": made}
        return Pace(pace.first, 1, 0), [event({"role": "assistant", "tool_calls": [one]})], end(8, "tool_calls")
    said = words(pace.tokens, tag[1] if tag else "", results[-1] if results else "")
    pieces = [of_word(word) if n else event({"content": word}) for n, word in enumerate(said)]
    return pace, pieces, end(len(said), "stop")


class Server(asyncio.Protocol):
    """One connection. Timers of the loop write the pieces: no task, no coroutine."""

    active = 0
    served = 0

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None
        self._pieces: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
            self._rest()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return
        self._buffer = rest[size:]
        if head.startswith(b"POST"):
            self._begin(orjson.loads(rest[:size]))
        else:
            told = orjson.dumps({"active": Server.active, "served": Server.served, "object": "list", "data": []})
            self._write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(told))
            self._write(told)

    def _begin(self, request: dict[str, Any]) -> None:
        Server.active += 1
        self._pace, self._pieces, self._last = respond(request)
        self._next = 0
        self._write(_HEAD)
        self._due = self._loop.time() + self._pace.first
        self._timer = self._loop.call_at(self._due, self._tell)

    def _tell(self) -> None:
        pace = self._pace
        if not pace.rate:
            self._write(chunk(b"".join(self._pieces) + self._last) + chunk(b""))
            self._rest()
            return
        now = self._loop.time()
        told = []
        while self._due <= now and self._next < len(self._pieces):
            told.append(chunk(self._pieces[self._next]))
            self._next += 1
            self._due += self._gap()
        is_last = self._next == len(self._pieces)
        if is_last:
            told.append(chunk(self._last) + chunk(b""))
        self._write(b"".join(told))
        if is_last:
            self._rest()
        else:
            self._timer = self._loop.call_at(self._due, self._tell)

    def _gap(self) -> float:
        if not self._pace.is_uneven:
            return 1 / self._pace.rate
        if random.random() < 1 / _PAUSE_EVERY:
            return random.uniform(0.2, 1.0)
        return random.uniform(0.2, 1.8) / self._pace.rate

    def _rest(self) -> None:
        self._timer = None
        Server.active -= 1
        Server.served += 1

    def _write(self, data: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(data)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", port, backlog=1_024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    run_loop(main(int(sys.argv[1])))
