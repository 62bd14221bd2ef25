"""An answer of the demo model in OpenAI's wire format: one object, or chunks on a clock."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from assistant_site.demo.script import Answer, pieces_of
from assistant_site.llm.tokens import estimate_request, estimate_text

FIRST_PIECE_SECONDS = 0.01
PIECES_PER_SECOND = 100.0
HANG_SECONDS = 300.0
ARGUMENT_PIECE_CHARACTERS = 12

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Completion:
    """An answer with what the wire says around it."""

    id: str
    created: int
    model: str
    answer: Answer
    calls: list[dict[str, Any]]
    usage: dict[str, Any]
    with_usage: bool  # in the stream

    @classmethod
    def of(cls, request: Mapping[str, Any], answer: Answer) -> "Completion":
        number = f"{time.time_ns():x}{next(_numbers):x}"
        calls = [
            {
                "id": f"call_demo{number}{index:02d}",
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for index, call in enumerate(answer.calls)
        ]
        options = request.get("stream_options")
        return cls(
            id=f"chatcmpl-demo{number}",
            created=int(time.time()),
            model=str(request.get("model") or "demo"),
            answer=answer,
            calls=calls,
            usage=_usage(request, answer),
            with_usage=isinstance(options, dict) and options.get("include_usage") is True,
        )

    def whole(self) -> dict[str, Any]:
        """The answer that is not streamed."""
        message: dict[str, Any] = {"role": "assistant", "content": None if self.calls else self.answer.text}
        message |= {"refusal": None} | ({"tool_calls": self.calls} if self.calls else {})
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.answer.finish}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self.usage}

    async def streamed(self) -> AsyncGenerator[bytes, None]:
        """The event stream. `fail:midstream` ends it in the middle, without a reason and without `[DONE]`."""
        instant = self.model.endswith("-instant")
        chunks = self._chunks()
        if self.answer.fault == "midstream":
            chunks = chunks[: max(1, len(chunks) // 2)]
        first = self._chunk({"role": "assistant", "content": None if self.calls else "", "refusal": None})
        if instant:
            yield first + b"".join(chunks)
        else:
            yield first
            async for piece in _paced(chunks):
                yield piece
        if self.answer.fault == "midstream":
            return
        end = self._chunk({}, finish=self.answer.finish)
        if self.with_usage:
            end += _event({**self._head("chat.completion.chunk"), "choices": [], "usage": self.usage})
        yield end + b"data: [DONE]\n\n"

    def _chunks(self) -> list[bytes]:
        if not self.calls:
            return [self._chunk({"content": piece}) for piece in pieces_of(self.answer.text)]
        chunks = []
        for index, call in enumerate(self.calls):
            function = call["function"]
            opening = {"index": index, **call, "function": {"name": function["name"], "arguments": ""}}
            chunks.append(self._chunk({"tool_calls": [opening]}))
            text = function["arguments"]
            for at in range(0, len(text), ARGUMENT_PIECE_CHARACTERS):
                piece = {"arguments": text[at : at + ARGUMENT_PIECE_CHARACTERS]}
                chunks.append(self._chunk({"tool_calls": [{"index": index, "function": piece}]}))
        return chunks

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        usage = {"usage": None} if self.with_usage else {}
        return _event({**self._head("chat.completion.chunk"), "choices": [choice], **usage})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


async def hang() -> AsyncGenerator[bytes, None]:
    """Headers, then silence until the client leaves, `HANG_SECONDS` at most."""
    await asyncio.sleep(HANG_SECONDS)
    yield b""


async def _paced(chunks: list[bytes]) -> AsyncGenerator[bytes, None]:
    """The chunks on a clock; those that are overdue go out together, so a busy machine keeps the pace."""
    clock = asyncio.get_running_loop().time
    due = clock() + FIRST_PIECE_SECONDS
    sent = 0
    while sent < len(chunks):
        await asyncio.sleep(due + sent / PIECES_PER_SECOND - clock())
        until = max(sent + 1, min(len(chunks), int((clock() - due) * PIECES_PER_SECOND) + 1))
        yield b"".join(chunks[sent:until])
        sent = until


def _event(payload: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(payload) + b"\n\n"


def _usage(request: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    tools = request.get("tools")
    offered = [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    prompt = estimate_request(request["messages"], offered)
    completion = estimate_text(answer.text) + sum(estimate_text(call.name + call.arguments) for call in answer.calls)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
