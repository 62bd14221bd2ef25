"""What the driver asks PostgreSQL and Valkey itself, beside the API: in threads, and again when a server is away."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import redis
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from runs import tasks
from runs.events import key
from runs.machine import ACTIVE, HELD, RESTING
from runs.models import Run, RunStep
from threads.models import Message, Thread

T = TypeVar("T")
PATIENCE_SECONDS = 60.0
FRESH_SECONDS = 0.1


@dataclass(frozen=True)
class Stored:
    """All rows of one run, and its event stream: (position, name, data) of each entry."""

    run: Run
    thread: Thread
    steps: list[RunStep]
    messages: list[Message]
    counted: int
    stream: list[tuple[int, str, bytes]]


class Rows:
    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="rows")
        self._valkey = redis.Redis.from_url(settings.VALKEY_URL, socket_timeout=5)
        self._statuses: dict[str, str] = {}
        self._seen_at = 0.0
        self._looking = asyncio.Lock()
        self.watched: set[str] = set()

    async def call(self, work: Callable[[], T]) -> T:
        """Repeats the work until the servers answer."""

        def patiently() -> T:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while True:
                try:
                    return work()
                except (OperationalError, InterfaceError, redis.RedisError):
                    connection.close()
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)

        return await asyncio.get_running_loop().run_in_executor(self._pool, patiently)

    async def resting(self, run_id: str) -> str | None:
        """The run's status if it rests. One look a moment for everybody who asks."""
        self.watched.add(run_id)
        async with self._looking:
            if time.monotonic() > self._seen_at + FRESH_SECONDS or run_id not in self._statuses:
                found = Run.objects.across_tenants().filter(pk__in=self.watched).values_list("pk", "status")
                self._statuses = await self.call(lambda: dict(found.all()))
                self._seen_at = time.monotonic()
        status = self._statuses.get(run_id)
        return status if status in RESTING else None

    async def shown(self, run_id: str) -> dict[str, Any] | None:
        """The columns that say where a run is."""
        columns = ("status", "claim", "claimed_by", "lease_until", "attempt", "turns", "event_position", "queued_at")
        return await self.call(lambda: Run.objects.across_tenants().filter(pk=run_id).values(*columns).first())

    async def expire(self, run_id: str, seconds: float) -> None:
        at = timezone.now() + timedelta(seconds=seconds)
        await self.call(lambda: Run.objects.across_tenants().filter(pk=run_id, status__in=ACTIVE).update(expires_at=at))

    async def held_by(self, pid: int) -> set[str]:
        """The runs of a worker process, also of a dead one, as long as nobody has taken them."""
        held = Run.objects.across_tenants().filter(claimed_by__endswith=f":{pid}", status__in=HELD)
        return await self.call(lambda: set(held.values_list("pk", flat=True)))

    async def held(self) -> set[str]:
        """The runs that some worker holds."""
        held = Run.objects.across_tenants().filter(status__in=HELD)
        return await self.call(lambda: set(held.values_list("pk", flat=True)))

    async def active(self) -> set[str]:
        return await self.call(
            lambda: set(Run.objects.across_tenants().filter(status__in=ACTIVE).values_list("pk", flat=True))
        )

    async def stored(self, run_id: str) -> Stored | None:
        def look() -> Stored | None:
            run = Run.objects.across_tenants().filter(pk=run_id).first()
            if run is None:
                return None
            entries: Any = self._valkey.xrange(key(run_id))
            of_thread = Message.objects.across_tenants().filter(thread_id=run.thread_id)
            return Stored(
                run=run,
                thread=Thread.objects.across_tenants().get(pk=run.thread_id),
                steps=list(RunStep.objects.across_tenants().filter(run=run).order_by("pk")),
                messages=list(of_thread.filter(run_id=run_id).order_by("pk")),
                counted=of_thread.exclude(status="in_progress").count(),
                stream=[(int(id.partition(b"-")[0]), f[b"e"].decode(), f[b"d"]) for id, f in entries],
            )

        return await self.call(look)

    # --- Faults of the queue and of Valkey's data --------------------------------------------------------------------

    async def empty_valkey(self) -> None:
        await self.call(lambda: self._valkey.flushall())

    async def steal_from_queue(self, seconds: float) -> int:
        """Takes entries out of the queue before workers can; how many."""

        def steal() -> int:
            name = f"django_q:{settings.Q_CLUSTER['name']}:q"
            stolen, until = 0, time.monotonic() + seconds
            while time.monotonic() < until:
                stolen += self._valkey.blpop([name], timeout=0.2) is not None
            return stolen

        return await self.call(steal)

    async def double_queue(self) -> int:
        """Puts an entry for each active run into the queue, once more or twice."""

        def enqueue() -> int:
            runs = list(Run.objects.across_tenants().filter(status__in=ACTIVE).values_list("pk", "tenant_id"))
            for run_id, tenant_id in [*runs, *runs]:
                tasks.enqueue_run(run_id, tenant_id)
            return len(runs)

        return await self.call(enqueue)
