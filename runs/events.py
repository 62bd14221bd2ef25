"""The event stream of a run: a Valkey stream `events:<run id>`, whose entry ids are `<position>-0`.

Positions grow along the run's life and are given out under the row's lock or by the claim's holder, so the order of a
stream is the order of the commits. Valkey refuses an entry that is not behind the last one: what a holder that lost
its claim still sends is dropped there.

*One appender at a time.* While a worker holds the run only it appends (`RunLog`). A run that nobody holds is appended
to by whoever moved it (`append`), which waits a moment for events before its own that are still under way.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import redis.asyncio
from django.conf import settings

from assistant_site import valkey
from assistant_site.wire.rendering import dumps
from runs.models import Run
from runs.serializers import RunObjectSerializer

logger = logging.getLogger(__name__)

GAP_PATIENCE_SECONDS = 0.5
_GATHERING_STEPS = 3  # of the loop: what is told of a new message and its first words goes out together
_BUFFERED_EVENTS = 20_000  # what a worker keeps while Valkey is away; beyond that, readers are told from the rows

# Appends behind the position ARGV[1]. ARGV[2] is a condition: `wait` for the event at that position (0: not there yet),
# a position at which the stream must end at present (else nothing is done), or `any`.
_APPEND = """
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local top = 0
if #last > 0 then top = tonumber(string.match(last[1][1], '^(%d+)')) end
if ARGV[2] == 'wait' and top < tonumber(ARGV[1]) then return 0 end
if tonumber(ARGV[2]) and top ~= tonumber(ARGV[2]) then return 1 end
local position = tonumber(ARGV[1])
for at = 4, #ARGV, 2 do
  position = position + 1
  if position > top then
    redis.call('XADD', KEYS[1], string.format('%d-0', position), 'e', ARGV[at], 'd', ARGV[at + 1])
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""


def key(run_id: str) -> str:
    return f"events:{run_id}"


def kept_seconds() -> int:
    """How long a stream lives after its last touch: the run's whole life and some time of rest."""
    return int(settings.RUN_SECONDS + settings.STREAM_KEPT_SECONDS)


Telling = list[tuple[str, dict[str, Any]]]  # events by their names, with their data, in their order


def run_event(run: Run) -> tuple[str, dict[str, Any]]:
    """The event that tells of the run's present state."""
    return f"thread.run.{run.status}", RunObjectSerializer.of(run)


def message_delta(message_id: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": message_id, "object": "thread.message.delta", "delta": {"content": content}}


def step_delta(step_id: str, calls: list[dict[str, Any]]) -> dict[str, Any]:
    details = {"type": "tool_calls", "tool_calls": calls}
    return {"id": step_id, "object": "thread.run.step.delta", "delta": {"step_details": details}}


@dataclass(frozen=True)
class Told:
    """An event as readers get it: its position, its name and its data as JSON."""

    position: int
    name: bytes
    data: bytes


def _add(pipeline: Any, stream: str, position: int, name: str, data: bytes) -> None:
    """An entry of a stream, as `read_entries` takes it apart; `_APPEND` makes the same."""
    pipeline.execute_command("XADD", stream, b"%d-0" % position, b"e", name, b"d", data)


def begin(pipeline: Any, run_id: str, told: Telling) -> None:
    """Adds to a pipeline of Valkey's what begins the stream of a new run: `told`, from position 1 on."""
    for position, (name, data) in enumerate(told, 1):
        _add(pipeline, key(run_id), position, name, dumps(data))
    if told:
        pipeline.expire(key(run_id), kept_seconds())


def append(
    run_id: str, after: int, told: Iterable[tuple[str, dict[str, Any]]], *, wait: bool = True, end: int | None = None
) -> None:
    """Appends events at the positions `after` + 1 and on, for a run that no worker holds. Never raises for Valkey.

    Without `wait` events before them that are still under way are not waited for: their teller is dead. With `end`
    they are appended only if the stream still ends there.
    """
    arguments: list[Any] = []
    for name, data in told:
        arguments += [name, dumps(data)]
    script = valkey.blocking().register_script(_APPEND)
    deadline = time.monotonic() + GAP_PATIENCE_SECONDS
    try:
        while True:
            condition: str | int = "wait" if wait and after > 0 and time.monotonic() < deadline else "any"
            if end is not None:
                condition = end
            if script(keys=[key(run_id)], args=[after, condition, kept_seconds(), *arguments]):
                return
            time.sleep(0.005)
    except valkey.Failed as error:
        logger.warning(
            "Valkey did not take events of %s; its readers will be told from the database: %s", run_id, error
        )


def forget(run_ids: list[str]) -> None:
    """Removes the streams of runs that are gone; without Valkey they expire."""
    try:
        valkey.blocking().delete(*map(key, run_ids))
    except valkey.Failed as error:
        logger.warning("The events of %s runs are left to expire: %s", len(run_ids), error)


def told_of(run_id: str) -> list[Told]:
    """All that the run's stream holds; nothing without Valkey."""
    try:
        entries: Any = valkey.blocking().xrange(key(run_id))
    except valkey.Failed as error:
        logger.warning("The events of %s cannot be looked up: %s", run_id, error)
        return []
    return read_entries(entries)


def last_position(run_id: str) -> int:
    """The position of the last event in the run's stream; 0 if there is none, or no Valkey."""
    try:
        last: Any = valkey.blocking().xrevrange(key(run_id), count=1)
    except valkey.Failed:
        return 0
    return read_entries(last)[0].position if last else 0


def read_entries(entries: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> list[Told]:
    """Entries as Valkey returns them."""
    return [Told(int(id.partition(b"-")[0]), fields[b"e"], fields[b"d"]) for id, fields in entries]


# --- The holder's side -----------------------------------------------------------------------------------------------


class RunLog:
    """The events of one run while this worker holds it. Text that waits to be sent grows instead of queueing up."""

    def __init__(self, appender: "Appender", run_id: str, position: int) -> None:
        self._appender = appender
        self.key = key(run_id)
        self.position = position
        self._waiting: list[tuple[int, str, bytes]] = []
        self._delta: dict[str, Any] | None = None  # the last event, if it is a delta that can still grow
        self._delta_name = ""
        self._grow: tuple[Any, ...] = ()

    def tell(self, name: str, data: dict[str, Any]) -> None:
        self.settle()
        self.position += 1
        self._waiting.append((self.position, name, dumps(data)))
        self._appender.wake(self)

    def tell_piece(self, name: str, data: dict[str, Any], grows: tuple[str | int, ...], piece: str) -> None:
        """A delta whose text at the path `grows` (say `delta`, `content`, 0, `text`, `value`) takes further pieces."""
        last = self._delta
        is_same = last is not None and self._grow == grows and last["id"] == data["id"]
        if is_same and indexes(last, grows) == indexes(data, grows):
            at(last, grows[:-1])[grows[-1]] += piece
            return
        self.settle()
        self._delta, self._delta_name, self._grow = data, name, grows
        self._appender.wake(self)

    def take(self) -> list[tuple[int, str, bytes]]:
        """What waits to be sent; from now on it is the appender's."""
        self.settle()
        taken, self._waiting = self._waiting, []
        return taken

    def settle(self) -> None:
        """Gives the growing delta its position; `position` is then that of the last event told."""
        if self._delta is not None:
            self.position += 1
            self._waiting.append((self.position, self._delta_name, dumps(self._delta)))
            self._delta = None


def indexes(value: Any, path: Iterable[str | int]) -> list[int]:
    """Of each list's entry on the way which one of the told object it is."""
    found = []
    for step in path:
        value = value[step]
        if isinstance(step, int):
            found.append(value["index"])
    return found


def at(value: Any, path: Iterable[str | int]) -> Any:
    for step in path:
        value = value[step]
    return value


class Appender:
    """Sends the events of all runs of this process in turns: while one batch is under way, the next one gathers."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._client = client
        self._due: dict[RunLog, None] = {}
        self._woken = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._unsent: list[tuple[str, int, str, bytes]] = []

    def wake(self, log: RunLog) -> None:
        self._due[log] = None
        self._idle.clear()
        self._woken.set()

    async def drained(self, seconds: float) -> None:
        """Waits until everything told so far has been sent, at most so long."""
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            logger.warning("%d events have not reached Valkey.", len(self._unsent))

    async def run(self) -> None:
        while True:
            await self._woken.wait()
            for _ in range(_GATHERING_STEPS):
                await asyncio.sleep(0)
            self._woken.clear()
            due, self._due = self._due, {}
            for log in due:
                self._unsent += [(log.key, position, name, data) for position, name, data in log.take()]
            try:
                await self._send(self._unsent)
            except valkey.Failed as error:
                logger.warning("Valkey is away, %d events wait for it: %s", len(self._unsent), error)
                if len(self._unsent) > _BUFFERED_EVENTS:
                    del self._unsent[:-_BUFFERED_EVENTS]
                await asyncio.sleep(0.5)
                self._woken.set()
                continue
            self._unsent = []
            if not self._due:
                self._idle.set()

    async def _send(self, batch: list[tuple[str, int, str, bytes]]) -> None:
        """One round trip for the whole batch, and one moment, so that a reader is woken once for all of it.

        An entry refused for its position was sent before, or comes too late.
        """
        pipeline = self._client.pipeline(transaction=True)
        for stream, position, name, data in batch:
            _add(pipeline, stream, position, name, data)
        for stream in {entry[0] for entry in batch if entry[1] and _is_run_event(entry[2])}:
            pipeline.expire(stream, kept_seconds())
        answers = await pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, redis.exceptions.ConnectionError | redis.exceptions.TimeoutError):
                raise answer


def _is_run_event(name: str) -> bool:
    return name.startswith("thread.run.") and not name.startswith("thread.run.step.")
