"""`manage.py up`: everything Holdfast needs, started in order, kept running, and ended in the opposite order."""

import os
import secrets
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from django.conf import settings

from assistant_site.embedded import address, screen
from assistant_site.embedded.children import Child
from assistant_site.embedded.leftovers import Leftovers
from assistant_site.embedded.nursery import Nursery
from assistant_site.embedded.process import CannotStart, Claim, tail
from assistant_site.embedded.server import make_socket_folder
from assistant_site.embedded.services import TEND_SECONDS, Services
from sandbox.environment import kept

READY_SECONDS = 120
QUIET_SECONDS = 15  # after which waiting says what it waits for
# What a process may take to end beyond the time for which it was told to drain.
WEB_STOP_SECONDS = 3
WORKER_STOP_SECONDS = 25
SANDBOX_STOP_SECONDS = 8
SANDBOX_START_SECONDS = 3  # which the first screen waits for it
HOPELESS_DEATHS = 3  # of one process before the first "ready"


SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(BaseException):
    """SIGTERM, SIGHUP or Ctrl-C: end everything. Not an Exception, so that nothing on the way swallows it."""


def run(say: Callable[[str], None]) -> None:
    """Run Holdfast until it is told to stop. `say` shows a line to the operator. Raises CannotStart."""
    for number in SIGNALS:
        signal.signal(number, _stop)
    claim = Claim(settings.VAR_DIR / "up.lock")
    try:
        settings.VAR_DIR.mkdir(parents=True, exist_ok=True)
        if not claim.take():
            raise CannotStart(f"it is already running in this folder, as process {claim.holder()}.")
        (settings.VAR_DIR / "log").mkdir(exist_ok=True)
        Supervisor(say).run()
    except OSError as error:
        raise CannotStart(f"{error.strerror or error} ({error.filename}).") from None
    except Stopped:
        say("Holdfast has ended.")
    finally:
        claim.release()


class Supervisor:
    """One run of `manage.py up`, from start to end."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._services = Services.from_settings()
        self._leftovers = Leftovers(settings.VAR_DIR / "up.children.json")
        logs = settings.VAR_DIR / "log"
        web = [sys.executable, "manage.py", "serve"]
        worker = [sys.executable, "manage.py", "qcluster"]
        self._playground_key = settings.PLAYGROUND_KEY or secrets.token_urlsafe(24)
        self._nursery = Nursery(settings.BASE_DIR, {"PLAYGROUND_KEY": self._playground_key})
        self._children = [
            Child(
                "web",
                web,
                folder=settings.BASE_DIR,
                log=logs / "web.log",
                stop_seconds=settings.WEB_DRAIN_SECONDS + WEB_STOP_SECONDS,
                say=say,
                environment={"PLAYGROUND_KEY": self._playground_key},
                nursery=self._nursery,
            ),
            Child(
                "worker",
                worker,
                folder=settings.BASE_DIR,
                log=logs / "worker.log",
                stop_seconds=settings.WORKER_DRAIN_SECONDS + WORKER_STOP_SECONDS,
                say=say,
                nursery=self._nursery,
                is_recycled=True,
            ),
            Child(
                "ingestion",
                [*worker, "--name", "ingestion"],
                folder=settings.BASE_DIR,
                log=logs / "ingestion.log",
                stop_seconds=settings.WORKER_DRAIN_SECONDS + WORKER_STOP_SECONDS,
                say=say,
                nursery=self._nursery,
            ),
        ]
        if settings.EMBEDDED_SANDBOX:
            self._children.append(
                Child(
                    "sandbox",
                    [sys.executable, "-m", "sandbox.daemon"],
                    folder=settings.BASE_DIR,
                    log=logs / "sandbox.log",
                    stop_seconds=SANDBOX_STOP_SECONDS,
                    say=say,
                    environment=sandbox_environment(),
                    knows_ours=False,
                    is_vital=False,
                )
            )

    def run(self) -> None:
        """Start, show the screen, tend until stopped; whatever happens, end what was started."""
        try:
            self._leftovers.end()
            address.check_free(settings.HOST, settings.PORT)
            self._nursery.start()
            self._services.start()
            is_migrated, made = self._nursery.prepare()
            if is_migrated:
                self._say("The database is up to date.")
            if settings.EMBEDDED_SANDBOX:
                make_socket_folder(settings.SANDBOX_SOCKET.parent)
            for child in self._children:
                child.start()
            self._note_children()
            if settings.EMBEDDED_SANDBOX:
                self._wait_for_sandbox()
            self._wait_ready()
            code = address.code_interpreter(settings.HOST, settings.PORT)
            self._say(screen.welcome(made, self._playground_key, code))
            while True:
                time.sleep(TEND_SECONDS)
                self._tend()
        finally:
            _ignore_signals()
            self._stop()

    def _wait_for_sandbox(self) -> None:
        """So that the first screen tells what it says of itself; nothing else waits for it."""
        deadline = time.monotonic() + SANDBOX_START_SECONDS
        while not address.listens(settings.SANDBOX_SOCKET) and time.monotonic() < deadline:
            time.sleep(0.05)
            self._tend()

    def _wait_ready(self) -> None:
        started = time.monotonic()
        told = ""
        while missing := address.not_ready(settings.HOST, settings.PORT):
            waited = time.monotonic() - started
            if waited > READY_SECONDS:
                raise CannotStart(f"it is not ready after {READY_SECONDS} seconds: {missing}.")
            if waited > QUIET_SECONDS and missing != told:
                self._say(f"Waiting: {missing}.")
                told = missing
            time.sleep(0.05)
            self._tend()
            for child in self._children:
                if child.is_vital and child.deaths >= HOPELESS_DEATHS:
                    raise CannotStart(
                        f"the {child.name} process keeps ending. The end of {child.log.file}:\n{tail(child.log.file)}"
                    )

    def _tend(self) -> None:
        try:
            for title in self._services.tend():
                self._say(f"{title} was gone and has been started again.")
        except CannotStart as problem:
            self._say(f"{problem} Trying again.")
        changed = False
        for child in self._children:
            changed |= child.tend()
            for line in child.log.news():
                self._say(f"{child.name:>9} | {line}")
        if changed:
            self._note_children()

    def _note_children(self) -> None:
        self._leftovers.note(child.pid for child in self._children if child.pid)

    def _stop(self) -> None:
        if any(child.pid for child in self._children):
            self._say("Stopping: runs under way are finished or handed back.")
        started = time.monotonic()
        for child in self._children:
            child.ask_to_stop()
        for child in self._children:
            child.wait_stopped(started + child.stop_seconds)
        self._nursery.stop()
        self._services.stop()
        self._leftovers.forget()


def sandbox_environment() -> dict[str, str]:
    """All that the sandbox's daemon knows: how it is to work, and none of our secrets."""
    told = {
        "SANDBOX_SOCKET": str(settings.SANDBOX_SOCKET),
        "SANDBOX_ENVIRONMENT": str(settings.SANDBOX_DIR),
        "SANDBOX_BUILD": "1",
        "SANDBOX_POOL": str(settings.SANDBOX_POOL),
        "SANDBOX_IDLE_SECONDS": str(settings.SANDBOX_IDLE_MINUTES * 60),
        "SANDBOX_AGE_SECONDS": str(settings.SANDBOX_AGE_MINUTES * 60),
        "SANDBOX_MEMORY_MB": str(settings.CODE_MEMORY_MB),
        "SANDBOX_DATA_MB": str(settings.CODE_DATA_MB),
        "SANDBOX_SECONDS": str(settings.CODE_SECONDS),
        "LOG_FORMAT": settings.LOG_FORMAT,
    }
    if settings.SANDBOX_SESSIONS:
        told["SANDBOX_SESSIONS"] = str(settings.SANDBOX_SESSIONS)
    return kept(os.environ) | told


def _stop(number: int, frame: FrameType | None) -> None:
    _ignore_signals()  # a second one, such as Ctrl-C and then make's SIGTERM, must not interrupt the ending
    raise Stopped


def _ignore_signals() -> None:
    # Not SIG_IGN: for a signal that came meanwhile Python would raise an OSError ("race condition").
    for number in SIGNALS:
        signal.signal(number, lambda number, frame: None)
