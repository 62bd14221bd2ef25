"""A model server whose answers are known beforehand, and which remembers what it was asked.

A prompt names a *script* (`chaos:<token>`); which of its turns is wanted follows from the calls in the request. So each
run is the same whoever carries it, its text and its usage are known exactly, and a turn asked for again shows.
"""

import asyncio
import contextlib
import json
import re
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Literal

TOKEN = re.compile(r"chaos:([\w-]+)")

Fault = Literal["refuse", "error", "cut", "hang", "garbage", "html", "length"]


@dataclass(frozen=True)
class Turn:
    """One answer: words, then calls. `fault` comes after the words, `times` times; then the turn is answered well.

    `length` is no fault of the connection: the answer ends because it is too long.
    """

    words: int = 0
    calls: tuple[str, ...] = ()  # names of functions
    pause: float = 0.04
    fault: Fault | None = None
    status: int = 500
    times: int = 10**9


@dataclass(frozen=True)
class Ask:
    """One request: for which turn, with which calls and outputs before it."""

    turn: int
    at: float
    calls: list[dict[str, Any]]
    outputs: dict[str, str]


@dataclass
class Script:
    token: str
    turns: list[Turn]
    asks: list[Ask] = field(default_factory=list)

    def text(self, turn: int) -> str:
        """What the turn says."""
        return "".join(self.word(turn, at) for at in range(self.turns[turn - 1].words))

    def word(self, turn: int, at: int) -> str:
        return f"{self.token}.{turn}.{at} "

    def usage(self, turn: int) -> tuple[int, int]:
        """Prompt and completion tokens that the turn reports."""
        return 100 + 13 * turn, 7 * turn + self.turns[turn - 1].words

    def asked(self, turn: int) -> int:
        return sum(ask.turn == turn for ask in self.asks)


class Model:
    """Serves in the running event loop."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self._faults_shown: dict[tuple[str, int], int] = defaultdict(int)
        self._server: asyncio.Server | None = None
        self.unknown: list[str] = []
        self._open: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0, backlog=1_000)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
                body = json.loads(await reader.readexactly(int(length[1]) if length else 0))
                if not await self._answer(body, writer):
                    break
        writer.close()

    async def _answer(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays open."""
        prompt, own = split(body["messages"])
        found = TOKEN.search(prompt)
        script = self.scripts.get(found[1]) if found else None
        if script is None:
            self.unknown.append(prompt[:200])
            return await self._refuse(writer, 400)
        ask = ask_of(own)
        script.asks.append(ask)
        if ask.turn > len(script.turns):
            return await self._refuse(writer, 400)
        turn = script.turns[ask.turn - 1]
        key = (script.token, ask.turn)
        faulty = turn.fault is not None and self._faults_shown[key] < turn.times
        if faulty and turn.fault != "length":
            self._faults_shown[key] += 1
        if faulty and turn.fault == "refuse":
            return await self._refuse(writer, turn.status)
        if faulty and turn.fault == "html":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>")
            return True
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        return await self._speak(script, ask, turn, turn.fault if faulty else None, writer)

    async def _speak(
        self, script: Script, ask: Ask, turn: Turn, fault: Fault | None, writer: asyncio.StreamWriter
    ) -> bool:
        for at in range(turn.words):
            await say(writer, delta(content=script.word(ask.turn, at)))
            await asyncio.sleep(turn.pause)
        match fault:
            case "error":
                await say(writer, {"error": {"message": "boom", "code": None}})
                return False
            case "cut":
                return False
            case "hang":
                await asyncio.sleep(60)
                return False
            case "garbage":
                await send(writer, b"data: {not json\n\n")
                return False
        nth = script.asked(ask.turn)
        for index, name in enumerate(turn.calls):
            id = f"call_{script.token}-{ask.turn}-{nth}-{index}"
            opening = {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
            await say(writer, delta(tool_calls=[opening]))
            for piece in arguments_of(index):
                await asyncio.sleep(turn.pause)
                await say(writer, delta(tool_calls=[{"index": index, "function": {"arguments": piece}}]))
        await say(writer, delta("length" if fault == "length" else "tool_calls" if turn.calls else "stop"))
        prompt, completion = script.usage(ask.turn)
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        await say(writer, {"id": "c", "choices": [], "usage": usage})
        await send(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    @staticmethod
    async def _refuse(writer: asyncio.StreamWriter, status: int) -> bool:
        body = json.dumps({"error": {"message": "No.", "type": "error", "param": None, "code": None}}).encode()
        head = f"HTTP/1.1 {status} No\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        return True


def arguments_of(index: int) -> tuple[str, ...]:
    """A call's arguments, in the pieces in which they come."""
    return ('{"number"', f": {index}", "}")


def split(messages: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """The newest prompt, and what the run itself has said and got since."""
    newest = max(at for at, message in enumerate(messages) if message["role"] == "user")
    content = messages[newest]["content"]
    prompt = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return prompt, messages[newest + 1 :]


def ask_of(own: list[dict[str, Any]]) -> Ask:
    calls = [call for message in own for call in message.get("tool_calls") or []]
    outputs = {message["tool_call_id"]: message["content"] for message in own if message["role"] == "tool"}
    turns = sum(bool(message.get("tool_calls")) for message in own)
    return Ask(turns + 1, time.monotonic(), calls, outputs)


def delta(_finish: str | None = None, **fields: object) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": fields, "finish_reason": _finish}]}


async def say(writer: asyncio.StreamWriter, chunk: object) -> None:
    await send(writer, b"data: " + json.dumps(chunk).encode() + b"\n\n")


async def send(writer: asyncio.StreamWriter, piece: bytes) -> None:
    writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    await writer.drain()
