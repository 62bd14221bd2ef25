"""Executions of a session by their call id: each at most once, one after another, to be followed by whoever asks.

The code goes on when its follower's connection drops; another one gets the same events from the beginning. What nobody
follows for a while is interrupted.
"""

import asyncio
import logging
import sys
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Protocol

from sandbox.protocol import (
    MIB,
    CallLost,
    Done,
    Error,
    Event,
    Image,
    Limits,
    NoRoom,
    Reason,
    Result,
    SandboxError,
    SessionGone,
    SessionKey,
    Stderr,
    Stdout,
)

logger = logging.getLogger(__name__)

KEPT_RESULTS = 32  # of a session; of older ones only that they were begun
KEPT_BYTES = 32 * MIB  # of a session's results, beside the newest
KNOWN_IDS = 10_000
MOST_WAITING = 32
PAST_SESSIONS = 200
PAST_BYTES = 64 * MIB
PAST_SECONDS = 15 * 60.0


class Runs(Protocol):
    """What calls need of a session."""

    limits: Limits

    @property
    def is_alive(self) -> bool: ...

    def execute(self, code: str, seconds: float) -> AsyncIterator[Event]: ...

    async def interrupt(self) -> None: ...

    async def close(self) -> None: ...


class Call:
    """One execution: waiting, running or over. The last of its events is a Done, or the exception in its place."""

    def __init__(self, call_id: str, code: str) -> None:
        self.id = call_id
        self.code = code
        self.events: list[Event | SandboxError] = []
        self.bytes = 0
        self.is_over = False
        self.is_forgotten = False
        self.followers = 0
        self.left_at = time.monotonic()
        self._changed = asyncio.Event()

    def tell(self, event: Event | SandboxError) -> None:
        """An event for all that follow; nothing comes after the last one."""
        if self.is_over:
            return
        self.events.append(event)
        self.bytes += _size(event)
        self.is_over = isinstance(event, Done | SandboxError)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def forget(self) -> None:
        """Let the events go; who follows already still gets them all."""
        self.events = []
        self.bytes = 0
        self.is_forgotten = True

    async def follow(self, silence: float) -> AsyncGenerator[Event | SandboxError | None]:
        """All events from the first; None after so many seconds without one."""
        events, position = self.events, 0
        while True:
            while position < len(events):
                event = events[position]
                position += 1
                yield event
                if isinstance(event, Done | SandboxError):
                    return
            changed = self._changed
            try:
                async with asyncio.timeout(silence):
                    await changed.wait()
            except TimeoutError:
                yield None


class Calls:
    """The calls of one session. `changed` is told whenever one is over."""

    def __init__(self, session: Runs, unattended_seconds: float, changed: Callable[[], None] = lambda: None) -> None:
        self.session = session
        self.unattended_seconds = unattended_seconds
        self.changed = changed
        self.known: OrderedDict[str, Call] = OrderedDict()
        self.waiting: deque[Call] = deque()
        self.running: Call | None = None
        self.is_closed = False
        self._work: asyncio.Task[None] | None = None
        self._interrupts: set[asyncio.Task[None]] = set()

    @property
    def is_busy(self) -> bool:
        return self.running is not None or bool(self.waiting)

    @property
    def bytes(self) -> int:
        return sum(call.bytes for call in self.known.values())

    def submit(self, call_id: str, code: str, *, attach_only: bool = False) -> Call:
        """The call of this id: the one that is there already, else a new one, which runs when those before it are over.

        Raises SessionGone if nothing was begun under this id and nothing can be, or is to be; CallLost if its result
        is not kept any more; NoRoom if too many wait.
        """
        call = self.known.get(call_id)
        if call is not None:
            if call.is_forgotten:
                raise CallLost("The code was run before, and what it gave is not kept any more.")
            return call
        if attach_only:
            raise SessionGone("No code was begun under this call.")
        if self.is_closed or not self.session.is_alive:
            raise SessionGone("The session has ended.")
        if len(self.waiting) >= MOST_WAITING:
            raise NoRoom(f"{MOST_WAITING} executions wait in this session already.")
        call = self.known[call_id] = Call(call_id, code)
        self.waiting.append(call)
        self._watch(call)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._carry_out())
        return call

    async def follow(self, call: Call, silence: float) -> AsyncGenerator[Event | SandboxError | None]:
        """As `Call.follow`, and counts as a follower meanwhile."""
        call.followers += 1
        try:
            async with aclosing(call.follow(silence)) as events:
                async for event in events:
                    yield event
        finally:
            call.followers -= 1
            call.left_at = time.monotonic()
            if not call.followers and not call.is_over:
                self._watch(call)

    async def interrupt(self) -> None:
        if self.running is not None:
            await self.session.interrupt()

    async def close(self) -> None:
        """The session has ended: what ran is told so by its last event; what waited was never begun."""
        self.is_closed = True
        self._refuse_waiting()
        if self._work is not None:
            _, pending = await asyncio.wait([self._work], timeout=5)
            for task in pending:
                task.cancel()
        if self.running is not None:
            self.running.tell(_died())
            self.running = None

    async def _carry_out(self) -> None:
        while self.waiting:
            call = self.running = self.waiting.popleft()
            try:
                await self._run(call)
            finally:
                call.code = ""
                self.running = None
                self._trim()
                if self.is_closed or not self.session.is_alive:
                    self._refuse_waiting()
                self.changed()

    async def _run(self, call: Call) -> None:
        try:
            async for event in self.session.execute(call.code, self.session.limits.seconds):
                call.tell(event)
        except SessionGone as gone:
            call.tell(_died() if call.events else gone)
        except SandboxError as problem:
            call.tell(problem)
        except Exception:
            logger.exception("An execution failed in the daemon; its session is ended.")
            await self.session.close()
        call.tell(_died())  # for those that ended without a last event

    def _refuse_waiting(self) -> None:
        while self.waiting:
            call = self.waiting.popleft()
            self.known.pop(call.id, None)
            call.tell(SessionGone("The session ended before this code was begun."))

    def _watch(self, call: Call) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(self.unattended_seconds, self._check_attended, call)

    def _check_attended(self, call: Call) -> None:
        if call.is_over or call.followers or time.monotonic() - call.left_at < self.unattended_seconds * 0.99:
            return  # whoever left later has a watch of their own
        if call is self.running:
            logger.info("Nobody has followed an execution for %g s: it is interrupted.", self.unattended_seconds)
            task = asyncio.create_task(self.session.interrupt())
            self._interrupts.add(task)
            task.add_done_callback(self._interrupts.discard)
        elif call in self.waiting:
            self.waiting.remove(call)
            call.tell(Done(False, Reason.INTERRUPTED, message="Nobody waited for this code, so it was not run."))

    def _trim(self) -> None:
        kept = [call for call in self.known.values() if call.is_over and not call.is_forgotten]
        kept = kept[:-1]  # the newest is always kept: it may not have been fetched yet
        total = sum(call.bytes for call in kept)
        for count, call in zip(range(len(kept), 0, -1), kept, strict=True):
            if count < KEPT_RESULTS and total <= KEPT_BYTES:
                break
            total -= call.bytes
            call.forget()
        while len(self.known) > KNOWN_IDS:
            self.known.popitem(last=False)


class PastCalls:
    """The calls of ended sessions, so that a result whose connection was lost can still be fetched for a while."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[SessionKey, str], tuple[float, Calls]] = OrderedDict()

    def add(self, key: SessionKey, generation: str, calls: Calls) -> None:
        if not calls.known:
            return
        self._kept[key, generation] = (time.monotonic(), calls)
        total = sum(each.bytes for _, each in self._kept.values())
        while self._kept:
            (at, oldest) = next(iter(self._kept.values()))
            if len(self._kept) <= PAST_SESSIONS and total <= PAST_BYTES and time.monotonic() - at < PAST_SECONDS:
                return
            total -= oldest.bytes
            self._kept.popitem(last=False)

    def of(self, key: SessionKey, generation: str) -> Calls | None:
        kept = self._kept.get((key, generation))
        return kept[1] if kept else None


def _died() -> Done:
    return Done(False, Reason.DIED, restarted=True, message="The session ended while the code ran.")


def _size(event: Event | SandboxError) -> int:
    match event:
        case Stdout(text) | Stderr(text) | Result(text):
            return 100 + sys.getsizeof(text)
        case Image():
            return 200 + len(event.data)
        case Error():
            return 200 + sys.getsizeof(event.traceback)
        case Done():
            return 200 + sum(200 + sys.getsizeof(file.name) for file in event.changed)
        case _:
            return 200
