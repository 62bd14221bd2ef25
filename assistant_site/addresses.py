"""Which addresses are public, and which others the operator lets this server fetch from."""

import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# IANA's registry of special purposes, given here in full: the standard library's idea of it changes between versions.
_NOT_PUBLIC_4 = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind carriers' NAT; Alibaba's metadata service is at 100.100.100.200
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's own services, on a public address
        "169.254.0.0/16",  # link-local; most clouds' metadata service is at 169.254.169.254
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
]
_UNICAST_6 = IPv6Network("2000::/3")  # all that was ever given out for the internet
_NOT_PUBLIC_6 = [
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, among them Teredo
        "2001:db8::/32",
        "3fff::/20",
    )
]
# Prefixes behind which an IPv4 address stands: where it begins, in bits from the right.
_CARRIERS_OF_4 = [
    (IPv6Network("::ffff:0:0/96"), 0),  # mapped
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (IPv6Network("2002::/16"), 80),  # 6to4
]


def is_public(address: Address) -> bool:
    """Whether the address is one of the internet's. An IPv4 address inside an IPv6 one is judged as itself."""
    address = without_carrier(address)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _UNICAST_6 and not any(address in network for network in _NOT_PUBLIC_6)


def is_of_this_machine(address: Address) -> bool:
    """Whether it is an address of one of this machine's own interfaces, behind which no firewall may stand."""
    address = without_carrier(address)
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:  # for a route only: nothing is sent
            asking.connect((str(address), 9))
            return parsed(asking.getsockname()[0]) == address
    except OSError:  # no way there
        return False


def without_carrier(address: Address) -> Address:
    if isinstance(address, IPv6Address):
        for network, shift in _CARRIERS_OF_4:
            if address in network:
                return IPv4Address(int(address) >> shift & 0xFFFFFFFF)
    return address


def is_entry(entry: str) -> bool:
    """Whether it is a host's name in ASCII, an address or a network, as `AllowedHosts` takes them."""
    if re.fullmatch(r"[\w-]+(\.[\w-]+)*\.?", entry, re.ASCII):
        return True
    try:
        ip_network(entry, strict=False)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class AllowedHosts:
    """Names, addresses and networks that are allowed although they are not public."""

    names: frozenset[str]
    networks: tuple[Network, ...]

    @classmethod
    def of(cls, entries: Iterable[str]) -> "AllowedHosts":
        names, networks = set(), []
        for entry in entries:
            try:
                networks.append(ip_network(entry, strict=False))
            except ValueError:
                names.add(_plain(entry))
        return cls(frozenset(names), tuple(networks))

    def have(self, host: str, address: Address) -> bool:
        """Whether the operator named this host, or a network that has the address."""
        if _plain(host) in self.names:
            return True
        return any(form in network for form in (address, without_carrier(address)) for network in self.networks)


def _plain(name: str) -> str:
    return name.lower().rstrip(".")


def parsed(address: str) -> Address:
    """An address as the resolver tells it, with or without the interface of a link-local one."""
    return ip_address(address.partition("%")[0])
