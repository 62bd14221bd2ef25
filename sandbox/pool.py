"""The sessions of a daemon by their key: opened, counted, and ended when idle, old or in the way."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from sandbox.calls import Calls, PastCalls
from sandbox.protocol import (
    CallLost,
    Event,
    FileInfo,
    Limits,
    NoRoom,
    OpenedSession,
    SandboxError,
    SandboxUnavailable,
    SessionGone,
    SessionKey,
)
from sandbox.warm import Slots, WarmPool
from sandbox.watchdog import Use

logger = logging.getLogger(__name__)

FRESH_SECONDS = 5.0  # so long after its last use a session counts as busy: its opener is about to use it
MOST_WAITING = 200  # for room
LOOKED_SECONDS = 1.0


class Session(Protocol):
    """What the pool needs of `sandbox.session.Session`."""

    generation: str
    limits: Limits
    used: Use  # as last measured

    @property
    def is_alive(self) -> bool: ...

    def execute(self, code: str, seconds: float) -> AsyncIterator[Event]: ...

    async def put(self, name: str, pieces: AsyncIterator[bytes], tag: str = "") -> None: ...

    def read(self, name: str, most: int) -> AsyncIterator[bytes]: ...

    async def files(self) -> list[FileInfo]: ...

    async def interrupt(self) -> None: ...

    async def close(self) -> None: ...


class Starter(Protocol):
    """Starts a session under the slot's user. `gently`: nobody waits for it, so it is to disturb nobody."""

    async def __call__(self, limits: Limits, slot: int, *, gently: bool) -> Session: ...


@dataclass(frozen=True)
class Bounds:
    limits: Limits = field(default_factory=Limits)  # what warm sessions are started with
    pool: int = 2
    sessions: int = 4
    idle_seconds: float = 20 * 60
    age_seconds: float = 60 * 60
    unattended_seconds: float = 60
    room_seconds: float = 30
    fresh_seconds: float = FRESH_SECONDS
    spare_seconds: float = 60


@dataclass(eq=False)
class Held:
    """A session that belongs to a key."""

    key: SessionKey
    session: Session
    slot: int
    calls: Calls
    files: dict[str, str] = field(default_factory=dict)
    opened_at: float = field(default_factory=time.monotonic)
    used_at: float = field(default_factory=time.monotonic)
    transfers: int = 0

    @property
    def is_busy(self) -> bool:
        return self.calls.is_busy or self.transfers > 0

    @property
    def age(self) -> float:
        return time.monotonic() - self.opened_at

    @property
    def idle(self) -> float:
        """Seconds since it last did something."""
        return 0.0 if self.is_busy else time.monotonic() - self.used_at

    @contextmanager
    def used(self) -> Iterator[Session]:
        """Meanwhile nothing ends it but its own death."""
        self.transfers += 1
        try:
            yield self.session
        finally:
            self.transfers -= 1
            self.used_at = time.monotonic()


class Pool:
    """`troubled` is told whenever a session could not be started."""

    def __init__(self, start: Starter, bounds: Bounds, troubled: Callable[[], None] = lambda: None) -> None:
        self.bounds = bounds
        self.held: dict[SessionKey, Held] = {}
        self.past = PastCalls()
        self.slots = Slots()
        self.warm = WarmPool(start, bounds.pool, bounds.limits, self.slots, self._room_for_warm)
        self._start = start
        self._troubled = troubled
        self._opening: dict[SessionKey, asyncio.Task[Held]] = {}
        self._reserved: dict[str, int] = {}  # by tenant: rooms of sessions that are being opened
        self._waiting = 0
        self._freed = asyncio.Event()
        self._sweeper: asyncio.Task[None] | None = None
        self.is_closed = False

    # --- Sessions ----------------------------------------------------------------------------------------------------

    async def open(self, key: SessionKey, limits: Limits) -> OpenedSession:
        """As `protocol.Sandbox.open`."""
        if self.is_closed:
            raise SandboxUnavailable("The code interpreter is being shut down.")
        if key not in self._opening and (held := self.held.get(key)):
            if held.session.is_alive and (held.is_busy or held.age < self.bounds.age_seconds):
                held.used_at = time.monotonic()
                return OpenedSession(held.session.generation, False, dict(held.files))
            await self._end(held, "It was dead." if not held.session.is_alive else "It was too old.")
        opening = self._opening.get(key)
        if opening is None:
            opening = self._opening[key] = asyncio.create_task(self._open(key, limits))
            opening.add_done_callback(lambda task: self._opened(key, task))
        try:
            held = await asyncio.shield(opening)
        except asyncio.CancelledError:
            if opening.cancelled():
                raise SandboxUnavailable("The code interpreter is being shut down.") from None
            raise
        return OpenedSession(held.session.generation, True, dict(held.files))

    def of(self, key: SessionKey, generation: str) -> Held:
        """The session of this key and generation; raises SessionGone."""
        held = self.held.get(key)
        if held is None or held.session.generation != generation or not held.session.is_alive:
            raise SessionGone("The session has ended.")
        return held

    def calls_of(self, key: SessionKey, generation: str, *, attach_only: bool) -> Calls:
        """The calls of a session, or of one that has ended not long ago.

        Raises SessionGone; CallLost where only attaching is meant, since what was begun there cannot be told any more.
        """
        held = self.held.get(key)
        if held is not None and held.session.generation == generation:
            return held.calls
        if calls := self.past.of(key, generation):
            return calls
        if attach_only:
            raise CallLost("The session in which the code was begun has ended.")
        raise SessionGone("The session has ended.")

    async def end(self, key: SessionKey) -> None:
        """End the session of this key, with what runs in it; nothing happens if there is none."""
        if opening := self._opening.get(key):
            await asyncio.wait([opening])
        if held := self.held.get(key):
            await self._end(held, "It was closed.")

    async def _open(self, key: SessionKey, limits: Limits) -> Held:
        tenant = key.tenant_id
        await self._reserve(tenant, limits)
        try:
            session, slot = await self._take(limits)
            calls = Calls(session, self.bounds.unattended_seconds, lambda: self._used(key))
            held = self.held[key] = Held(key, session, slot, calls)
            return held
        finally:
            self._reserved[tenant] -= 1
            if not self._reserved[tenant]:
                del self._reserved[tenant]
            self._tell_freed()

    def _opened(self, key: SessionKey, opening: asyncio.Task[Held]) -> None:
        self._opening.pop(key, None)
        if not opening.cancelled():
            opening.exception()  # whoever waited has it, if anybody still does

    async def _take(self, limits: Limits) -> tuple[Session, int]:
        if limits.data_bytes == self.bounds.limits.data_bytes and (taken := self.warm.take(limits)):
            return taken
        if self._total() + self.warm.count > self.bounds.sessions:
            await self.warm.give_up_one()
        slot = self.slots.take()
        try:
            with self.warm.pause():
                return await self._start(limits, slot, gently=False), slot
        except BaseException as problem:
            self.slots.give_back(slot)
            if isinstance(problem, SandboxError):
                self._troubled()
                raise
            if isinstance(problem, Exception):
                logger.warning("A session could not be started: %s", problem)
                self._troubled()
                raise SandboxUnavailable("A session of the code interpreter could not be started.") from problem
            raise

    # --- Room --------------------------------------------------------------------------------------------------------

    def _total(self) -> int:
        return len(self.held) + sum(self._reserved.values())

    def _room_for_warm(self) -> int:
        return self.bounds.sessions - self._total()

    async def _reserve(self, tenant: str, limits: Limits) -> None:
        """Count one more session of this tenant once there is room for it, in its own share and on the host."""
        deadline = time.monotonic() + self.bounds.room_seconds
        while True:
            own = sum(1 for key in self.held if key.tenant_id == tenant) + self._reserved.get(tenant, 0)
            if own < limits.sessions and self._total() < self.bounds.sessions:
                self._reserved[tenant] = self._reserved.get(tenant, 0) + 1
                return
            if victim := self._least_recently_used(tenant):
                await self._end(victim, "Its tenant needed the room.")
                continue
            if own < limits.sessions and (victim := self._spared(own)):
                await self._end(victim, "The server was full, and another tenant needed the room.")
                continue
            left = deadline - time.monotonic()
            if left <= 0 or self._waiting >= MOST_WAITING:
                raise NoRoom(
                    f"All {own} code sessions this account may have at once are at work. Try again in a moment."
                    if own >= limits.sessions
                    else "All code sessions of this server are at work. Try again in a moment."
                )
            self._waiting += 1
            try:
                async with asyncio.timeout(min(left, LOOKED_SECONDS)):
                    await self._freed.wait()
            except TimeoutError:
                pass
            finally:
                self._waiting -= 1

    def _least_recently_used(self, tenant: str) -> Held | None:
        idle = [
            held
            for held in self.held.values()
            if held.key.tenant_id == tenant and not held.is_busy and held.idle >= self.bounds.fresh_seconds
        ]
        return min(idle, key=lambda held: held.used_at, default=None)

    def _spared(self, own: int) -> Held | None:
        """On a full host, an idle session that makes room for a tenant that has `own`: of whoever has the most.

        It has been idle for a minute if its tenant keeps more than the other will have, else for five.
        """
        counts = Counter(key.tenant_id for key in self.held)
        spared = [
            held
            for held in self.held.values()
            if not held.is_busy
            and held.idle
            >= (self.bounds.spare_seconds if counts[held.key.tenant_id] > own + 1 else 5 * self.bounds.spare_seconds)
        ]
        return max(spared, key=lambda held: (counts[held.key.tenant_id], held.idle), default=None)

    def _tell_freed(self) -> None:
        freed, self._freed = self._freed, asyncio.Event()
        freed.set()

    def _used(self, key: SessionKey) -> None:
        if held := self.held.get(key):
            held.used_at = time.monotonic()
        self._tell_freed()

    # --- Ends --------------------------------------------------------------------------------------------------------

    async def _end(self, held: Held, why: str) -> None:
        """Forget the session at once, then end it; its slot is free when nothing of it runs any more."""
        if self.held.get(held.key) is not held:
            return
        del self.held[held.key]
        self.past.add(held.key, held.session.generation, held.calls)
        logger.info("A session was ended after %.0f s. %s", held.age, why)
        held.calls.is_closed = True
        await self.slots.end(held.session, held.slot)
        await held.calls.close()
        self._tell_freed()

    async def sweep(self) -> None:
        """End what is dead, idle for too long or too old."""
        for held in list(self.held.values()):
            if not held.session.is_alive:
                await self._end(held, "It had died.")
            elif held.idle >= self.bounds.idle_seconds:
                await self._end(held, "It was idle.")
            elif not held.is_busy and held.age >= self.bounds.age_seconds:
                await self._end(held, "It was too old.")
        await self.warm.sweep()

    def begin(self) -> None:
        """Fill the warm pool and end sessions, from now on until `close`."""
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._keep_sweeping())
            self.warm.begin()

    async def close(self) -> None:
        """End everything; nothing runs any more when this returns."""
        self.is_closed = True
        tasks = [task for task in (self._sweeper, *self._opening.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, self.warm.close(), return_exceptions=True)
        await asyncio.gather(*(self._end(held, "The daemon ends.") for held in list(self.held.values())))

    async def _keep_sweeping(self) -> None:
        pause = max(0.05, min(LOOKED_SECONDS, self.bounds.idle_seconds / 4, self.bounds.age_seconds / 4))
        while True:
            await asyncio.sleep(pause)
            try:
                await self.sweep()
            except Exception:
                logger.exception("Looking after the sessions failed.")
