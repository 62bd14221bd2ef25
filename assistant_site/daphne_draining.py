"""daphne that is told to stop: it takes no new connection, and answers under way may come to their end.

By itself it ends every request at once, and its clients see a connection that breaks.
"""

import asyncio
import time
from typing import Any

from daphne.http_protocol import WebRequest
from daphne.server import Server
from django.conf import settings
from twisted.internet.defer import Deferred

_LOOK_SECONDS = 0.05


class DrainingServer(Server):  # type: ignore[misc]
    """Waits `WEB_DRAIN_SECONDS` for requests; sockets, which may stay open for ever, are not waited for."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._ports: list[Any] = []

    def listen_success(self, port: Any) -> None:
        self._ports.append(port)
        super().listen_success(port)

    def kill_all_applications(self) -> Deferred[Any]:
        """What Twisted waits for when it was told to stop, while everything still runs."""
        return Deferred.fromFuture(asyncio.ensure_future(self._drain()))

    async def _drain(self) -> None:
        for port in self._ports:
            port.stopListening()
        deadline = time.monotonic() + settings.WEB_DRAIN_SECONDS
        while self._answering() and time.monotonic() < deadline:  # noqa: ASYNC110 daphne tells nobody
            await asyncio.sleep(_LOOK_SECONDS)
        left = [task for details in self.connections.values() if (task := details.get("application_instance"))]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _answering(self) -> bool:
        return any(
            isinstance(protocol, WebRequest) and not details["application_instance"].done()
            for protocol, details in self.connections.items()
            if "application_instance" in details
        )
