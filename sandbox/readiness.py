"""Whether the daemon can run code: its Python is prepared, then the launch is examined, and again while it is off."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from sandbox.protocol import Health, SandboxUnavailable

logger = logging.getLogger(__name__)

PREPARING = Health(
    is_available=False,
    is_preparing=True,
    reason="The code interpreter is being prepared: its Python packages are being installed.",
)
EXAMINING = replace(PREPARING, reason="The code interpreter is starting: the walls around it are being tried.")
EXAMINED_SECONDS = 30.0  # between two looks while it is off
PREPARED_SECONDS = 300.0  # between two attempts to install

Prepare = Callable[[Path], Awaitable[None]]
Examine = Callable[[Path], Awaitable[Health]]


class Readiness:
    """The daemon's `health`, kept up to date; `became_available` is set once code can be run."""

    def __init__(
        self,
        environment: Path,
        prepare: Prepare | None,
        examine: Examine,
        pause: float = EXAMINED_SECONDS,
        prepare_pause: float = PREPARED_SECONDS,
    ) -> None:
        self.health = PREPARING if prepare is not None else EXAMINING
        self.became_available = asyncio.Event()
        self._environment = environment
        self._prepare = prepare
        self._examine = examine
        self._pause = pause
        self._prepare_pause = prepare_pause
        self._doubted = asyncio.Event()
        self._doubted_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def check(self) -> None:
        """Raises SandboxUnavailable with reason and remedy while no code can be run."""
        if not self.health.is_available:
            raise SandboxUnavailable(self.health.sentence)

    def doubt(self) -> None:
        """A session could not be started: have a look whether any can."""
        if time.monotonic() - self._doubted_at >= self._pause:
            self._doubted_at = time.monotonic()
            self._doubted.set()

    def begin(self) -> None:
        self._task = asyncio.create_task(self._keep_looking())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _keep_looking(self) -> None:
        is_prepared = False
        while True:
            is_prepared = is_prepared or await self._prepared()
            if not is_prepared:
                await asyncio.sleep(self._prepare_pause)
                continue
            self._doubted.clear()
            if self.health is PREPARING:
                self.health = EXAMINING
            self._tell(await self._examined())
            if self.health.is_available:
                await self._doubted.wait()
            else:
                await asyncio.sleep(self._pause)

    async def _prepared(self) -> bool:
        if self._prepare is None:
            return True
        try:
            await self._prepare(self._environment)
        except Exception as problem:
            self._tell(Health(False, reason=str(problem) or "The sandbox's Python cannot be built."))
            return False
        return True

    async def _examined(self) -> Health:
        try:
            return await self._examine(self._environment)
        except Exception as problem:
            logger.exception("The examination of the sandbox failed.")
            return Health(False, reason=f"The examination of the sandbox failed: {problem}.")

    def _tell(self, health: Health) -> None:
        """Take note; one line in the log for each change of state."""
        before, self.health = self.health, health
        if health.is_available:
            self.became_available.set()
        if (before.is_available, before.sentence) == (health.is_available, health.sentence):
            return
        if health.is_available:
            weaker = " ".join(("", *health.notes))
            logger.info("The code interpreter is available: %s.%s", health.tier or "sandbox", weaker)
        else:
            logger.warning("The code interpreter is off: %s", health.sentence)
