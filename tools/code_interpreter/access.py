"""The sandbox that a worker uses, and the database threads beside it."""

import asyncio
import contextlib
import time
import weakref
from collections.abc import Callable, Iterator

from django.conf import settings

from assistant_site.db.threads import OfEachLoop
from sandbox.protocol import Health, Sandbox

HEALTH_SECONDS = 2.0  # for which the answer that all is well holds
START_SECONDS = 10.0  # in which a daemon that was ended is there again
LOOK_SECONDS = 0.25
OFF = "off"

code_threads = OfEachLoop(lambda: 4)


def remote() -> Sandbox:
    """The one that the settings name."""
    from sandbox.client import RemoteSandbox

    made: Sandbox = RemoteSandbox(getattr(settings, "SANDBOX_URLS", []), getattr(settings, "SANDBOX_TOKEN", ""))
    return made


_make: Callable[[], Sandbox] = remote
_of_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Sandbox] = weakref.WeakKeyDictionary()
_healths: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[float, Health]] = weakref.WeakKeyDictionary()


def is_off() -> bool:
    return bool(getattr(settings, "CODE_INTERPRETER", "auto") == OFF)


def sandbox() -> Sandbox:
    """The running loop's: its connections belong to that loop."""
    loop = asyncio.get_running_loop()
    if loop not in _of_loops:
        _of_loops[loop] = _make()
    return _of_loops[loop]


async def health() -> Health:
    """The sandbox's health, of this moment or of shortly before."""
    loop = asyncio.get_running_loop()
    known = _healths.get(loop)
    holds = HEALTH_SECONDS if known is not None and known[1].is_available else LOOK_SECONDS
    if known is None or time.monotonic() - known[0] > holds:
        known = _healths[loop] = time.monotonic(), await sandbox().health()
    return known[1]


async def health_once_started() -> Health:
    """The same, but a daemon that does not answer gets the time to start again."""
    deadline = time.monotonic() + START_SECONDS
    while not (known := await health()).is_reached and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_SECONDS)
    return known


@contextlib.contextmanager
def using(other: Sandbox) -> Iterator[None]:
    """This sandbox instead, in every loop, such as a test's."""
    global _make
    before, _make = _make, lambda: other
    _of_loops.clear()
    _healths.clear()
    try:
        yield
    finally:
        _make = before
        _of_loops.clear()
