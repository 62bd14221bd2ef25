"""Management commands used alone (`manage.py migrate`, `createsuperuser` …) find the embedded servers running."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence

# What needs no database, brings its own servers, or looks whether they run. Any other command, also one
# that we do not know, gets them.
WITHOUT_SERVERS = frozenset(
    {"check", "collectstatic", "compilemessages", "diffsettings", "findstatic", "help", "makemessages"}
    | {"doctor", "makemigrations", "spectacular", "startapp", "startproject", "test", "testserver", "up", "version"}
)

# Set by `manage.py up` for its children: the servers run, and are its business alone.
CHILD_OF_UP = "HOLDFAST_CHILD_OF_UP"
ENDING_SECONDS = 5


def needs_servers(arguments: Sequence[str]) -> bool:
    """Whether this command line (program name first) uses PostgreSQL or Valkey."""
    if len(arguments) < 2 or arguments[1].startswith("-") or {"--help", "-h", "--version"} & set(arguments[2:]):
        return False
    return arguments[1] not in WITHOUT_SERVERS


@contextlib.contextmanager
def servers_for(arguments: Sequence[str]) -> Iterator[None]:
    """The embedded servers run while the command does; those that run already (`manage.py up`) are shared.

    Ends the process with a sentence and exit code 1 when they cannot be started.
    """
    if os.environ.get(CHILD_OF_UP):
        _end_with(os.getppid())
        yield
        return
    if not needs_servers(arguments):
        yield
        return
    from assistant_site.embedded.process import CannotStart
    from assistant_site.embedded.services import Services, Tender

    services = Services.from_settings()
    if not services.servers:
        yield
        return
    tender = Tender(services)
    try:
        services.start()
    except CannotStart as problem:
        sys.exit(f"Holdfast cannot start: {problem}")
    tender.start()
    try:
        yield
    finally:
        tender.stop()
        services.stop()


def _end_with(parent: int) -> None:
    """Make sure that nothing of this process's group outlives its parent for long.

    A parent that is killed takes PostgreSQL and Valkey with it; a worker that wants to hand its runs back before it
    ends might then try for ever.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        time.sleep(ENDING_SECONDS)
        os.killpg(0, signal.SIGKILL)

    if os.getpgrp() == os.getpid():  # a group of our own, as `up` makes it
        threading.Thread(target=watch, name="parent", daemon=True).start()
