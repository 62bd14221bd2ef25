"""The one client that asks an address on somebody else's behalf, and cannot be turned against our own network.

The host's name is resolved once, every address it has is judged, and the connection goes to a judged one: a name that
changes its answer between the look and the connection gains nothing. TLS is verified against the name all the same.
Redirects are followed by hand and judged like the first address. Size and time are bounded as a whole.

What is not public is refused, unless `settings.FETCH_ALLOWED_HOSTS` names it, or what the caller gives in its place
(`tenants.reach`). Proxies of the environment are not used: they would resolve names themselves.

`judging` decides, `transport` sends and is what foreign clients are given, `bodies` unpacks, `client` follows.
"""

import asyncio
import weakref
from collections.abc import Collection, Iterable, Mapping

from assistant_site.fetching.client import Answer, Fetched, GuardedClient
from assistant_site.fetching.judging import CannotFetch, Resolver, resolved
from assistant_site.fetching.transport import GuardedTransport

__all__ = [
    "Answer",
    "CannotFetch",
    "Fetched",
    "GuardedClient",
    "GuardedTransport",
    "Resolver",
    "fetch",
    "request",
    "resolved",
]

_clients: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, GuardedClient]" = weakref.WeakKeyDictionary()


async def fetch(
    url: str,
    *,
    max_bytes: int,
    seconds: float,
    headers: Mapping[str, str] | None = None,
    allowed_hosts: Iterable[str] | None = None,
    ports: Collection[int] | None = None,
) -> Fetched:
    """`GuardedClient.fetch` of the running loop's client."""
    return await _client().fetch(
        url, max_bytes=max_bytes, seconds=seconds, headers=headers, allowed_hosts=allowed_hosts, ports=ports
    )


async def request(
    method: str,
    url: str,
    *,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    max_bytes: int,
    seconds: float,
    allowed_hosts: Iterable[str] | None = None,
    ports: Collection[int] | None = None,
    follow: bool = True,
) -> Answer:
    """`GuardedClient.request` of the running loop's client."""
    return await _client().request(
        method,
        url,
        content=content,
        headers=headers,
        max_bytes=max_bytes,
        seconds=seconds,
        allowed_hosts=allowed_hosts,
        ports=ports,
        follow=follow,
    )


def _client() -> GuardedClient:
    loop = asyncio.get_running_loop()
    client = _clients.get(loop)
    if client is None:
        client = _clients[loop] = GuardedClient()
    return client
