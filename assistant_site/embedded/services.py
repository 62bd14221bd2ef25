"""The embedded servers that these settings ask for, started and ended together."""

import threading
from pathlib import Path

from assistant_site.embedded.postgres import Postgres
from assistant_site.embedded.process import CannotStart
from assistant_site.embedded.server import Server
from assistant_site.embedded.valkey import Valkey

TEND_SECONDS = 0.5


class Services:
    """A group of embedded servers. Those that another process of this folder runs already are shared with it."""

    def __init__(self, servers: list[Server]) -> None:
        self.servers = servers

    @classmethod
    def of(
        cls,
        *,
        var: Path,
        sockets: Path,
        password: str,
        database: bool,
        valkey: bool,
        options: dict[str, str] | None = None,
    ) -> "Services":
        """`database`, `valkey`: whether that one is embedded; `options`: PostgreSQL settings for this start."""
        servers: list[Server] = []
        if valkey:
            servers.append(Valkey(var, sockets))
        if database:
            servers.append(Postgres(var, sockets, password=password, options=options))
        return cls(servers)

    @classmethod
    def from_settings(cls) -> "Services":
        from django.conf import settings

        return cls.of(
            var=settings.VAR_DIR,
            sockets=settings.EMBEDDED_SOCKET_DIR,
            password=settings.EMBEDDED_DATABASE_PASSWORD,
            database=settings.EMBEDDED_DATABASE,
            valkey=settings.EMBEDDED_VALKEY,
        )

    def start(self) -> None:
        """Start what does not run yet; returns when all answer. Raises CannotStart; then nothing of ours is left."""
        try:
            for server in self.servers:
                server.begin()
            for server in self.servers:
                server.wait()
        except BaseException:
            self.stop()
            raise

    def tend(self) -> list[str]:
        """Start again what is gone; the titles of those. Raises CannotStart."""
        return [server.title for server in self.servers if server.tend()]

    def stop(self) -> None:
        """End what is ours: Valkey, then PostgreSQL."""
        for server in self.servers:
            server.stop()


class Tender:
    """Tends services from a thread while this process does something else (a management command).

    The process that ran the servers for us may end first; then it falls to us.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="embedded servers", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(TEND_SECONDS):
            try:
                self._services.tend()
            except CannotStart:
                continue  # the command meets the error itself
