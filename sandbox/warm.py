"""Sessions that wait, started and never used, for the next key that needs one."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sandbox.protocol import Limits

if TYPE_CHECKING:
    from sandbox.pool import Session, Starter

logger = logging.getLogger(__name__)

QUIET_SECONDS = 1.0  # after one was taken, the next is started: its taker's first answer comes first
LOOKED_SECONDS = 0.25
END_SECONDS = 10.0
LONGEST_PAUSE = 60.0  # after starts that failed


class Slots:
    """Small numbers, from which each session's user is made: no two have the same one at once."""

    def __init__(self) -> None:
        self._taken = {0}  # the doctor's
        self._next = 0

    def take(self) -> int:
        """One that is free, and not the one that was freed last if another will do."""
        while self._next % 10_000 in self._taken:
            self._next += 1
        slot = self._next % 10_000
        self._next += 1
        self._taken.add(slot)
        return slot

    def give_back(self, slot: int) -> None:
        self._taken.discard(slot)

    async def end(self, session: "Session", slot: int) -> None:
        """End a session; the number is free again once nothing of it runs any more."""
        try:
            async with asyncio.timeout(END_SECONDS):
                await session.close()
        except Exception:
            logger.exception("A session could not be ended; its user number is not used again.")
        else:
            self.give_back(slot)

    def __len__(self) -> int:
        return len(self._taken) - 1


class WarmPool:
    """Up to `size` sessions, and never more than there is `room` for; started one at a time."""

    def __init__(
        self,
        start: "Starter",
        size: int,
        limits: Limits,
        slots: Slots,
        room: Callable[[], int],
        quiet: float | None = None,
    ) -> None:
        self.size = size
        self.limits = limits
        self.slots = slots
        self.room = room
        self.quiet = QUIET_SECONDS if quiet is None else quiet
        self._start = start
        self._ready: list[tuple[Session, int]] = []
        self._taken_at = 0.0
        self._pauses = 0
        self._filler: asyncio.Task[None] | None = None

    @property
    def count(self) -> int:
        return len(self._ready)

    def take(self, limits: Limits) -> "tuple[Session, int] | None":
        """A session with its slot, with these limits from now on; None: none is ready."""
        for position, (session, slot) in enumerate(self._ready):
            if session.is_alive:  # sweep ends the others
                del self._ready[position]
                session.limits = limits
                self._taken_at = time.monotonic()
                return session, slot
        return None

    async def give_up_one(self) -> None:
        """End one, for somebody needs its room."""
        if self._ready:
            await self.slots.end(*self._ready.pop())

    async def sweep(self) -> None:
        """End those that are dead, or for which there is no room any more."""
        for each in [each for each in self._ready if not each[0].is_alive]:
            self._ready.remove(each)
            await self.slots.end(*each)
        while self._ready and len(self._ready) > self.room():
            await self.give_up_one()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Meanwhile none is begun: somebody waits for another start."""
        self._pauses += 1
        try:
            yield
        finally:
            self._pauses -= 1

    def begin(self) -> None:
        """Fill the pool from now on until `close`."""
        if self._filler is None:
            self._filler = asyncio.create_task(self._keep_filling())

    async def close(self) -> None:
        """End all of them."""
        if self._filler is not None:
            self._filler.cancel()
            with suppress(asyncio.CancelledError):
                await self._filler
        while self._ready:
            await self.slots.end(*self._ready.pop())

    async def _keep_filling(self) -> None:
        failures = 0
        while True:
            if self._may_start():
                try:
                    await self._add()
                    failures = 0
                except Exception as problem:
                    failures += 1
                    if failures == 1:
                        logger.warning("A session could not be started ahead: %s", problem)
                    await asyncio.sleep(min(LONGEST_PAUSE, 2.0**failures))
            await asyncio.sleep(min(LOOKED_SECONDS, self.quiet or LOOKED_SECONDS))

    def _may_start(self) -> bool:
        is_quiet = not self._pauses and time.monotonic() - self._taken_at >= self.quiet
        return is_quiet and len(self._ready) < min(self.size, self.room())

    async def _add(self) -> None:
        slot = self.slots.take()
        try:
            session = await self._start(self.limits, slot, gently=True)
        except BaseException:
            self.slots.give_back(slot)
            raise
        self._ready.append((session, slot))
