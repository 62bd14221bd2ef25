"""The sandbox that a worker uses, and the database threads beside it."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

from django.conf import settings

from assistant_site.db.threads import OfEachLoop
from sandbox.client import RemoteSandbox
from sandbox.protocol import Health, Sandbox

HEALTH_SECONDS = 2.0  # for which the answer that all is well holds
START_SECONDS = 10.0  # in which a daemon that was ended is there again
LOOK_SECONDS = 0.25
OFF = "off"

code_threads = OfEachLoop(lambda: 4)


_sandbox: Sandbox | None = None
_health: tuple[float, Health] | None = None


def is_off() -> bool:
    return bool(settings.CODE_INTERPRETER == OFF)


def sandbox() -> Sandbox:
    """The one that the settings name, for any event loop."""
    global _sandbox
    if _sandbox is None:
        _sandbox = RemoteSandbox(settings.SANDBOX_URLS, settings.SANDBOX_TOKEN)
    return _sandbox


async def health() -> Health:
    """The sandbox's health, of this moment or of shortly before."""
    global _health
    known = _health
    holds = HEALTH_SECONDS if known is not None and known[1].is_available else LOOK_SECONDS
    if known is None or time.monotonic() - known[0] > holds:
        known = _health = time.monotonic(), await sandbox().health()
    return known[1]


async def health_once_started() -> Health:
    """The same, but a daemon that does not answer gets the time to start again."""
    deadline = time.monotonic() + START_SECONDS
    known = await health()
    while not known.is_reached and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_SECONDS)
        known = await health()
    return known


async def disconnect() -> None:
    """Closes the running loop's connections, at its end."""
    if isinstance(_sandbox, RemoteSandbox):
        await _sandbox.disconnect()


@contextlib.contextmanager
def using(other: Sandbox) -> Iterator[None]:
    """This sandbox instead, such as a test's."""
    global _sandbox, _health
    before, _sandbox, _health = _sandbox, other, None
    try:
        yield
    finally:
        _sandbox, _health = before, None
