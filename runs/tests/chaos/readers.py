"""Readers of a run's events: one that stays, some that hop, slow ones, and some that vanish.

Every reader goes on where its last whole frame was, whatever broke its connection, until it has seen the run's end.
"""

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass
from typing import Literal

from assistant_site.tests.callers import Event, read_events
from assistant_site.wire import sse
from runs.machine import RESTING_EVENTS, TERMINAL
from runs.tests.chaos.callers import Caller, Connection, Unreachable, connect

Manner = Literal["stays", "hops", "slow", "vanishes"]

END_SECONDS = 20.0  # between the run's end and a reader's
SLOW_BUFFER = 2_048
RESTING = {name.decode() for name in RESTING_EVENTS}
TERMINAL_EVENTS = {f"thread.run.{status.value}" for status in TERMINAL}


class Hangs(Exception):
    """The run is over and the reader has not been told."""


@dataclass
class Segment:
    """What one connection brought."""

    after: int | None
    events: list[Event]
    end: str


class Reader:
    """`moved` is set whenever the caller has done something to a run that waited for it."""

    def __init__(
        self,
        caller: Caller,
        thread: str,
        run: str,
        manner: Manner,
        chance: random.Random,
        first: Connection | None = None,
    ) -> None:
        self.caller, self.thread, self.run, self.manner = caller, thread, run, manner
        self.chance = chance
        self.segments: list[Segment] = []
        self.events: list[Event] = []
        self.moved = asyncio.Event()
        self.over_at: float | None = None  # when the run was seen to be over
        self.problem = ""
        self._first = first

    @property
    def position(self) -> int | None:
        return next((event.position for event in reversed(self.events) if event.position is not None), None)

    @property
    def has_ended(self) -> bool:
        return bool(self.events) and self.events[-1].name in TERMINAL_EVENTS

    async def read(self) -> None:
        """Until the run's end; `problem` says what went wrong."""
        last_done = False
        try:
            while not (self.has_ended and last_done):
                if self.segments and self._waits_for_its_caller(self.segments[-1]):
                    await self.moved.wait()  # nothing more comes
                    self.moved.clear()
                after = self.position
                segment = Segment(after, [], "")
                self.segments.append(segment)
                try:
                    async with asyncio.timeout(END_SECONDS * 4):
                        await self._read_once(segment)
                except Unreachable as error:
                    segment.end = str(error)
                    await asyncio.sleep(0.05)
                except TimeoutError:
                    segment.end = "nothing for long"
                last_done = segment.end == "done"
                if self.manner == "vanishes" and self.events:
                    return
                if self.has_ended and not last_done:
                    return  # the connection broke between the run's end and `done`: nothing more to learn
                if self.over_at is not None and time.monotonic() > self.over_at + END_SECONDS:
                    raise Hangs
        except Hangs:
            self.problem = "hangs: the run is over and the reader was not told"
        except AssertionError as error:
            self.problem = f"frames that no client understands: {error}"

    @staticmethod
    def _waits_for_its_caller(last: Segment) -> bool:
        return bool(last.events) and last.events[-1].name in RESTING and last.events[-1].name not in TERMINAL_EVENTS

    async def _read_once(self, segment: Segment) -> None:
        connection = self._first or await self._open(segment.after)
        self._first = None
        whole = b""
        until = time.monotonic() + self.chance.uniform(0.1, 0.3) if self.manner in ("hops", "vanishes") else None
        try:
            if connection.status != 200:
                raise Unreachable(f"answered {connection.status}")
            pieces = connection.pieces()
            while True:
                left = None if until is None else max(0.0, until - time.monotonic())
                try:
                    async with asyncio.timeout(left):
                        piece = await anext(pieces)
                except (StopAsyncIteration, TimeoutError):
                    if not segment.end:
                        segment.end = "left" if until is not None else "closed without done"
                    return
                whole += piece
                frames, separator, whole = whole.rpartition(b"\n\n")
                if separator:
                    self._take(segment, frames + separator)
                if segment.end == "done":
                    assert not whole, "something after done"
                    return
                if self.over_at is not None and time.monotonic() > self.over_at + END_SECONDS:
                    raise Hangs
                if self.manner == "slow":
                    await asyncio.sleep(self.chance.uniform(0.0, 0.15))
        finally:
            connection.close()

    async def _open(self, after: int | None) -> Connection:
        path = f"/v1/threads/{self.thread}/runs/{self.run}/events"
        headers = {}
        if after is not None and self.chance.random() < 0.5:
            headers["Last-Event-ID"] = str(after)
        elif after is not None:
            path += f"?after={after}"
        buffer = SLOW_BUFFER if self.manner == "slow" else 0
        return await connect(self.caller.port(), self.caller.token, "GET", path, receive_buffer=buffer, **headers)

    def _take(self, segment: Segment, frames: bytes) -> None:
        frames = frames.replace(sse.KEEP_ALIVE, b"")
        for event in read_events(frames) if frames else ():
            if event.name == "done":
                segment.end = "done"
                return
            if event.name == "error":  # the stream's own failure, not the run's
                segment.end = "error"
                raise Unreachable(f"error event: {event.data}")
            segment.events.append(event)
            self.events.append(event)


async def end(readers: list[tuple[Reader, "asyncio.Task[None]"]]) -> None:
    """Waits for readers of a run that is over, and ends those that would wait for ever."""
    now = time.monotonic()
    for reader, _ in readers:
        reader.over_at = now
        reader.moved.set()
    tasks = [task for _, task in readers]
    if tasks:
        await asyncio.wait(tasks, timeout=END_SECONDS + 10)
    for reader, task in readers:
        if not task.done():
            reader.problem = reader.problem or "hangs: the run is over and the reader was not told"
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        elif not task.cancelled() and (error := task.exception()) is not None:
            reader.problem = f"broke: {error!r}"
