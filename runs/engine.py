"""The engine of a worker process: one event loop in a thread that carries many runs at once.

django-q2 hands out, asyncio carries: a task only passes a run's id to `submit`. Whether the run is taken now or in its
tenant's turn is for `taking`. Beside the runs the loop renews their leases, looks for runs that nobody works on, and
listens for stops.
"""

import asyncio
import contextlib
import logging
import os
import random
import socket
import threading
from concurrent.futures import Future

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from assistant_site import valkey
from assistant_site.db.errors import first_line
from assistant_site.db.threads import DatabaseThreads
from assistant_site.llm import transport
from assistant_site.metrics import counted, publishing
from assistant_site.tuning import settle
from metering import ledger, usage
from runs import charging, holding, recovery, sent_prompts
from runs.events import Appender
from runs.execution import Execution
from runs.machine import Status
from runs.taking import Taker
from runs.tasks import enqueue_run
from runs.workers import ALIVE_KEY, ALIVE_SECONDS
from tenants import health
from tenants.models import KeptAnswer

logger = logging.getLogger(__name__)

BEATS_PER_LEASE = 3
TICK_SECONDS = 2.0
TIDY_SECONDS = 600.0
ACCOUNT_SECONDS = 10.0


class Engine:
    def __init__(self) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}"
        self._loop = asyncio.new_event_loop()
        self._executions: dict[str, Execution] = {}
        counted.RUNS_CARRIED.set_function(lambda: len(self._executions))
        counted.RUNS_LIMIT.set(settings.RUNS_PER_WORKER)
        self._taker = Taker(self.owner, self._executions, self._begin)
        self._draining = False
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run_loop, name="engine", daemon=True)

    # --- For other threads ------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()
        self._started.wait()
        publishing.watch(self._loop)

    def submit(self, run_id: str, tenant_id: str) -> None:
        """Takes the run, or leaves it queued until it is its tenant's turn. Never waits."""
        self._loop.call_soon_threadsafe(self._offer, run_id, tenant_id)

    def drain(self) -> None:
        """Ends the engine: no new runs, some time for those under way, the rest is handed back to the queue."""
        if not self._thread.is_alive():
            return
        done: Future[None] = asyncio.run_coroutine_threadsafe(self._drain(), self._loop)
        done.result(timeout=settings.WORKER_DRAIN_SECONDS + 20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    # --- In the loop ------------------------------------------------------------------------------------------------

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._prepare())
        self._started.set()
        self._loop.run_forever()

    async def _prepare(self) -> None:
        self.database = DatabaseThreads(settings.WORKER_DATABASE_THREADS)
        self.appender = Appender(valkey.of_this_loop())
        await transport.warm_up()  # the first run shall not wait for imports and TLS contexts
        self._picking = asyncio.create_task(self._taker.pick(self.database))
        self._chores = [
            asyncio.create_task(chore)
            for chore in (
                self.appender.run(),
                self._beat(),
                self._tick(),
                self._taker.feel(),
                self._listen(),
                self._show_alive(),
                self._tidy(),
                self._keep_accounts(),
            )
        ]

    def _offer(self, run_id: str, tenant_id: str) -> None:
        if not self._draining:
            self._taker.offer(run_id, tenant_id)

    def _begin(self, run_id: str, tenant_id: str) -> None:
        execution = Execution(run_id, tenant_id, self.owner, self.database, self.appender)
        self._executions[run_id] = execution
        execution.start().add_done_callback(lambda task: self._ended(execution, task))

    def _ended(self, execution: Execution, task: "asyncio.Task[None]") -> None:
        self._executions.pop(execution.run_id, None)
        self._taker.ended(execution)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("The execution of %s broke.", execution.run_id, exc_info=error)

    async def _beat(self) -> None:
        """Renews the leases of all runs here in one statement; who is lost or cancelled stops."""
        while True:
            await asyncio.sleep(settings.RUN_LEASE_SECONDS / BEATS_PER_LEASE)
            await self._renew(list(self._executions.values()))

    async def _renew(self, executions: list[Execution]) -> None:
        held = {str(e.run.claim): e.run for e in executions if e.run is not None and e.run.claim is not None}
        if not held:
            return
        try:
            statuses = await self.database.run(holding.renew, held)
        except (DatabaseError, InterfaceError) as error:
            # The leases may run out: whoever still writes then is stopped by its claim.
            logger.error("Leases could not be renewed: %s", first_line(error))
            return
        for run in held.values():
            execution = self._executions.get(run.pk)
            if execution is None or execution.run is not run or run.claim is None:
                continue
            if run.pk not in statuses:
                execution.stop("lost")
            elif statuses[run.pk] == Status.CANCELLING:
                execution.stop("cancelled")

    async def _tick(self) -> None:
        """Takes up what nobody works on, and writes what runs have noted of providers."""
        while True:
            await asyncio.sleep(TICK_SECONDS * random.uniform(0.75, 1.25))  # noqa: S311 jitter, not secrecy
            if self._draining:
                return
            try:
                await self.database.run(recovery.tick)
                if health.is_due():
                    await self.database.run(health.write)
            except (DatabaseError, InterfaceError) as error:
                logger.error("The ticker could not look for runs: %s", first_line(error))
            except Exception:
                logger.exception("The ticker failed; it goes on.")
            self._taker.tick()

    async def _listen(self) -> None:
        """Looks at a run at once when somebody says that it was cancelled or deleted, or that runs wait elsewhere."""
        while True:
            try:
                async with valkey.of_this_loop().pubsub() as channel:
                    await channel.subscribe(valkey.STOP_CHANNEL, valkey.WAITING_CHANNEL)
                    while True:
                        message = await channel.get_message(ignore_subscribe_messages=True, timeout=30)
                        if message is not None:
                            await self._heard(message["channel"].decode(), message["data"].decode())
            except (valkey.Failed, OSError) as error:
                logger.warning("Stops cannot be heard, heartbeats will notice them: %s", error)
                await asyncio.sleep(1)

    async def _heard(self, channel: str, said: str) -> None:
        if channel == valkey.WAITING_CHANNEL:
            self._taker.called(said)
        elif said in self._executions:
            await self._renew([self._executions[said]])

    async def _show_alive(self) -> None:
        """For /readyz: a key that outlives this process by some seconds only."""
        while True:
            with contextlib.suppress(valkey.Failed, OSError):  # /readyz says that Valkey is away
                await valkey.of_this_loop().set(ALIVE_KEY + self.owner, len(self._executions), ex=ALIVE_SECONDS)
            await asyncio.sleep(ALIVE_SECONDS / 3)

    async def _tidy(self) -> None:
        """Deletes what is too old to matter."""
        while True:
            await asyncio.sleep(TIDY_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 jitter, not secrecy
            try:
                await self.database.run(KeptAnswer.forget_old)
                await self.database.run(sent_prompts.forget_old)
            except Exception:
                logger.exception("Old answers or prompts could not be deleted; the next look will.")

    async def _keep_accounts(self) -> None:
        """Gives back what the dead have reserved of budgets, and adds up the day's usage."""
        while True:
            await asyncio.sleep(ACCOUNT_SECONDS * random.uniform(0.75, 1.25))  # noqa: S311 jitter, not secrecy
            try:
                await self.database.run(ledger.release_abandoned, charging.over)
                while await self.database.run(usage.roll_up) == usage.ROLLED_UP_AT_ONCE:
                    pass
            except (DatabaseError, InterfaceError) as error:
                logger.error("The accounts could not be kept: %s", first_line(error))
            except Exception:
                logger.exception("The accounts could not be kept; the next look will.")

    async def _drain(self) -> None:
        self._draining = True
        self._picking.cancel()
        await self._wait_for_executions(settings.WORKER_DRAIN_SECONDS)
        handed_back = [(e.run_id, e.tenant_id) for e in self._executions.values()]
        for execution in list(self._executions.values()):
            execution.stop("handed_back")
        await self._wait_for_executions(10)
        await self.appender.drained(3)
        for run_id, tenant_id in handed_back:
            enqueue_run(run_id, tenant_id)
        with contextlib.suppress(valkey.Failed, OSError):
            await valkey.of_this_loop().delete(ALIVE_KEY + self.owner)
        for chore in self._chores:
            chore.cancel()
        await transport.close_connections()

    async def _wait_for_executions(self, seconds: float) -> None:
        tasks = [task for e in self._executions.values() if (task := e.task) is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)


_engine: Engine | None = None
_lock = threading.Lock()


def of_this_process() -> Engine:
    """The engine, started at the first call; whoever ends the process drains it."""
    global _engine
    with _lock:
        if _engine is None:
            _engine = Engine()
            _engine.start()
            settle()
        return _engine
