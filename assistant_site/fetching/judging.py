"""Which addresses may be asked, and the sentences for those that may not."""

import asyncio
import functools
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx2
from django.conf import settings

from assistant_site.addresses import AllowedHosts, is_of_this_machine, is_public, parsed

logger = logging.getLogger(__name__)

MEGABYTE = 1024 * 1024
RESOLVE_SECONDS = 10.0

# The Fetch standard's "bad ports": what listens there may take a request's body for its own commands.
# fmt: off
_OTHER_PROTOCOLS = frozenset((
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
    110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531,
    532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060,
    5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
))
# fmt: on

_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")  # a name, or an IPv6 address without a zone

Resolver = Callable[[str, int], Awaitable[list[str]]]

# Resolving blocks a thread, for long where a name server is silent; that must not take the threads of anything else.
_resolving = ThreadPoolExecutor(max_workers=256, thread_name_prefix="names")


class CannotFetch(httpx2.TransportError):
    """`message` is a sentence for whoever gave the address; it has nothing in it that they could not know.

    `was_sent`: whether some of a request may have reached a server. If not, it can be made again without harm.
    A transport's error, so that a foreign client over `GuardedTransport` takes it for what it is.
    """

    def __init__(self, message: str, *, was_sent: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.was_sent = was_sent


@dataclass(frozen=True)
class Bounds:
    """`max_bytes`: of an answer's decoded body. `ports`: the only ones, if given."""

    max_bytes: int
    allowed: AllowedHosts
    ports: Collection[int] | None

    @classmethod
    def of(cls, max_bytes: int, allowed_hosts: Iterable[str] | None, ports: Collection[int] | None) -> "Bounds":
        """`allowed_hosts` stands in for the setting."""
        entries = settings.FETCH_ALLOWED_HOSTS if allowed_hosts is None else allowed_hosts
        return cls(max_bytes, AllowedHosts.of(entries), ports)


async def resolved(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system finds them. Raises OSError if it has none."""
    look = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_resolving, look)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


def checked(address: str) -> httpx2.URL:
    """The address taken apart. What is judged here is what is connected to: nobody parses it a second time."""
    try:
        url = httpx2.URL(address)
    except (httpx2.InvalidURL, ValueError, TypeError):
        raise CannotFetch("The address is not a valid URL.") from None
    check(url)
    return url


def check(url: httpx2.URL) -> None:
    """Raises `CannotFetch` for what can be told without asking anybody."""
    if url.scheme not in ("http", "https") or not url.host:
        raise CannotFetch("Only addresses that begin with http:// or https:// can be fetched.")
    if url.userinfo:
        raise CannotFetch("An address with a user name or password in it is not fetched.")
    port = 80 if url.port is None else url.port
    if not _HOST.fullmatch(url.raw_host.decode("ascii").lower()) or not 1 <= port <= 65_535:
        raise CannotFetch("The address is not a valid URL.")


async def addresses_of(url: httpx2.URL, bounds: Bounds, resolve: Resolver) -> list[str]:
    """The host's addresses, if it may be asked at all of them; else raises `CannotFetch`."""
    host = url.raw_host.decode("ascii")
    port = url.port or (443 if url.scheme == "https" else 80)
    if bounds.ports is not None and port not in bounds.ports:
        raise CannotFetch(f"Port {port} of {name_of(url)} is not allowed.")
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            addresses = await resolve(host, port)
    except (OSError, UnicodeError):  # among them TimeoutError
        addresses = []
    if not addresses:
        raise CannotFetch(f"There is no host named {name_of(url)}.")
    for address in map(parsed, addresses):
        if bounds.allowed.have(host, address):
            continue
        if not is_public(address) or is_of_this_machine(address):
            logger.info(
                "%s was asked for and refused: its address is not public. If tenants shall reach it, name it in "
                "FETCH_ALLOWED_HOSTS, or in the tenant's own list in the admin.",
                name_of(url),
            )
            raise CannotFetch(f"The address of {name_of(url)} is not public.")
        if bounds.ports is None and port in _OTHER_PROTOCOLS:
            raise CannotFetch(f"Port {port} of {name_of(url)} is not allowed.")
    return addresses


def origin_of(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def name_of(url: httpx2.URL) -> str:
    """The host for a message."""
    return url.raw_host.decode("ascii")[:253]


def too_large(url: httpx2.URL, max_bytes: int) -> CannotFetch:
    size = f"{max_bytes // MEGABYTE} MB" if max_bytes >= MEGABYTE else f"{max_bytes} bytes"
    return CannotFetch(f"What {name_of(url)} sends is larger than {size}.", was_sent=True)
