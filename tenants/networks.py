"""From where a token is taken: addresses and networks, IPv4 and IPv6."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from assistant_site.addresses import Address, Network


@lru_cache(maxsize=10_000)
def network(entry: str) -> Network:
    """`10.1.0.0/16`, or an address as a network of one. Raises `ValueError` for anything else."""
    return ip_network(entry, strict=False)


def address(text: str) -> Address | None:
    """A caller's address as servers and proxies write it: with a port, in brackets, or IPv4 inside of IPv6."""
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    # No other form of IPv4 inside of IPv6 is taken for the IPv4 address: those can be chosen at will.
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def contain(entries: Iterable[str], text: str) -> bool:
    """Whether one of the networks has the caller's address; never if that is not known."""
    found = address(text)
    return found is not None and any(found in network(entry) for entry in entries)


def are_within(entries: Iterable[str], others: Iterable[str]) -> bool:
    """Whether each network lies in one of the others."""
    outer = [network(other) for other in others]
    return all(_lies_in(network(entry), outer) for entry in entries)


def _lies_in(inner: Network, outer: list[Network]) -> bool:
    return any(
        inner.version == each.version
        and each.network_address <= inner.network_address  # type: ignore[operator]
        and inner.broadcast_address <= each.broadcast_address  # type: ignore[operator]
        for each in outer
    )
