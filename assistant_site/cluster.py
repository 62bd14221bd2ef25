"""One process that carries out the tasks of one of django-q2's queues, and several of them where several are wanted.

django-q2's own cluster takes five processes for that (docs/adr/0013-one-process.md). Of it we keep the packages and the
broker. Our tasks never block: they hand an id to the engine, or wake the ingestion, of this very process.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

from django.conf import settings
from django.utils.module_loading import import_string
from django_q import core_signing
from django_q.brokers import Broker, get_broker
from django_q.conf import Conf
from django_q.signing import PickleSerializer

from assistant_site import watched
from assistant_site.embedded.process import spawn
from vector_stores.tasks import CLUSTER as INGESTION

logger = logging.getLogger(__name__)

AFTER_TROUBLE_SECONDS = 1.0
LOOK_SECONDS = 0.5
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60  # a process that lived so long is started again after the first pause

MEMBER = "HOLDFAST_MEMBER_OF_CLUSTER"  # set for the processes that one command starts of itself


class UnknownQueue(Exception):
    """There is nothing here that tasks of this queue could be for."""


class Carrier(Protocol):
    """What tasks are handed to. It looks for work by itself too, so a lost task costs some seconds only."""

    def drain(self) -> None: ...


def run(queue: str) -> None:
    """Carries out the tasks of this queue until SIGTERM or Ctrl-C, in as many processes as the settings say."""
    if queue == Conf.PREFIX:
        processes, most = settings.WORKER_PROCESSES, settings.WORKER_RECYCLE_RUNS
    elif queue == INGESTION:
        processes, most = settings.INGESTION_PROCESSES, 0
    else:
        raise UnknownQueue(f"There is no queue {queue!r}, only {Conf.PREFIX!r} and {INGESTION!r}.")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if processes > 1 and MEMBER not in os.environ:
        keep(processes, queue, stopping)
    else:
        serve(queue, most, stopping)


# --- One process ------------------------------------------------------------------------------------------------------


def serve(queue: str, most: int, stopping: threading.Event) -> None:
    """Until `stopping` is set, or so many tasks were carried out (0: any number). Then what is under way is drained."""
    carrier = _carrier_of(queue)
    watched.begin("ingestion" if queue == INGESTION else "worker")
    supply = Supply(get_broker(queue), most, stopping)
    supply.start()
    stopping.wait()
    supply.join()  # nothing more is taken from the queue that would find the carrier draining
    carrier.drain()
    watched.end()


def _carrier_of(queue: str) -> Carrier:
    """Started now: it looks for work of dead workers from its first moment, not from its first task."""
    if queue == INGESTION:
        from vector_stores.worker import of_this_process as ingestion

        return ingestion()
    from runs.engine import of_this_process as engine

    return engine()


class Supply(threading.Thread):
    """Takes one task after the other from the queue and carries it out."""

    def __init__(self, broker: Broker, most: int, stopping: threading.Event) -> None:
        super().__init__(name="supply", daemon=True)
        self._broker = broker
        self._most = most
        self._stopping = stopping

    def run(self) -> None:
        carried_out = 0
        while not self._stopping.is_set():
            try:
                taken = self._broker.dequeue()  # waits a second for one
            except Exception:
                logger.exception("No task could be taken from the queue; the next try will.")
                self._stopping.wait(AFTER_TROUBLE_SECONDS)
                continue
            for _, package in taken or ():
                carry_out(package)
                carried_out += 1
                if carried_out == self._most:
                    self._stopping.set()


def carry_out(package: bytes | str) -> None:
    """Calls what the task names. Whatever is wrong with it costs this task only."""
    try:
        task = _opened(package)
        _function(task["func"])(*task["args"], **task["kwargs"])
    except Exception:
        logger.exception("A task of the queue failed.")


def _opened(package: bytes | str) -> Any:
    """The task in it, if this server signed it with its present key or one of SECRET_KEY_FALLBACKS. Else BadSignature.

    django-q2's own `SignedPackage.loads` knows the present key only.
    """
    keys = [Conf.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    for number, key in enumerate(keys, start=1):
        try:
            return core_signing.loads(package, key=key, salt=Conf.PREFIX, serializer=PickleSerializer)
        except core_signing.BadSignature:
            if number == len(keys):
                raise
    raise AssertionError("unreachable")


@lru_cache(maxsize=64)
def _function(named: str | Callable[..., Any]) -> Callable[..., Any]:
    found = import_string(named) if isinstance(named, str) else named
    assert callable(found), named
    return found


# --- Several ----------------------------------------------------------------------------------------------------------


def keep(processes: int, queue: str, stopping: threading.Event) -> None:
    """Runs this command so many times more, each as one process of the queue, until `stopping` is set and all ended."""
    members = [Member(queue) for _ in range(processes)]
    while not stopping.is_set():
        for member in members:
            member.tend()
        stopping.wait(LOOK_SECONDS)
    for member in members:
        member.ask_to_stop()
    for member in members:
        member.wait()


class Member:
    """One of several processes. Who ended with 0, recycled, is replaced at once; who died, after a pause."""

    def __init__(self, queue: str) -> None:
        self._command = [sys.executable, "manage.py", "qcluster", "--name", queue]
        self._process: subprocess.Popen[bytes] | None = None
        self._pause = FIRST_PAUSE_SECONDS
        self._started_at = self._start_again_at = 0.0

    def tend(self) -> None:
        if self._process is not None and (code := self._process.poll()) is not None:
            self._process = None
            self._note_end(code)
        if self._process is None and time.monotonic() >= self._start_again_at:
            self._started_at = time.monotonic()
            # Of our group, so that whoever ends that ends it too.
            self._process = spawn(
                self._command,
                log=None,
                death_signal=signal.SIGTERM,
                environment=os.environ | {MEMBER: "1"},
                folder=settings.BASE_DIR,
                own_session=False,
            )

    def ask_to_stop(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def wait(self) -> None:
        if self._process is not None:
            self._process.wait()

    def _note_end(self, code: int) -> None:
        now = time.monotonic()
        if code == 0:
            self._start_again_at = now
            return
        if now - self._started_at > STEADY_SECONDS:
            self._pause = FIRST_PAUSE_SECONDS
        self._start_again_at = now + self._pause
        logger.error("A worker process died (%s); it starts again in %g s.", code, self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
