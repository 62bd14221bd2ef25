"""How what each process counts gets to whoever is asked at `/metrics`.

Only web processes speak HTTP, and workers may be on other machines. So each process puts what it counts into Valkey
every few seconds, under a key that ends soon after it; who is asked gathers them. Nothing is put where nobody may ask.
"""

import contextlib
import itertools
import logging
import os
import socket
import threading
from collections.abc import Iterable
from typing import cast

import orjson
from django.conf import settings
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from assistant_site import valkey
from assistant_site.metrics.counted import REGISTRY

logger = logging.getLogger(__name__)

KEY = "holdfast:metrics:"
PUBLISH_SECONDS = 5.0
KEPT_SECONDS = 30  # of a process that ended without a word; then its series end
MOST_PROCESSES = 1000

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


class Publisher(threading.Thread):
    def __init__(self, role: str) -> None:
        super().__init__(name="metrics", daemon=True)
        self.process = f"{role}:{socket.gethostname()}:{os.getpid()}"
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.is_set():
            self.put()
            self._ending.wait(PUBLISH_SECONDS)

    def put(self) -> None:
        with contextlib.suppress(valkey.Failed, OSError):  # /metrics itself tells that Valkey is away
            valkey.blocking().set(KEY + self.process, snapshot(), ex=KEPT_SECONDS)

    def stop(self) -> None:
        self._ending.set()
        self.put()


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
    client = valkey.blocking()
    keys = list(itertools.islice(client.scan_iter(match=f"{KEY}*", count=1000), MOST_PROCESSES))
    contents = client.mget(keys) if keys else []
    found = {
        key.decode().removeprefix(KEY): cast(bytes, content)
        for key, content in zip(keys, contents, strict=True)
        if content is not None
    }
    if _publisher is not None:
        found[_publisher.process] = snapshot()  # of this very moment
    return Gathered(found)


def own() -> Gathered:
    """What only this process has counted; while Valkey is away."""
    return Gathered({_publisher.process if _publisher is not None else "web": snapshot()})
