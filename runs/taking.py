"""Which runs the engine takes, and when: those that the queue brings while there is room, the others in fair turns.

What a queue entry brings and the engine does not take stays queued in the database, which is the truth anyway. As soon
as there is room, and with every tick, the runs that wait there are taken in the order of their tenants' turns.
"""

import asyncio
import contextlib
import logging
import statistics
import time
from collections.abc import Callable, Mapping

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from assistant_site import valkey
from assistant_site.db.errors import first_line
from assistant_site.db.threads import DatabaseThreads
from runs import picking
from runs.execution import Execution
from runs.sharing import Places

logger = logging.getLogger(__name__)

LOST_AFTER_SECONDS = 3.0  # a queued run that nobody claimed for so long has lost its queue entry
AT_ONCE = 4  # runs of one pick: each claim keeps others waiting a little
PAUSE_SECONDS = 0.02  # before each pick: what ends together is replaced together
FEELING_SECONDS = 0.02
FEELINGS = 5  # their median is the loop's lag
CALL_SECONDS = 0.25  # between two calls for help


class Taker:
    """Used in the engine's loop only. `begin` starts an execution, which is in `executions` from then on."""

    def __init__(self, owner: str, executions: Mapping[str, Execution], begin: Callable[[str, str], None]) -> None:
        self.owner = owner
        self._executions = executions
        self._begin = begin
        self._places = Places(settings.RUNS_PER_WORKER)
        self._left: set[str] = set()  # tenants with queued runs that no queue entry will bring
        self._called = False  # another worker has such runs
        self._calling: asyncio.Task[None] | None = None
        self._look = asyncio.Event()

    # --- What happens -----------------------------------------------------------------------------------------------

    def offer(self, run_id: str, tenant_id: str) -> None:
        """A queue entry has come; it does not overtake older runs of its tenant."""
        if run_id in self._executions:
            return
        self._places.see(tenant_id)
        if tenant_id not in self._left and self._places.room_for(tenant_id):
            self._take(run_id, tenant_id)
            return
        self._left.add(tenant_id)
        self._look.set()
        if self._calling is None:
            self._calling = asyncio.create_task(self._call_for_help())

    def _take(self, run_id: str, tenant_id: str) -> None:
        self._places.take(tenant_id)
        self._begin(run_id, tenant_id)

    def ended(self, execution: Execution) -> None:
        """An execution has given its place back."""
        self._places.give_back(execution.tenant_id)
        if execution.is_limited:  # another worker may have left what can be taken now
            self._left.add(execution.tenant_id)
        if self._left:
            self._look.set()

    def tick(self) -> None:
        """Some time has passed: runs may wait of which nobody here knows."""
        self._places.forget_gone()
        self._look.set()

    async def _call_for_help(self) -> None:
        """Tells the other workers, which may have room; without Valkey their ticks find the runs."""
        with contextlib.suppress(valkey.Failed, OSError):
            await valkey.of_this_loop().publish(valkey.WAITING_CHANNEL, self.owner)
        await asyncio.sleep(CALL_SECONDS)
        self._calling = None

    def called(self, caller: str) -> None:
        """A worker has left runs waiting."""
        if caller != self.owner:
            self._called = True
            self._look.set()

    # --- Chores of the loop -----------------------------------------------------------------------------------------

    async def pick(self, database: DatabaseThreads) -> None:
        """Takes waiting runs whenever there may be room for them."""
        while True:
            await self._look.wait()
            await asyncio.sleep(PAUSE_SECONDS)
            self._look.clear()
            try:
                await self._take_next(database)
            except (DatabaseError, InterfaceError) as error:
                logger.error("The engine could not look for waiting runs: %s", first_line(error))
            except Exception:
                logger.exception("The engine failed to look for waiting runs; it goes on.")

    async def _take_next(self, database: DatabaseThreads) -> None:
        sooner = bool(self._left) or self._called
        left, self._left, self._called = self._left, set(), False
        try:
            waiting = await database.run(picking.waiting)
            for each in waiting:
                self._places.see(each.tenant_id)
            turns = self._places.allot(waiting, AT_ONCE)
            being_claimed = [id for id, execution in self._executions.items() if execution.run is None]
            seconds = 0.0 if sooner else LOST_AFTER_SECONDS
            found = await database.run(picking.oldest, turns, but=being_claimed, queued_for=seconds) if turns else []
        except BaseException:
            self._left |= left
            raise
        of_tenant: dict[str, int] = dict.fromkeys((each.tenant_id for each in waiting), 0)
        taken = 0
        for tenant_id, run_id in found:
            of_tenant[tenant_id] += 1
            if run_id not in self._executions and self._places.room_for(tenant_id):
                self._take(run_id, tenant_id)
                taken += 1
        self._left |= {tenant_id for tenant_id, got in of_tenant.items() if got >= turns[tenant_id]}
        if self._left and taken:  # those who had fewer than were allotted may have left room
            self._look.set()

    async def feel(self) -> None:
        """Measures the loop's lag, and what this process works, while tenants wait and share the places."""
        loop = asyncio.get_running_loop()
        while True:
            if not (self._left and self._places.is_shared):
                await asyncio.sleep(FEELINGS * FEELING_SECONDS)
                continue
            lags = []
            began, worked = loop.time(), time.process_time()
            for _ in range(FEELINGS):
                before = loop.time()
                await asyncio.sleep(FEELING_SECONDS)
                lags.append(loop.time() - before - FEELING_SECONDS)
            used = (time.process_time() - worked) / (loop.time() - began)
            self._places.feel(statistics.median(lags), used)
            self._look.set()
