import socket
from ipaddress import ip_address

import pytest

from assistant_site.addresses import AllowedHosts, is_of_this_machine, is_public

NOT_PUBLIC = """
    0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.255.255.254 168.63.129.16
    169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1
    198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
    :: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1
    64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001::1 2001:0:7f00:1::1 2001:db8::1 2002:7f00:1::1
    2002:a00:1::1 2002:a9fe:a9fe:: 3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 febf::1 fec0::1 ff02::1
    ff0e::1
"""
PUBLIC = """
    1.1.1.1 8.8.8.8 11.0.0.1 100.63.255.255 100.128.0.1 126.255.255.255 128.0.0.1 168.63.129.17 169.253.255.255
    172.15.255.255 172.32.0.1 192.167.1.1 198.17.0.1 198.20.0.1 223.255.255.255 2606:4700::1111 2a00:1450::1
    ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1
"""


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_what_is_not_the_internet(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC.split())
def test_what_is_the_internet(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    ("entry", "host", "address", "allowed"),
    [
        ("files.corp", "files.corp", "10.0.0.1", True),
        ("files.corp", "FILES.corp.", "10.0.0.1", True),
        ("files.corp", "a.files.corp", "10.0.0.1", False),
        ("10.0.0.1", "x", "10.0.0.1", True),
        ("10.0.0.1", "x", "10.0.0.2", False),
        ("10.0.0.0/8", "x", "10.9.9.9", True),
        ("10.0.0.5/8", "x", "10.9.9.9", True),
        ("10.0.0.0/8", "x", "::ffff:10.9.9.9", True),
        ("10.0.0.0/8", "x", "11.0.0.1", False),
        ("fd00::/8", "x", "fd12::1", True),
        ("fd00::/8", "x", "127.0.0.1", False),
    ],
)
def test_what_the_operator_allows(entry: str, host: str, address: str, allowed: bool) -> None:
    assert AllowedHosts.of([entry]).have(host, ip_address(address)) is allowed
    assert not AllowedHosts.of([]).have(host, ip_address(address))


@pytest.mark.parametrize(
    ("address", "own"),
    [("127.0.0.1", True), ("::ffff:127.0.0.1", True), ("8.8.8.8", False), ("2606:4700::1111", False)],
)
def test_what_is_this_machine(address: str, own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_of_this_machine(ip_address(address)) is own

    def without(*_: object) -> socket.socket:
        raise OSError("Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", without)
    assert not is_of_this_machine(ip_address(address))
