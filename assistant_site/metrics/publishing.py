"""How what each process counts gets to whoever is asked at `/metrics`.

Only web processes speak HTTP, and workers may be on other machines. So each process puts what it counts into Valkey
every few seconds, under a key that ends soon after it; who is asked gathers them. Nothing is put where nobody may ask.

No count is ever answered lower than it was answered before, which Prometheus would take for a process that began anew:
who is asked puts its own counts there first, so that whoever is asked next tells them too.
"""

import asyncio
import contextlib
import logging
import os
import socket
import threading
import time
import weakref
from collections.abc import Iterable
from typing import cast

import orjson
from django.conf import settings
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from assistant_site import valkey
from assistant_site.metrics.counted import LOOP_LAG_SECONDS, REGISTRY

logger = logging.getLogger(__name__)

KEY = "holdfast:metrics:"  # and the process
PROCESSES = "holdfast:metrics"  # a set of those that have put something there; no key space needs to be searched
PUBLISH_SECONDS = 5.0
KEPT_SECONDS = 30  # of a process that ended without a word; then its series end
MOST_PROCESSES = 1000

_loops: "weakref.WeakSet[asyncio.AbstractEventLoop]" = weakref.WeakSet()
_publisher: "Publisher | None" = None
_lock = threading.Lock()


def is_wanted() -> bool:
    """Whether anybody may ask for metrics."""
    return bool(settings.METRICS_TOKEN or settings.ADMIN_TOKEN)


def publish(role: str) -> None:
    """From now on, what this process counts can be asked for; `role` is `web`, `worker` or `ingestion`.

    Starts a thread: only for a process that has been forked. Does nothing where nobody may ask, or the second time.
    """
    global _publisher
    with _lock:
        if is_wanted() and _publisher is None:
            _publisher = Publisher(role)
            _publisher.start()


def stop() -> None:
    """The last counts of this process are put there; for who drains it."""
    if _publisher is not None:
        _publisher.stop()


def watch(loop: asyncio.AbstractEventLoop) -> None:
    """From now on, it is measured how late this loop is."""
    _loops.add(loop)


class Publisher(threading.Thread):
    def __init__(self, role: str) -> None:
        super().__init__(name="metrics", daemon=True)
        self.process = f"{role}:{socket.gethostname()}:{os.getpid()}"
        self._ending = threading.Event()
        self._putting = threading.Lock()

    def run(self) -> None:
        while not self._ending.is_set():
            for loop in list(_loops):
                measure(loop)
            with contextlib.suppress(valkey.Failed, OSError):  # /metrics itself tells that Valkey is away
                self.put()
            self._ending.wait(PUBLISH_SECONDS)

    def put(self) -> None:
        """Raises what Valkey raises."""
        with self._putting:  # a later snapshot never comes before an earlier one
            pipeline = valkey.blocking().pipeline(transaction=False)
            pipeline.set(KEY + self.process, snapshot(), ex=KEPT_SECONDS)
            pipeline.sadd(PROCESSES, self.process)
            pipeline.execute()

    def stop(self) -> None:
        self._ending.set()
        with contextlib.suppress(valkey.Failed, OSError):
            self.put()


def measure(loop: asyncio.AbstractEventLoop) -> None:
    """Asks the loop for a sign from another thread, and counts how long it takes."""
    asked_at = time.perf_counter()
    with contextlib.suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(lambda: LOOP_LAG_SECONDS.observe(time.perf_counter() - asked_at))


def snapshot() -> bytes:
    """All that this process has counted, as JSON."""
    return orjson.dumps(
        [
            [family.name, family.documentation, family.type, [[s.name, s.labels, s.value] for s in family.samples]]
            for family in REGISTRY.collect()
        ]
    )


class Gathered(Collector):
    """The counts of all processes, each with the label `process`."""

    def __init__(self, snapshots: dict[str, bytes]) -> None:
        self._snapshots = snapshots

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for process, content in sorted(self._snapshots.items()):
            try:
                told = orjson.loads(content)
            except orjson.JSONDecodeError:
                logger.warning("What %s has counted cannot be read; it is left out.", process)
                continue
            for name, documentation, kind, samples in told:
                family = families.setdefault(name, Metric(name, documentation, kind))
                for sample, labels, value in samples:
                    family.add_sample(sample, {**labels, "process": process}, value)
        return families.values()


def gathered() -> Gathered:
    """What all processes have counted. Raises what Valkey raises."""
    if _publisher is not None:
        _publisher.put()
    client = valkey.blocking()
    processes = sorted(cast(set[bytes], client.smembers(PROCESSES)))
    told = processes[:MOST_PROCESSES]
    contents = cast(list[bytes | None], client.mget([KEY.encode() + each for each in told])) if told else []
    if ended := [each for each, content in zip(told, contents, strict=True) if content is None]:
        client.srem(PROCESSES, *ended)
    return Gathered({each.decode(): content for each, content in zip(told, contents, strict=True) if content})


def own() -> Gathered:
    """What only this process has counted; while Valkey is away."""
    return Gathered({_publisher.process if _publisher is not None else "web": snapshot()})
