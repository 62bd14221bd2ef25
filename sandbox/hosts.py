"""The daemons a client may use: which of them are well, and which of them a session belongs to."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from sandbox.protocol import Health, SessionKey

HEALTH_SECONDS = 2.0  # so long an answer is believed


@dataclass(frozen=True)
class Host:
    """A daemon's address. `mark` stands in front of the generations of its sessions, so that they are found again."""

    url: str  # http://… as requests name it; for a unix socket a made-up host
    mark: str
    socket: str | None = None

    @classmethod
    def of(cls, url: str) -> "Host":
        """Of `unix:///path` or `http(s)://host:port`; raises ValueError with a sentence."""
        mark = hashlib.sha256(url.encode()).hexdigest()[:8]
        parts = urlsplit(url)
        if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
            return cls(f"http://sandbox-{mark}", mark, parts.path)
        if parts.scheme in ("http", "https") and parts.hostname:
            return cls(url.rstrip("/"), mark)
        raise ValueError(
            f"{url!r} is no address of a sandbox: it must be unix:///path/of/socket, http://… or https://…"
        )


class Hosts:
    """Each host's health, asked at most every two seconds."""

    def __init__(self, hosts: list[Host], ask: Callable[[Host], Awaitable[Health]]) -> None:
        self.all = hosts
        self._ask = ask
        self._known: dict[Host, tuple[float, Health]] = {}

    async def health_of(self, host: Host) -> Health:
        known = self._known.get(host)
        if known is None or time.monotonic() - known[0] >= HEALTH_SECONDS:
            known = self._known[host] = (time.monotonic(), await self._ask(host))
        return known[1]

    def failed(self, host: Host, health: Health) -> None:
        """A request did not get through: the host is left out until it is asked again."""
        self._known[host] = (time.monotonic(), health)

    async def candidates(self, key: SessionKey) -> list[Host]:
        """Those that are well, the one that the session belongs to first."""
        ranked = sorted(self.all, key=lambda host: _weight(host, key), reverse=True)
        if len(ranked) == 1:
            return ranked  # it says by itself what is wrong
        told = await asyncio.gather(*(self.health_of(host) for host in ranked))
        return [host for host, health in zip(ranked, told, strict=True) if health.is_available]

    def of_generation(self, generation: str) -> tuple[Host | None, str]:
        """The host that made it, and how the host calls it; None: it is not of ours."""
        mark, _, own = generation.partition(".")
        return next((host for host in self.all if host.mark == mark), None), own

    @staticmethod
    def marked(host: Host, generation: str) -> str:
        """A generation as callers get it."""
        return f"{host.mark}.{generation}"

    async def together(self) -> Health:
        """One health for all: available if any of them is."""
        told = await asyncio.gather(*(self.health_of(host) for host in self.all))
        best = next((health for health in told if health.is_available), None)
        if best is None:
            return next((health for health in told if health.is_preparing), told[0])
        off = sum(not health.is_available for health in told)
        notes = (*best.notes, f"{off} of {len(told)} sandbox hosts are off.") if off else best.notes
        return replace(best, notes=notes, sessions=sum(health.sessions for health in told if health.is_available))


def _weight(host: Host, key: SessionKey) -> bytes:
    """Rendezvous hashing: a host that comes or goes moves only its own share of the sessions."""
    return hashlib.sha256(f"{host.mark}\0{key.tenant_id}\0{key.thread_id}".encode()).digest()
