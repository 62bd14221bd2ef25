"""Programs that use an installation while something is done to it, through the official SDK, and judge every answer.

The SDK's own retries are off: whatever fails is seen. The model is `benchmarks.paced_model`, whose answers are known.
"""

import asyncio
import random
import time
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from openai import AsyncOpenAI

from benchmarks.paced_model import answer

TOKENS = 32
FUNCTION = {
    "type": "function",
    "function": {"name": "lookup", "parameters": {"type": "object", "properties": {"key": {"type": "string"}}}},
}


@dataclass
class Load:
    """`seconds`: how long the longest answer of the model takes; it may be changed while the callers work."""

    base_url: str
    token: str
    seconds: float = 3.0
    phase: str = ""
    runs: int = 0
    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: dict[str, float] = field(default_factory=dict)
    is_over: bool = False

    def __post_init__(self) -> None:
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # at OpenAI; here it stays
        self._client = AsyncOpenAI(base_url=self.base_url, api_key=self.token, max_retries=0, timeout=60)
        self._api: Any = self._client.beta
        self._random = random.Random(7)
        self._number = 0

    async def work(self, callers: int) -> None:
        """So many callers of each kind, until `is_over`; each then ends what it has begun."""
        self.assistant = (await self._api.assistants.create(model="paced", tools=[FUNCTION])).id
        kinds = (self.stream, self.call_functions, self.poll, self.change_things, self.use_files)
        await asyncio.gather(*(self._repeat(kind) for kind in kinds for _ in range(callers)))
        await self._client.close()

    async def _repeat(self, kind: Callable[[], Awaitable[None]]) -> None:
        name = kind.__name__
        while not self.is_over:
            began, phase = time.monotonic(), self.phase
            try:
                await kind()
            except Exception as failure:
                said = f"{type(failure).__name__}: {str(failure)[:300]}"
                self.failures.append(f"{name}, from {phase!r} to {self.phase!r}: {said}")
                await asyncio.sleep(0.2)
            else:
                self.done[name] += 1
                self.slowest[phase] = max(self.slowest.get(phase, 0), time.monotonic() - began)
            await asyncio.sleep(0.05)

    # --- Kinds of callers -------------------------------------------------------------------------------------------

    async def stream(self) -> None:
        """A run that is streamed from its creation to its end."""
        tag, thread = await self._thread()
        self.runs += 1
        text, names = await self._read(
            await self._api.threads.runs.create(thread_id=thread, assistant_id=self.assistant, stream=True)
        )
        _expect(names[-1], "thread.run.completed")
        _expect(text, answer(TOKENS, tag))
        await self._api.threads.delete(thread)

    async def call_functions(self) -> None:
        """A run that is streamed, stops for a function's output, and is streamed to its end."""
        tag, thread = await self._thread("call:lookup")
        self.runs += 1
        run = None
        async for event in await self._api.threads.runs.create(
            thread_id=thread, assistant_id=self.assistant, stream=True
        ):
            run = event.data if event.event == "thread.run.requires_action" else run
        assert run is not None, "the stream ended without requires_action"
        outputs = [
            {"tool_call_id": call.id, "output": f"found {tag}"}
            for call in run.required_action.submit_tool_outputs.tool_calls
        ]
        text, names = await self._read(
            await self._api.threads.runs.submit_tool_outputs(
                run.id, thread_id=thread, tool_outputs=outputs, stream=True
            )
        )
        _expect(names[-1], "thread.run.completed")
        _expect(text, answer(TOKENS, tag, f"found {tag}"))

    async def poll(self) -> None:
        """A run that is asked for until it has ended."""
        tag, thread = await self._thread()
        self.runs += 1
        run = await self._api.threads.runs.create(thread_id=thread, assistant_id=self.assistant)
        while run.status in ("queued", "in_progress"):
            await asyncio.sleep(0.25)
            run = await self._api.threads.runs.retrieve(run.id, thread_id=thread)
        _expect(run.status, "completed")
        messages = await self._api.threads.messages.list(thread)
        _expect(messages.data[0].content[0].text.value, answer(TOKENS, tag))

    async def change_things(self) -> None:
        """Objects that are made, changed, listed and deleted."""
        made = await self._api.assistants.create(model="paced", name="one", metadata={"n": "1"})
        changed = await self._api.assistants.update(made.id, name="two")
        _expect((changed.name, changed.metadata), ("two", {"n": "1"}))
        thread = await self._api.threads.create()
        message = await self._api.threads.messages.create(thread.id, role="user", content="Hello")
        listed = await self._api.threads.messages.list(thread.id)
        _expect([each.id for each in listed.data], [message.id])
        assert (await self._api.threads.delete(thread.id)).deleted
        assert (await self._api.assistants.delete(made.id)).deleted

    async def use_files(self) -> None:
        """A file that is stored, ingested, found, read back and deleted."""
        self._number += 1
        content = f"The lighthouse number {self._number} is green.\n".encode() * 40
        file = await self._client.files.create(file=("lights.txt", content), purpose="assistants")
        store = await self._client.vector_stores.create(file_ids=[file.id])
        while store.status != "completed":
            await asyncio.sleep(0.25)
            store = await self._client.vector_stores.retrieve(store.id)
        _expect((store.file_counts.completed, store.file_counts.failed), (1, 0))
        found = await self._client.vector_stores.search(store.id, query="lighthouse")
        assert "is green" in found.data[0].content[0].text
        _expect((await self._client.files.content(file.id)).content, content)
        await self._client.vector_stores.delete(store.id)
        await self._client.files.delete(file.id)

    # ----------------------------------------------------------------------------------------------------------------

    async def _thread(self, more: str = "") -> tuple[str, str]:
        self._number += 1
        tag = f"t{self._number}"
        seconds = self.seconds * self._random.uniform(0.2, 1)
        text = f"tag:{tag} t50-n{TOKENS}-r{max(1, round(TOKENS / seconds))} {more}"
        thread = await self._api.threads.create(messages=[{"role": "user", "content": text}])
        return tag, thread.id

    async def _read(self, stream: Any) -> tuple[str, list[str]]:
        text, names = "", []
        async for event in stream:
            names.append(event.event)
            if event.event == "thread.message.delta":
                text += "".join(part.text.value for part in event.data.delta.content)
        assert names, "the stream had no event"
        return text, names


def _expect(found: object, expected: object) -> None:
    assert found == expected, f"{found!r} instead of {expected!r}"
