"""What hostile code cannot reach: the network, the host's sockets, families of sockets with a way around both."""

import socket
import threading
import uuid
from collections.abc import Iterator

import pytest

from sandbox.tests.isolation.hosts import Tenant


class Listener:
    """TCP and UDP on one port of the host's loopback, and an abstract unix socket; notes what arrives."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.name = f"holdfast-{uuid.uuid4().hex}"
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind(f"\0{self.name}")
        self.abstract.listen()
        for each, hear in ((self.tcp, self._accept), (self.udp, self._receive), (self.abstract, self._accept)):
            each.settimeout(0.2)
            threading.Thread(target=hear, args=(each,), daemon=True).start()

    def _accept(self, listening: socket.socket) -> None:
        while listening.fileno() >= 0:
            try:
                listening.accept()[0].close()
                self.heard.append(str(listening.family))
            except TimeoutError:
                continue
            except OSError:
                return

    def _receive(self, listening: socket.socket) -> None:
        while listening.fileno() >= 0:
            try:
                self.heard.append(listening.recv(100).decode())
            except TimeoutError:
                continue
            except OSError:
                return

    def close(self) -> None:
        for each in (self.tcp, self.udp, self.abstract):
            each.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


def test_no_address_is_reached_over_tcp_udp_or_dns(tenant: Tenant, listener: Listener) -> None:
    """N1"""
    told = tenant.probe(
        """
def tcp(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(2)
        s.connect(address)

def udp(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"udp", address)

def dns(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.3)
        s.sendto(bytes.fromhex("000101000001000000000000076578616d706c6503636f6d0000010001"), address)
        s.recv(512)

tell({
    "loopback": tried(tcp, socket.AF_INET, ("127.0.0.1", port)),
    "loopback 6": tried(tcp, socket.AF_INET6, ("::1", port)),
    "mapped": tried(tcp, socket.AF_INET6, ("::ffff:127.0.0.1", port)),
    "metadata": tried(tcp, socket.AF_INET, ("169.254.169.254", 80)),
    "internet": tried(tcp, socket.AF_INET, ("1.1.1.1", 80)),
    "udp": tried(udp, ("1.1.1.1", 53)),
    "own udp": tried(udp, ("127.0.0.1", port)),
    "resolver": tried(dns, ("127.0.0.53", 53)),
    "name": tried(socket.getaddrinfo, "example.com", 80),
    "raw": tried(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
})
""",
        port=listener.port,
    )

    told.pop("own udp")  # its own loopback takes what is sent
    assert "ok" not in told.values(), told
    assert (told["metadata"], told["internet"], told["udp"]) == ("ENETUNREACH",) * 3
    assert listener.heard == []


def test_an_abstract_socket_of_the_host_is_not_there(tenant: Tenant, listener: Listener) -> None:
    """N2: neither that, nor the daemon's own socket by its path."""
    told = tenant.probe(
        """
def reach(address):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(address)

tell([tried(reach, "\\0" + name), tried(reach, path)])
""",
        name=listener.name,
        path=str(tenant.host.socket),
    )

    assert told == ["ECONNREFUSED", "ENOENT"]
    assert listener.heard == []


FAMILIES = {
    "VSOCK": 40, "ALG": 38, "NETLINK": 16, "PACKET": 17, "RXRPC": 33, "XDP": 44, "BLUETOOTH": 31, "TIPC": 30,
    "KEY": 15, "CAN": 29, "QIPCRTR": 42, "SMC": 43, "MCTP": 45, "KCM": 41, "NFC": 39,
}  # fmt: skip


def test_no_other_family_of_sockets_can_be_made(tenant: Tenant) -> None:
    """N3"""
    told = tenant.probe(
        """
tell({name: [tried(socket.socket, family, kind) for kind in (1, 2, 3, 5)] for name, family in families.items()}
     | {"pair": [tried(socket.socketpair, family) for family in families.values()]})
""",
        families=FAMILIES,
    )

    # The filter's own answer: the kernel's would be EAFNOSUPPORT where the module is missing today.
    assert {answer for answers in told.values() for answer in answers} <= {"EPERM", "EACCES"}, told
