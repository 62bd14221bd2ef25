"""What callers do in a round: each story is one run on a thread of its own, with its readers, from prompt to rest."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from runs.tests.chaos import readers as reading
from runs.tests.chaos.callers import Caller, Connection, NoAnswer, Unreachable, connect
from runs.tests.chaos.model import Model, Script, Turn
from runs.tests.chaos.readers import Manner, Reader
from runs.tests.chaos.rows import Rows

FUNCTIONS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("look", "fetch", "count")
]
REST_SECONDS = 60.0
WATCH_SECONDS = 0.15


@dataclass(frozen=True)
class Kind:
    """A sort of story: the model's turns, how it may end, and what its caller does apart from answering calls."""

    name: str
    turns: Callable[[random.Random], list[Turn]]
    ends: frozenset[str] = frozenset({"completed"})
    cancels: str = ""  # "under way" or "waiting"
    expires: bool = False
    error: str = ""  # the code of `last_error`, where the model fails


def _pause(chance: random.Random) -> float:
    return chance.choice([0.02, 0.05, 0.1])


def _words(chance: random.Random) -> Turn:
    return Turn(words=chance.randint(6, 20), pause=_pause(chance))


def _calls(chance: random.Random, count: int = 1, words: int = 0) -> Turn:
    names = tuple(chance.choice(("look", "fetch", "count")) for _ in range(count))
    return Turn(words=words, calls=names, pause=_pause(chance))


def _failing(fault: Any, *, words: bool = False, **more: Any) -> Callable[[random.Random], list[Turn]]:
    return lambda chance: [
        Turn(words=chance.randint(2, 8) if words else 0, pause=_pause(chance), fault=fault, **more),
    ]


FAILED = frozenset({"failed"})
CANCELLED = frozenset({"cancelled", "completed"})  # the answer may have been whole before the cancel came

KINDS = [
    Kind("text", lambda chance: [_words(chance)]),
    Kind("one call", lambda chance: [_calls(chance), _words(chance)]),
    Kind("two rounds of calls", lambda chance: [_calls(chance), _calls(chance), _words(chance)]),
    Kind("parallel calls", lambda chance: [_calls(chance, chance.randint(2, 3)), _words(chance)]),
    Kind("text and call", lambda chance: [_calls(chance, 1, words=5), _words(chance)]),
    Kind("unknown tool", lambda chance: [Turn(calls=("nothing",), pause=_pause(chance)), _words(chance)]),
    Kind("cancelled", lambda chance: [_words(chance)], CANCELLED, cancels="under way"),
    Kind("cancelled in a tool loop", lambda chance: [_calls(chance), _words(chance)], CANCELLED, cancels="under way"),
    Kind("cancelled while waiting", lambda chance: [_calls(chance)], frozenset({"cancelled"}), cancels="waiting"),
    Kind("expired", lambda chance: [_words(chance)], frozenset({"expired", "completed"}), expires=True),
    Kind(
        "too long",
        lambda chance: [Turn(words=8, pause=_pause(chance), fault="length")],
        frozenset({"incomplete"}),
    ),
    Kind("model 429 once", lambda chance: [Turn(words=8, fault="refuse", status=429, times=1)]),
    Kind("model 500 once", lambda chance: [Turn(words=8, fault="refuse", status=500, times=1)]),
    Kind("model 429", _failing("refuse", status=429), FAILED, error="rate_limit_exceeded"),
    Kind("model 500", _failing("refuse", status=500), FAILED, error="server_error"),
    Kind("model 401", _failing("refuse", status=401), FAILED, error="server_error"),
    Kind("model error in stream", _failing("error", words=True), FAILED, error="server_error"),
    Kind("model cut", _failing("cut", words=True), FAILED, error="server_error"),
    Kind("model hangs", _failing("hang", words=True), FAILED, error="server_error"),
    Kind("model hangs at once", _failing("hang"), FAILED, error="server_error"),
    Kind("model garbage", _failing("garbage", words=True), FAILED, error="server_error"),
    Kind("model page", _failing("html"), FAILED, error="server_error"),
]
OFTEN = 6  # the first kinds, of which every round has some


def draw(chance: random.Random, count: int) -> list[Kind]:
    """Half of a round is ordinary work, the other half anything."""
    ordinary = [chance.choice(KINDS[:OFTEN]) for _ in range(count // 2)]
    drawn = [*ordinary, *(chance.choice(KINDS) for _ in range(count - len(ordinary)))]
    chance.shuffle(drawn)
    return drawn


@dataclass
class Story:
    """One run. `done_to_it` collects what its caller really did, for the judge."""

    kind: Kind
    script: Script
    caller: Caller
    assistant: str
    rows: Rows
    chance: random.Random
    calm: asyncio.Event
    starts_in: float = 0.0
    thread: str = ""
    run: str = ""
    readers: list[tuple[Reader, "asyncio.Task[None]"]] = field(default_factory=list)
    submitted: dict[str, str] = field(default_factory=dict)
    cancel_asked: bool = False
    problems: list[str] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)  # faults that hit it
    _first: Connection | None = None

    async def live(self) -> None:
        try:
            await asyncio.sleep(self.starts_in)
            await self._start()
            extra = asyncio.create_task(self._interfere())
            await self._carry()
            await extra
        except NoAnswer as error:
            self.problems.append(f"no web answered for a minute: {error}")
        except LookupError as error:
            self.problems.append(str(error))
        finally:
            await reading.end(self.readers)

    async def _start(self) -> None:
        message = {"role": "user", "content": f"chaos:{self.script.token}"}
        self.thread = (await self.caller.ask("POST", "threads", {"messages": [message]})).body["id"]
        deadline = time.monotonic() + REST_SECONDS
        path = f"threads/{self.thread}/runs"
        streamed = self.chance.random() < 0.6
        while not self.run:
            body = {"assistant_id": self.assistant, "stream": streamed}
            with contextlib.suppress(Unreachable):
                if streamed:
                    self._first = await connect(self.caller.port(), self.caller.token, "POST", f"/v1/{path}", body)
                    if self._first.status != 200:
                        self._first.close()
                        self._first = None
                else:
                    await self.caller.once("POST", path, body)
            made = (await self.caller.get(path))["data"]
            if made:
                self.run = made[0]["id"]
            elif time.monotonic() > deadline:
                raise NoAnswer(f"POST {path}")
            else:
                if self._first is not None:
                    self._first.close()
                await asyncio.sleep(0.1)
        manners: list[Manner] = ["stays"]
        manners += self.chance.choices(["hops", "hops", "slow", "vanishes"], k=self.chance.randint(1, 2))
        for manner in manners:
            self._reads(manner)

    def _reads(self, manner: Manner) -> None:
        first, self._first = (self._first, None) if manner == "stays" else (None, self._first)
        reader = Reader(self.caller, self.thread, self.run, manner, random.Random(self.chance.random()), first)
        self.readers.append((reader, asyncio.create_task(reader.read())))

    async def _interfere(self) -> None:
        """What the caller does at any moment, whatever the run is at."""
        if self.kind.cancels == "under way":
            await asyncio.sleep(self.chance.uniform(0.0, 2.5))
            await self._cancel()
        if self.kind.expires:
            await asyncio.sleep(self.chance.uniform(0.0, 1.0))
            await self.rows.expire(self.run, self.chance.uniform(0.0, 1.0))

    async def _carry(self) -> None:
        """Answers calls until the run is over."""
        while (status := await self._rest()) == "requires_action":
            if self.kind.cancels == "waiting":
                await asyncio.sleep(self.chance.uniform(0.0, 0.3))
                await self._cancel()
            else:
                await self._submit()
            for reader, _ in self.readers:
                reader.moved.set()
        if not status:
            self.problems.append(f"not at rest after {REST_SECONDS:.0f} s of calm: {await self.rows.shown(self.run)}")

    async def _rest(self) -> str:
        """The status in which the run rests; empty if it does not."""
        until: float | None = None
        while True:
            if (status := await self.rows.resting(self.run)) is not None:
                return status
            if self.calm.is_set():
                until = until or time.monotonic() + REST_SECONDS
                if time.monotonic() > until:
                    return ""
            await asyncio.sleep(WATCH_SECONDS)

    async def _cancel(self) -> None:
        """Until somebody has answered; a run that is over says so with a 400."""
        self.cancel_asked = True
        await self.caller.ask("POST", f"threads/{self.thread}/runs/{self.run}/cancel")
        for reader, _ in self.readers:
            reader.moved.set()

    async def _submit(self) -> None:
        run = await self.caller.get(f"threads/{self.thread}/runs/{self.run}")
        if run["status"] != "requires_action":
            return  # cancelled, or an attempt of ours has got through
        calls = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        outputs = [{"tool_call_id": call["id"], "output": f"out of {call['id']}"} for call in calls]
        path = f"threads/{self.thread}/runs/{self.run}/submit_tool_outputs"
        await asyncio.sleep(self.chance.uniform(0.0, 0.3))
        twice = self.chance.random() < 0.2
        attempts = [self._attempt(path, {"tool_outputs": outputs}) for _ in range(2 if twice else 1)]
        taken = (await asyncio.gather(*attempts)).count(200)
        if taken > 1:
            self.problems.append("the same outputs were taken twice")
        for output in outputs:
            self.submitted[output["tool_call_id"]] = output["output"]

    async def _attempt(self, path: str, body: dict[str, Any]) -> int:
        try:
            return (await self.caller.once("POST", path, body)).status
        except Unreachable:
            return 0


def cast(
    model: Model, chance: random.Random, prefix: str, count: int, over: float, make: Callable[..., Story]
) -> list[Story]:
    """The stories of a round, beginning at different moments of it."""
    stories = []
    for number, kind in enumerate(draw(chance, count)):
        script = Script(f"{prefix}-{number}", kind.turns(chance))
        model.scripts[script.token] = script
        own = random.Random(chance.random())
        stories.append(make(kind=kind, script=script, chance=own, starts_in=chance.uniform(0.0, over)))
    return stories
