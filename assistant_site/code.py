"""Whether a model's code can be run here now, as /readyz, the page at /, the admin and the first screen tell it."""

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Literal

from django.conf import settings

log = logging.getLogger(__name__)

FRESH_SECONDS = 3.0  # for which an answer is not asked for again
OLD_SECONDS = 60.0  # after which an answer is worth nothing
PATIENCE_SECONDS = 0.5  # that a page waits for a new one


@dataclass(frozen=True)
class State:
    """`sentence`: why not, and what to do; empty when code can be run, or when it is switched off."""

    word: Literal["available", "preparing", "off"]
    sentence: str = ""
    tier: str = ""  # how strong the sandbox is, and what is weaker in it than it could be
    notes: tuple[str, ...] = ()
    sessions: int = 0  # that threads have now

    def __str__(self) -> str:
        return f"{self.word}: {self.sentence}" if self.sentence else self.word


UNKNOWN = State("off", "The sandbox does not answer.")


async def ask() -> State:
    """What the sandboxes say of themselves now."""
    from sandbox.client import RemoteSandbox

    sandbox = RemoteSandbox(settings.SANDBOX_URLS, settings.SANDBOX_TOKEN)
    try:
        health = await sandbox.health()
    finally:
        await sandbox.disconnect()
    if health.is_available:
        return State("available", tier=health.tier, notes=health.notes, sessions=health.sessions)
    return State("preparing" if health.is_preparing else "off", _without_its_word(health.sentence))


def _without_its_word(sentence: str) -> str:
    """The sentence as it stands beside the word: `code_interpreter is off: x is missing.` becomes `X is missing.`"""
    plain = re.sub(r"^(code_interpreter|The code interpreter) is (off|being prepared): ", "", sentence)
    return plain[:1].upper() + plain[1:]


class Watch:
    """The sandbox's state as last told. Asking for it never takes a caller longer than `PATIENCE_SECONDS`."""

    def __init__(self, ask: Callable[[], Coroutine[None, None, State]]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._asking: threading.Thread | None = None
        self._told = UNKNOWN
        self._told_at = float("-inf")

    def state(self) -> State:
        if settings.CODE_INTERPRETER == "off":
            return State("off")
        with self._lock:
            if time.monotonic() - self._told_at < FRESH_SECONDS:
                return self._told
            if self._asking is None:
                self._asking = threading.Thread(target=self._renew, name="health of the sandbox", daemon=True)
                self._asking.start()
            asking = self._asking
        asking.join(PATIENCE_SECONDS)
        with self._lock:
            return self._told if time.monotonic() - self._told_at < OLD_SECONDS else UNKNOWN

    def _renew(self) -> None:
        told = UNKNOWN
        try:
            told = asyncio.run(self._ask())
        except Exception:  # no page is to fail of it
            log.exception("The sandbox's health could not be asked for")
        with self._lock:
            self._told, self._told_at, self._asking = told, time.monotonic(), None


_watch = Watch(ask)


def state() -> State:
    """Never raises, and never waits for long."""
    return _watch.state()
