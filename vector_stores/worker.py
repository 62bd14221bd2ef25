"""A process that ingests: some threads that take one file after the other, heartbeats, chores.

`manage.py qcluster --name ingestion` starts it and hands it wake-ups from the queue. The work itself it finds in the
rows, so it needs no wake-up to be right: it looks by itself every few seconds, for files whose wake-up was lost and for
those of workers that died.
"""

import contextlib
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections

from assistant_site import valkey
from assistant_site.db.errors import first_line
from assistant_site.metrics import counted
from assistant_site.tracing import spans
from assistant_site.tuning import settle
from vector_stores import claims, ticker
from vector_stores.claims import Held
from vector_stores.extraction import missing_tools
from vector_stores.ingestion import ingest
from vector_stores.tasks import ALIVE_KEY

logger = logging.getLogger(__name__)

ALIVE_SECONDS = 15
LOOK_SECONDS = 2.0
CHORE_SECONDS = 1.0
AFTER_TROUBLE_SECONDS = 2.0


class Worker:
    def __init__(self) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}"
        self._held: dict[str, Held] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._woken = threading.Event()
        self._threads = [
            *(
                threading.Thread(target=self._for_ever, args=(self._work,), name=f"ingest-{number}", daemon=True)
                for number in range(settings.INGESTION_THREADS)
            ),
            threading.Thread(target=self._for_ever, args=(self._beat,), name="beat", daemon=True),
            threading.Thread(target=self._do_chores, args=(ticker.quick_chores,), name="chores", daemon=True),
            threading.Thread(target=self._do_chores, args=(ticker.slow_chores,), name="slow chores", daemon=True),
        ]

    def start(self) -> None:
        for missing in missing_tools():
            logger.info(missing)
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There is work: whoever rests looks at once."""
        self._woken.set()

    def drain(self) -> None:
        """Takes no more, gives what is under way some seconds, and hands the rest to another worker."""
        self._ending.set()
        self.wake()
        deadline = time.monotonic() + settings.WORKER_DRAIN_SECONDS
        while self._held and time.monotonic() < deadline:
            time.sleep(0.05)
        with self._lock:
            left = list(self._held.values())
        for each in left:
            each.lose()
        with contextlib.suppress(DatabaseError, InterfaceError):  # their leases will end
            claims.hand_back(left)
        with contextlib.suppress(valkey.Failed, OSError):
            valkey.blocking().delete(ALIVE_KEY + self.owner)

    # --- In the threads ---------------------------------------------------------------------------------------------

    def _for_ever(self, step: Callable[[], None]) -> None:
        """Whatever a step meets, the next one is made."""
        while not self._ending.is_set():
            try:
                close_old_connections()
                step()
            except (DatabaseError, InterfaceError) as error:
                logger.error("Ingestion waits, the database failed: %s", first_line(error))
                self._ending.wait(AFTER_TROUBLE_SECONDS)
            except Exception:
                logger.exception("Ingestion met an error; it goes on.")
                self._ending.wait(AFTER_TROUBLE_SECONDS)

    def _work(self) -> None:
        self._woken.clear()
        held = claims.claim_next()
        if held is None:
            self._woken.wait(LOOK_SECONDS * random.uniform(0.75, 1.25))  # noqa: S311 jitter, not secrecy
            return
        with self._lock:
            self._held[held.row.pk] = held
        began = time.perf_counter()
        try:
            with spans.span("ingest_file", parent="", holdfast__tenant__id=held.row.tenant_id) as span:
                span.set(holdfast__file__id=held.row.file_id, holdfast__vector_store__id=held.row.vector_store_id)
                ingest(held)
            counted.INGESTION_SECONDS.observe(time.perf_counter() - began)
        finally:
            with self._lock:
                self._held.pop(held.row.pk, None)

    def _beat(self) -> None:
        with self._lock:
            held = list(self._held.values())
        with contextlib.suppress(valkey.Failed, OSError):  # /readyz says that Valkey is away
            valkey.blocking().set(ALIVE_KEY + self.owner, len(held), ex=ALIVE_SECONDS)
        if held:
            claims.renew(held)
        pause = min(settings.INGESTION_LEASE_SECONDS / claims.BEATS_PER_LEASE, ALIVE_SECONDS / 3)
        self._ending.wait(pause)

    def _do_chores(self, chores: Callable[[], list[ticker.Chore]]) -> None:
        for chore in (every := chores()):
            chore.due_at = time.monotonic() + random.uniform(0, 1) * min(chore.pause_seconds, 5)  # noqa: S311

        def step() -> None:
            for chore in every:
                if not self._ending.is_set():
                    chore.do_if_due()
            self._ending.wait(CHORE_SECONDS)

        self._for_ever(step)


_worker: Worker | None = None
_lock = threading.Lock()


def of_this_process() -> Worker:
    """The worker, started at the first call; whoever ends the process drains it."""
    global _worker
    with _lock:
        if _worker is None:
            _worker = Worker()
            _worker.start()
            settle()
        return _worker
