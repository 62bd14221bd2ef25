"""sandboxd: `python -m sandbox.daemon` serves the sessions of the code interpreter until SIGTERM or SIGINT.

Its settings are in `sandbox.configuration`. It knows no database, no secret of Holdfast's and no model.
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from sandbox import cgroups, doctor, environment, launch, lines
from sandbox.configuration import Configuration, WrongSetting
from sandbox.pool import FRESH_SECONDS, Bounds, Pool, Starter
from sandbox.protocol import Health, Limits
from sandbox.readiness import Examine, Prepare, Readiness
from sandbox.service import Service
from sandbox.session import Session

logger = logging.getLogger("sandboxd")

BACKLOG = 1_024
END_SECONDS = 3.0  # for answers that are on their way
LINGER_SECONDS = 3.0  # for the rest of a body that was refused, so that the refusal is read


class Daemon:
    """The parts together: what starts sessions, what prepares and examines, is given."""

    def __init__(
        self,
        configuration: Configuration,
        start: Starter,
        prepare: Prepare | None,
        examine: Examine,
        fresh_seconds: float = FRESH_SECONDS,
    ) -> None:
        self.configuration = configuration
        self.readiness = Readiness(configuration.environment, prepare, examine)
        bounds = Bounds(
            limits=configuration.limits,
            pool=configuration.pool,
            sessions=configuration.sessions,
            idle_seconds=configuration.idle_seconds,
            age_seconds=configuration.age_seconds,
            unattended_seconds=configuration.unattended_seconds,
            room_seconds=configuration.room_seconds,
            fresh_seconds=fresh_seconds,
        )
        self.pool = Pool(start, bounds, self.readiness.doubt)
        self.service = Service(self.pool, self.readiness)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve from the first moment on; sessions are started once they can be. At the end nothing is left."""
        async with contextlib.AsyncExitStack() as stack:
            if path := self.configuration.socket:
                listener = _unix_listener(path, self.configuration.socket_mode)
                stack.callback(_remove, path, os.stat(path).st_ino)
                await self._serve(stack, listener)
            if self.configuration.listen is not None:
                tokens = (self.configuration.token, *self.configuration.token_fallbacks)
                await self._serve(stack, _tcp_listener(self.configuration.listen), tokens)
            self.readiness.begin()
            stack.push_async_callback(self.readiness.close)
            stack.push_async_callback(self.pool.close)  # runs first: what is answered then ends by itself
            beginning = asyncio.create_task(self._begin())
            stack.callback(beginning.cancel)
            yield

    async def _begin(self) -> None:
        await self.readiness.became_available.wait()
        self.pool.begin()

    async def _serve(
        self, stack: contextlib.AsyncExitStack, listener: socket.socket, tokens: tuple[str, ...] = ()
    ) -> None:
        runner = web.AppRunner(
            self.service.application(tokens),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=END_SECONDS,
            lingering_time=LINGER_SECONDS,
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.SockSite(runner, listener, backlog=BACKLOG).start()


def _unix_listener(path: Path, mode: int) -> socket.socket:
    """A socket that nobody else can open before it has its mode; raises WrongSetting if one is served there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            pass
        except OSError as error:
            raise WrongSetting(f"SANDBOX_SOCKET {path} cannot be used: {error.strerror}.") from None
        else:
            raise WrongSetting(f"another sandboxd is serving on {path}.")
    listener = socket.socket(socket.AF_UNIX)
    umask = os.umask(0o177)
    try:
        if path.is_socket():
            path.unlink()
        listener.bind(str(path))
        path.chmod(mode)
    except OSError as error:
        listener.close()
        raise WrongSetting(f"SANDBOX_SOCKET {path} cannot be used: {error.strerror}.") from None
    finally:
        os.umask(umask)
    return listener


def _tcp_listener(address: tuple[str, int]) -> socket.socket:
    try:
        family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server(address, family=family)
    except OSError as error:
        reason = "it is in use" if error.errno == errno.EADDRINUSE else error.strerror
        raise WrongSetting(f"SANDBOX_LISTEN {address[0]}:{address[1]} cannot be used: {reason}.") from None


def _remove(path: Path, inode: int) -> None:
    """Take our socket away, not that of another daemon that has put its own there meanwhile."""
    with contextlib.suppress(OSError):
        if os.stat(path).st_ino == inode:
            path.unlink()


async def serve(daemon: Daemon) -> None:
    """Until SIGTERM or SIGINT; a second one ends at once."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    async with daemon.serving():
        where = [str(each) for each in (daemon.configuration.socket, daemon.configuration.listen) if each]
        logger.info("Serving on %s; at most %d sessions.", ", ".join(where), daemon.configuration.sessions)
        await asked.wait()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    logger.info("Ended.")


async def built(directory: Path) -> None:
    """The environment, built if it is missing and there is something to run it with."""
    doctor.bubblewrap()
    await environment.ensure(directory)


def main() -> None:
    lines.write_to_stderr(os.environ)
    configuration = Configuration.from_environment()
    for name in [name for name in os.environ if name.startswith("SANDBOX_")]:
        del os.environ[name]  # nothing that is started later needs them, least of all the token
    launches = Launches()
    prepare = built if configuration.builds else None
    try:
        asyncio.run(serve(Daemon(configuration, launches, prepare, launches.examine)))
    finally:
        launch.shared().remove()


class Launches:
    """Starts real sessions, in the way that the last examination found to work."""

    def __init__(self) -> None:
        self._launcher: launch.Launcher | None = None
        self._cgroups = cgroups.find()
        # Many at once would all be slow, until the first of them are given up.
        self._starting = asyncio.Semaphore(1 + (os.cpu_count() or 1))

    async def examine(self, folder: Path) -> Health:
        health, launcher = await doctor.launcher_for(folder)
        if launcher is None:
            self._launcher = None
            return health
        self._launcher = replace(launcher, cgroups=self._cgroups)
        if self._cgroups is not None:
            return replace(health, tier=f"{health.tier}, cgroups")
        return replace(health, notes=(*health.notes, cgroups.NONE))

    async def __call__(self, limits: Limits, slot: int, *, gently: bool) -> Session:
        """Raises CannotLaunch."""
        if self._launcher is None:
            raise launch.CannotLaunch("no way to start one has been found.")
        async with self._starting:
            return await Session.start(self._launcher, limits, slot, preload=gently)


if __name__ == "__main__":
    main()
