"""Sessions that do what the code given to them says, in steps, and evaluate nothing; a daemon that starts them.

A step is a line: `print TEXT`, `wait SECONDS`, `image BYTES`, `die`, `die quietly`, `break`, `stubborn`.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.client import RemoteSandbox
from sandbox.configuration import Configuration
from sandbox.daemon import Daemon
from sandbox.protocol import (
    Done,
    Event,
    FileInfo,
    FileRefused,
    Health,
    Image,
    Limits,
    Reason,
    SessionGone,
    SessionKey,
    Stdout,
)
from sandbox.watchdog import Use

AVAILABLE = Health(True, tier="scripted")
KEY = SessionKey("tenant", "thread")


class ScriptedSession:
    numbers = itertools.count(1)

    def __init__(self, limits: Limits, slot: int, *, gently: bool) -> None:
        self.generation = f"g{next(self.numbers)}"
        self.limits = limits
        self.slot = slot
        self.is_warm = gently
        self.used = Use(1_000, 0, 0)
        self.is_alive = True
        self.is_closed = False
        self.is_read = False
        self.breaks_off = False
        self.ran: list[str] = []
        self.contents: dict[str, bytes] = {}
        self.running = 0
        self._interrupted = asyncio.Event()
        self._gone = asyncio.Event()

    async def execute(self, code: str, seconds: float) -> AsyncIterator[Event]:
        if not self.is_alive:
            raise SessionGone("Gone.")
        assert self.running == 0, "one at a time"
        self.running += 1
        self.ran.append(code)
        self._interrupted.clear()
        try:
            for step in code.splitlines():
                word, _, rest = step.partition(" ")
                match word:
                    case "print":
                        yield Stdout(rest)
                    case "image":
                        yield Image("image/png", b"\x89PNG\r\n\x1a\n" + bytes(int(rest)))
                    case "wait":
                        if await self._waited(float(rest)):
                            reason = Reason.DIED if self._gone.is_set() else Reason.INTERRUPTED
                            yield Done(False, reason, restarted=self._gone.is_set())
                            return
                    case "die":
                        self._die()
                        if not rest:
                            yield Done(False, Reason.MEMORY, restarted=True, message="Too much memory.")
                        return
                    case "break":
                        raise ValueError("broken")
            yield Done(True, Reason.COMPLETED)
        finally:
            self.running -= 1

    async def _waited(self, seconds: float) -> bool:
        """Whether it was cut short."""
        ends = [asyncio.create_task(each.wait()) for each in (self._interrupted, self._gone)]
        done, _ = await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in ends:
            task.cancel()
        return bool(done)

    async def put(self, name: str, pieces: AsyncIterator[bytes], tag: str = "") -> None:
        self.contents[name] = b"".join([piece async for piece in pieces])

    async def files(self) -> list[FileInfo]:
        return [FileInfo(name, len(content), 1) for name, content in self.contents.items()]

    async def read(self, name: str, most: int) -> AsyncIterator[bytes]:
        if name not in self.contents or len(self.contents[name]) > most:
            raise FileRefused(f"'{name}' cannot be read.")
        content, self.is_read = self.contents[name], False
        for at in range(0, len(content), 100_000):
            yield content[at : at + 100_000]
            if self.breaks_off:
                raise SessionGone("Gone.")
        self.is_read = True

    async def interrupt(self) -> None:
        self._interrupted.set()

    def _die(self) -> None:
        self.is_alive = False
        self._gone.set()

    async def close(self) -> None:
        self._die()
        await asyncio.sleep(0.01)
        self.is_closed = True


@dataclass
class Script:
    """Starts scripted sessions, and remembers them all."""

    started: list[ScriptedSession] = field(default_factory=list)
    seconds: float = 0.0
    problem: Exception | None = None
    starting: int = 0
    most_starting: int = 0

    async def __call__(self, limits: Limits, slot: int, *, gently: bool) -> ScriptedSession:
        self.starting += 1
        self.most_starting = max(self.most_starting, self.starting)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.starting -= 1
        if self.problem is not None:
            raise self.problem
        made = ScriptedSession(limits, slot, gently=gently)
        self.started.append(made)
        return made

    def of(self, generation: str) -> ScriptedSession:
        """The session of a generation as the client has it."""
        return next(each for each in self.started if each.generation == generation.partition(".")[2])


async def well(environment: Path) -> Health:
    return AVAILABLE


@asynccontextmanager
async def serving(
    socket: Path,
    script: Script | None = None,
    *,
    prepare: Callable[[Path], Awaitable[None]] | None = None,
    examine: Callable[[Path], Awaitable[Health]] = well,
    fresh_seconds: float = 0.0,
    quick: bool = True,
    **settings: object,
) -> AsyncIterator[tuple[Daemon, RemoteSandbox]]:
    """A daemon on this socket, and a client of it. `quick`: it is available already."""
    chosen = {"pool": 0, "sessions": 4, "room_seconds": 0.5} | settings
    configuration = Configuration(environment=socket.parent, socket=socket, **chosen)  # type: ignore[arg-type]
    daemon = Daemon(configuration, script or Script(), prepare, examine, fresh_seconds=fresh_seconds)
    client = RemoteSandbox([f"unix://{socket}"])
    async with daemon.serving():
        if quick:
            await until(lambda: daemon.readiness.health.is_available)
        try:
            yield daemon, client
        finally:
            await client.disconnect()


async def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 what a test waits for has no event
            await asyncio.sleep(0.01)


async def until_told(ask: Callable[[], Awaitable[object]], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not await ask():  # noqa: ASYNC110 as above
            await asyncio.sleep(0.1)


async def one_piece(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def collected(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]
