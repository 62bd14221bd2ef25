"""What callers of the API do, with its answers checked."""

import asyncio
import itertools
import os
from dataclasses import dataclass
from typing import Any

from benchmarks.load.client import Client, Pieces, Refused, clock
from benchmarks.load.events import ANSWERED, Story
from benchmarks.paced_model import Pace, answer

POLL_SECONDS = 0.05
RESTING = ("completed", "failed", "cancelled", "expired", "incomplete", "requires_action")
FUNCTION = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "Looks a key up.",
        "parameters": {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]},
    },
}
_numbers = itertools.count(1)


def new_tag() -> str:
    return f"{os.getpid()}x{next(_numbers)}"


@dataclass
class Streamed:
    """A streamed run: seconds to its first token and to its end, and what was wrong with it."""

    first: float
    whole: float
    problem: str


async def new_assistant(client: Client, pace: Pace, *, calls: bool = False) -> str:
    body: dict[str, Any] = {"model": f"paced-{pace}", "name": "bench", "instructions": "You are a benchmark."}
    return str((await client.call("POST", "/assistants", body | ({"tools": [FUNCTION]} if calls else {})))["id"])


async def new_thread(client: Client, text: str | None = None) -> str:
    body = {} if text is None else {"messages": [{"role": "user", "content": text}]}
    return str((await client.call("POST", "/threads", body))["id"])


async def add_message(client: Client, thread: str, text: str) -> str:
    made = await client.call("POST", f"/threads/{thread}/messages", {"role": "user", "content": text})
    if made["content"][0]["text"]["value"] != text:
        raise ValueError("another message came back")
    return str(made["id"])


async def stream_run(client: Client, thread: str, assistant: str, text: str, seconds: float = 120) -> Streamed:
    """`text` must come, whole, with all events in their order."""
    pieces, problem = Pieces(), ""
    try:
        await client.stream(
            "POST", f"/threads/{thread}/runs", {"assistant_id": assistant, "stream": True}, pieces, seconds=seconds
        )
    except (Refused, OSError, TimeoutError) as error:
        problem = f"{type(error).__name__} {error}".strip()
    ended = clock()
    if not problem:
        story = Story()
        story.read(pieces.data)
        problem = story.problem(text, ANSWERED)
    return Streamed(pieces.seconds_to_first, ended - pieces.began, problem)


async def new_run(client: Client, thread: str, assistant: str) -> dict[str, Any]:
    made: dict[str, Any] = await client.call("POST", f"/threads/{thread}/runs", {"assistant_id": assistant})
    return made


async def wait_for(client: Client, run: dict[str, Any], seconds: float = 60) -> dict[str, Any]:
    """Asks for the run until it rests; TimeoutError."""
    async with asyncio.timeout(seconds):
        while run["status"] not in RESTING:
            await asyncio.sleep(POLL_SECONDS)
            run = await client.call("GET", f"/threads/{run['thread_id']}/runs/{run['id']}")
    return run


async def answers_of(client: Client, thread: str) -> list[str]:
    """The texts of the assistant among the thread's last twenty messages."""
    page = await client.call("GET", f"/threads/{thread}/messages?limit=20")
    return [each["content"][0]["text"]["value"] for each in page["data"] if each["role"] == "assistant"]


async def ask_model(client: Client, pace: Pace) -> tuple[float, float]:
    """Seconds to the first token and to the end, of the model without Holdfast."""
    tag = new_tag()
    parts: list[bytes] = []
    times: list[float] = []

    def sink(piece: bytes) -> None:
        times.append(clock())
        parts.append(piece)

    began = clock()
    body = {"model": f"paced-{pace}", "stream": True, "messages": [{"role": "user", "content": f"tag:{tag}"}]}
    await client.stream("POST", "/chat/completions", body, sink)
    if b"".join(parts).count(b'"content"') != pace.tokens:
        raise ValueError("the model's answer is not whole")
    return times[0] - began, clock() - began


def expected(pace: Pace, tag: str, result: str = "") -> str:
    return answer(pace.tokens, tag, result)
