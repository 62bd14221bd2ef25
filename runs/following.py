"""Following event streams: one blocking read for all readers of a process, each with its own position.

A reader asks for what comes after its position, so late, several and returning readers are all alike. When a stream
falls silent the run's row is asked; if the run rests, its end is told from the rows.
"""

import asyncio
import logging
import uuid
import weakref
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import orjson
import redis.asyncio
from django.conf import settings

from assistant_site import valkey
from assistant_site.db import threads
from assistant_site.metrics import counted
from runs import endings
from runs.events import Told, key, read_entries
from runs.machine import RESTING, RESTING_EVENTS, TERMINAL, TERMINAL_EVENTS
from runs.models import Run

logger = logging.getLogger(__name__)

SILENCE_SECONDS = 3.0
SECOND_LOOK_SECONDS = 1.0
SILENCE_AT_REST_SECONDS = 0.3  # of a run that rested already when its reader came
_BLOCK_MS = 5_000
_MOST_AT_ONCE = 128  # events of a stream in one read
_MOST_WAITING = 512 * 1024  # bytes that a slow reader may leave lying; the rest waits in Valkey
_CROWD = 24  # from so many readers on, reads are spaced, so that each brings more
_CROWD_PAUSE_SECONDS = 0.004


class Reader:
    """One reader's place in a run's stream."""

    def __init__(self, stream: bytes, position: int, has_room: Callable[[], None]) -> None:
        self.stream = stream
        self.position = position
        self._has_room = has_room
        self._entries: list[Told] = []
        self._waiting = 0  # bytes
        self._arrived = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether it has not taken what it was given: nothing more is read for it until it does."""
        return self._waiting > _MOST_WAITING

    def give(self, entries: list[Told]) -> None:
        fresh = [entry for entry in entries if entry.position > self.position]
        if fresh:
            self.position = fresh[-1].position
            self._entries += fresh
            self._waiting += sum(len(entry.data) for entry in fresh)
            self._arrived.set()

    def pass_by(self, entries: list[Told]) -> None:
        """What was told to the reader from elsewhere."""
        self.position = max([self.position, *(entry.position for entry in entries)])

    async def next(self, seconds: float) -> list[Told]:
        """All entries that arrived since the last call; an empty list after so many seconds of silence."""
        try:
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        except TimeoutError:
            return []
        self._arrived.clear()
        was_full = self.is_full
        entries, self._entries, self._waiting = self._entries, [], 0
        if was_full:
            self._has_room()
        return entries


class Hub:
    """Reads the streams of all readers of this event loop with one connection."""

    def __init__(self) -> None:
        self.database = threads.of_this_loop()
        self._readers: dict[bytes, set[Reader]] = {}
        self._wake_stream = f"wake:{uuid.uuid4().hex}".encode()
        self._wake_position = b"0-0"
        self._pump: asyncio.Task[None] | None = None
        self._waking: asyncio.Task[None] | None = None
        self._newcomers = False  # readers joined that the present read does not know
        self._client = redis.asyncio.Redis.from_url(
            settings.VALKEY_URL,
            socket_connect_timeout=2,
            socket_timeout=_BLOCK_MS / 1000 + 5,
            protocol=2,
            single_connection_client=True,
        )

    def join(self, run_id: str, position: int) -> Reader:
        reader = Reader(key(run_id).encode(), position, self._look_again)
        self._readers.setdefault(reader.stream, set()).add(reader)
        counted.STREAM_READERS.inc()
        self._look_again()
        return reader

    def _look_again(self) -> None:
        """Somebody wants to read what the present read does not bring."""
        self._newcomers = True
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._run())
        elif self._waking is None or self._waking.done():
            self._waking = asyncio.create_task(self._interrupt())

    def leave(self, reader: Reader) -> None:
        readers = self._readers.get(reader.stream, set())
        if reader in readers:
            counted.STREAM_READERS.dec()
        readers.discard(reader)
        if not readers:
            self._readers.pop(reader.stream, None)

    async def _interrupt(self) -> None:
        """Ends blocking reads until one knows all newcomers."""
        client = valkey.of_this_loop()
        while self._newcomers:
            try:
                await client.xadd(self._wake_stream, {b"w": b"1"}, maxlen=1, approximate=False)
                await client.expire(self._wake_stream, 3600)
            except valkey.Failed:
                return  # the pump notices too, and tries again
            await asyncio.sleep(0.002)

    async def _run(self) -> None:
        """Until the last reader has left."""
        while self._readers:
            read_from: dict[bytes, int] = {}
            for stream, readers in self._readers.items():
                if hungry := [reader.position for reader in readers if not reader.is_full]:
                    read_from[stream] = min(hungry)
            streams: dict[bytes, bytes] = {stream: b"%d-0" % position for stream, position in read_from.items()}
            streams[self._wake_stream] = self._wake_position
            self._newcomers = False
            try:
                answer: Any = await self._client.xread(streams, count=_MOST_AT_ONCE, block=_BLOCK_MS)  # type: ignore[arg-type]
            except (valkey.Failed, OSError) as error:
                logger.warning("Event streams cannot be read, readers are told from the database: %s", error)
                await asyncio.sleep(0.5)
                continue
            for stream, entries in answer or ():
                if stream == self._wake_stream:
                    self._wake_position = entries[-1][0]
                    continue
                told = read_entries(entries)
                for reader in self._readers.get(stream, ()):
                    # One that joined meanwhile may lack what came before; one that is full reads on later.
                    if reader.position >= read_from[stream] and not reader.is_full:
                        reader.give(told)
            if len(self._readers) > _CROWD:
                await asyncio.sleep(_CROWD_PAUSE_SECONDS)


_hubs: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub]" = weakref.WeakKeyDictionary()


def hub() -> Hub:
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]


class OpenObjects:
    """The step and message a reader has seen begin and not end: they must end before the run does."""

    def __init__(self) -> None:
        self.step_id: str | None = None
        self.message_id: str | None = None

    def see(self, entry: Told) -> None:
        match entry.name:
            case b"thread.run.step.created":
                self.step_id = orjson.loads(entry.data)["id"]
            case b"thread.message.created":
                self.message_id = orjson.loads(entry.data)["id"]
            case b"thread.message.completed" | b"thread.message.incomplete":
                self.message_id = None
            case (
                b"thread.run.step.completed"
                | b"thread.run.step.failed"
                | b"thread.run.step.cancelled"
                | b"thread.run.step.expired"
            ):
                self.step_id = None


@dataclass(frozen=True)
class Goal:
    """Up to where a reader follows a run.

    A run comes to rest more than once if functions are called: only a resting event at the position `rests_from` or
    behind it ends the stream. `rested` says that this event has been told already. With `through_action` the reader
    stays while outputs are awaited, and leaves at the run's end only.
    """

    rests_from: int = 0
    rested: bool = False
    through_action: bool = False

    @classmethod
    def of(cls, run: Run, *, through_action: bool = False) -> "Goal":
        """For a reader who comes when the run is like this."""
        rested = run.status in (TERMINAL if through_action else RESTING)
        return cls(run.event_position if rested else run.event_position + 1, rested, through_action)

    def is_reached_by(self, entry: Told) -> bool:
        ending = TERMINAL_EVENTS if self.through_action else RESTING_EVENTS
        return entry.name in ending and entry.position >= self.rests_from


TO_ITS_REST = Goal()


async def follow(run_id: str, *, after: int = 0, goal: Goal = Goal()) -> AsyncIterator[list[Told]]:
    """Batches of events behind `after`, up to the event with which the run comes to rest; empty ones in silences."""
    if goal.rested and after >= goal.rests_from:
        return
    here = hub()
    reader = here.join(run_id, after)
    open_objects = OpenObjects()
    patience = SILENCE_AT_REST_SECONDS if goal.rested else SILENCE_SECONDS
    looked = False
    try:
        while True:
            batch = await reader.next(min(patience, SECOND_LOOK_SECONDS) if looked else patience)
            if not batch:
                ending = await here.database.run(
                    endings.from_rows, run_id, reader.position, open_objects.step_id, open_objects.message_id
                )
                if ending is None:  # still at work
                    looked = False
                    yield []
                    continue
                if not looked:  # it may have come to rest this very moment: its events are on their way
                    looked = True
                    continue
                if ending.is_final or not goal.through_action:
                    yield ending.told
                    return
                batch = ending.told
                reader.pass_by(batch)
            looked = False
            for at, entry in enumerate(batch):
                open_objects.see(entry)
                if goal.is_reached_by(entry):
                    yield batch[: at + 1]
                    return
            yield batch
    finally:
        here.leave(reader)
