"""Addresses that nobody may reach through this server: as they are, as they can be written, as names and redirects lead
to them, and as parsers can be confused about them. All are refused, and nothing is connected to.

`{port}` in an address is for a port on which the test listens.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Try:
    """`answers`: what the host's name resolves to, look after look; none where the system's own resolver is to say."""

    id: str
    url: str
    answers: tuple[tuple[str, ...], ...] = ()

    def at(self, port: int) -> str:
        return self.url.replace("{port}", str(port))


def _named(prefix: str, urls: dict[str, str]) -> list[Try]:
    return [Try(f"{prefix}: {what}", url) for what, url in urls.items()]


def _addresses(prefix: str, addresses: dict[str, str]) -> list[Try]:
    return [
        Try(f"{prefix}: {what}", f"http://{f'[{address}]' if ':' in address else address}:{{port}}/latest/")
        for what, address in addresses.items()
    ]


RANGES = _addresses(
    "range",
    {
        "this host": "0.0.0.0",
        "this network": "0.1.2.3",
        "loopback": "127.0.0.1",
        "loopback's other end": "127.255.255.254",
        "private 10": "10.0.0.1",
        "private 10's end": "10.255.255.255",
        "private 172.16": "172.16.0.1",
        "Docker's host": "172.17.0.1",
        "private 172.31": "172.31.255.254",
        "private 192.168": "192.168.1.1",
        "carrier's NAT": "100.64.0.1",
        "carrier's NAT's end": "100.127.255.254",
        "link-local": "169.254.1.1",
        "protocol assignments": "192.0.0.8",
        "documentation 1": "192.0.2.1",
        "documentation 2": "198.51.100.1",
        "documentation 3": "203.0.113.1",
        "6to4 relay": "192.88.99.1",
        "benchmarks": "198.18.0.1",
        "multicast": "224.0.0.251",
        "reserved": "240.0.0.1",
        "broadcast": "255.255.255.255",
        "IPv6 loopback": "::1",
        "IPv6 unspecified": "::",
        "IPv6 unique local": "fc00::1",
        "IPv6 unique local, in use": "fd12:3456:789a::1",
        "IPv6 link-local": "fe80::1",
        "IPv6 site-local": "fec0::1",
        "IPv6 multicast": "ff02::1",
        "IPv6 documentation": "2001:db8::1",
        "IPv6 documentation 2": "3fff::1",
        "IPv6 discard": "100::1",
        "IPv6 segment routing": "5f00::1",
        "IPv6 benchmarks": "2001:2::1",
        "IPv6 ORCHID": "2001:20::1",
    },
)
METADATA = _addresses(
    "metadata",
    {
        "AWS, Google, Azure": "169.254.169.254",
        "AWS IPv6": "fd00:ec2::254",
        "AWS ECS tasks": "169.254.170.2",
        "AWS EKS pods": "169.254.170.23",
        "AWS EKS pods IPv6": "fd00:ec2::23",
        "AWS name server": "169.254.169.253",
        "Google IPv6": "fd20:ce::254",
        "Azure services": "168.63.129.16",
        "Alibaba": "100.100.100.200",
        "Oracle": "192.0.0.192",
        "Oracle IPv6": "fd00:c1::a9fe:a9fe",
        "Tencent": "169.254.0.23",
        "Scaleway": "169.254.42.42",
        "Scaleway IPv6": "fd00:42::42",
        "Kubernetes": "10.96.0.1",
    },
)
METADATA_NAMES = [
    Try("metadata: Google's name", "http://metadata.google.internal/computeMetadata/v1/", (("169.254.169.254",),)),
    Try("metadata: Google's short name", "http://metadata/computeMetadata/v1/", (("169.254.169.254",),)),
    Try("metadata: AWS' name", "http://instance-data/latest/meta-data/", (("169.254.169.254", "fd00:ec2::254"),)),
    Try("metadata: Tencent's name", "http://metadata.tencentyun.com/latest/", (("169.254.0.23",),)),
    Try("metadata: Kubernetes' name", "https://kubernetes.default.svc/api", (("10.96.0.1",),)),
]
CARRIERS = _addresses(
    "IPv4 in IPv6",
    {
        "mapped": "::ffff:127.0.0.1",
        "mapped, in hex": "::ffff:7f00:1",
        "mapped, with all zeros": "0:0:0:0:0:ffff:7f00:0001",
        "mapped, private": "::ffff:10.0.0.1",
        "mapped, metadata": "::ffff:a9fe:a9fe",
        "translated": "::ffff:0:127.0.0.1",
        "compatible": "::127.0.0.1",
        "compatible, metadata": "::a9fe:a9fe",
        "compatible, 0.0.0.1": "::0.0.0.1",
        "NAT64": "64:ff9b::7f00:1",
        "NAT64, metadata": "64:ff9b::169.254.169.254",
        "NAT64, local": "64:ff9b:1::7f00:1",
        "6to4": "2002:7f00:1::",
        "6to4, private": "2002:c0a8:101::1",
        "6to4, metadata": "2002:a9fe:a9fe::1",
        "Teredo, server": "2001:0:7f00:1::1",
        "Teredo, client": "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "ISATAP": "fe80::5efe:7f00:1",
    },
)
SPELLINGS = _named(
    "spelling",
    {
        "localhost": "http://localhost:{port}/",
        "LOCALHOST": "HTTP://LOCALHOST:{port}/",
        "two parts": "http://127.1:{port}/",
        "three parts": "http://127.0.1:{port}/",
        "decimal": "http://2130706433:{port}/",
        "decimal, metadata": "http://2852039166:{port}/",
        "hex": "http://0x7f000001:{port}/",
        "HEX": "http://0X7F000001:{port}/",
        "hex, metadata": "http://0xA9FEA9FE:{port}/",
        "hex, private": "http://0xa000001:{port}/",
        "hex parts": "http://0x7f.0x0.0x0.0x1:{port}/",
        "hex, two parts": "http://0x7f.1:{port}/",
        "octal": "http://017700000001:{port}/",
        "octal, metadata": "http://025177524776:{port}/",
        "octal parts": "http://0177.0.0.01:{port}/",
        "octal, metadata parts": "http://0251.0376.0251.0376:{port}/",
        "octal with many zeros": "http://00000000177.1:{port}/",
        "decimal and hex": "http://127.0.0x1:{port}/",
        "decimal and hex, metadata": "http://169.254.0xa9fe:{port}/",
        "decimal and large part, metadata": "http://169.254.43518:{port}/",
        "octal and decimal": "http://0251.254.169.254:{port}/",
        "all ones": "http://4294967295:{port}/",
        "zero": "http://0:{port}/",
        "zeros": "http://00:{port}/",
        "too large": "http://256.256.256.256:{port}/",
        "percent": "http://127%2e0%2e0%2e1:{port}/",
        "percent digits": "http://%31%32%37.0.0.1:{port}/",
        "percent twice": "http://127%252e0.0.1:{port}/",
        "full-width digits": "http://１２７.０.０.１:{port}/",
        "a full-width digit, metadata": "http://１69.254.169.254:{port}/",
        "circled digits": "http://①②⑦.⓪.⓪.①:{port}/",
        "ideographic stops": "http://127。0。0。1:{port}/",
        "full-width stops": "http://169．254．169．254:{port}/",
        "mathematical letters": "http://𝓁𝓸𝓬𝓪𝓵𝓱𝓸𝓼𝓽:{port}/",
        "soft hyphen": "http://loc\xadalhost:{port}/",
        "zero-width space": "http://127.0.0.1\u200b:{port}/",
        "::1 in full": "http://[0000:0000:0000:0000:0000:0000:0000:0001]:{port}/",
        "::1 without leading zeros": "http://[0:0:0:0:0:0:0:1]:{port}/",
        "0::1": "http://[0::1]:{port}/",
        "::1 and a zone": "http://[::1%25lo]:{port}/",
        "::1 and a bare zone": "http://[::1%lo]:{port}/",
        "link-local and a zone": "http://[fe80::1%25eth0]:{port}/",
        "link-local and a numbered zone": "http://[fe80::a9fe:a9fe%251]:{port}/",
        "public and a zone": "http://[2606:4700::1111%lo]:{port}/",
        "hex in mapped": "http://[::ffff:0x7f.0.0.1]:{port}/",
        "IPv4 in brackets": "http://[127.0.0.1]:{port}/",
        "future version": "http://[v1.127.0.0.1]:{port}/",
        "without brackets": "http://::1:{port}/",
        "a port with zeros": "http://127.0.0.1:000{port}/",
        "a port with a sign": "http://127.0.0.1:+{port}/",
    },
)
DOTTED = [
    Try("spelling: trailing dot", "http://127.0.0.1.:{port}/", (("127.0.0.1",),)),
    Try("spelling: localhost with a trailing dot", "http://localhost.:{port}/", (("127.0.0.1",),)),
]
CONFUSIONS = _named(
    "confusion",
    {
        "user": "http://good.example@127.0.0.1:{port}/",
        "user and password": "http://good.example:80@127.0.0.1:{port}/",
        "empty user": "http://@127.0.0.1:{port}/",
        "empty user and password": "http://:@127.0.0.1:{port}/",
        "escaped user": "http://good.example%40@127.0.0.1:{port}/",
        "two at signs": "http://good.example@good.example@127.0.0.1:{port}/",
        "fragment before": "http://127.0.0.1:{port}#@good.example/",
        "query before": "http://127.0.0.1:{port}?@good.example/",
        "backslash before": "http://127.0.0.1:{port}\\@good.example/",
        "backslash after": "http://good.example\\@127.0.0.1:{port}/",
        "backslash in the host": "http://127.0.0.1\\.good.example:{port}/",
        "backslashes for slashes": "http:\\\\127.0.0.1:{port}\\",
        "one slash": "http:/127.0.0.1:{port}/",
        "no slash": "http:127.0.0.1:{port}/",
        "three slashes": "http:///127.0.0.1:{port}/",
        "no scheme": "//127.0.0.1:{port}/",
        "escaped at sign": "http://good.example%40127.0.0.1:{port}/",
        "escaped slash": "http://127.0.0.1%2f.good.example:{port}/",
        "escaped fragment": "http://127.0.0.1%23.good.example:{port}/",
        "escaped zero": "http://127.0.0.1%00.good.example:{port}/",
        "escaped line": "http://127.0.0.1%0d%0a:{port}/",
        "space after": "http://127.0.0.1 :{port}/",
        "space before": " http://127.0.0.1:{port}/",
        "space in the port": "http://127.0.0.1: {port}/",
        "tab in the host": "http://127.0.\t0.1:{port}/",
        "line in the host": "http://127.0.\n0.1:{port}/",
        "return and line in the path": "http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: good.example\r\n\r\n",
        "zero in the host": "http://127.0.0.1\0.good.example:{port}/",
        "line before": "\nhttp://127.0.0.1:{port}/",
        "two hosts": "http://127.0.0.1,good.example:{port}/",
        "braces": "http://{127.0.0.1}:{port}/",
        "semicolon": "http://127.0.0.1;good.example:{port}/",
        "two ports": "http://127.0.0.1:{port}:80/",
        "port zero": "http://127.0.0.1:0/",
        "port too large": "http://127.0.0.1:65616/",
        "port below zero": "http://127.0.0.1:-80/",
        "port of thousands of digits": "http://127.0.0.1:" + "9" * 5_000 + "/",
        "host of thousands of digits": "http://" + "1" * 5_000 + "/",
    },
)
SCHEMES = _named(
    "scheme",
    {
        "file": "file:///etc/passwd",
        "file on a host": "file://127.0.0.1/etc/passwd",
        "gopher": "gopher://127.0.0.1:{port}/_SET%20a%20b",
        "ftp": "ftp://127.0.0.1:{port}/",
        "data": "data:text/plain,a",
        "jar": "jar:http://127.0.0.1:{port}!/",
        "dict": "dict://127.0.0.1:{port}/d:a",
        "ldap": "ldap://127.0.0.1:{port}/",
        "unix": "unix:///var/run/docker.sock",
        "http+unix": "http+unix://%2fvar%2frun%2fdocker.sock/info",
        "ws": "ws://127.0.0.1:{port}/",
        "javascript": "javascript:fetch('http://127.0.0.1:{port}/')",
        "url": "url:http://127.0.0.1:{port}/",
        "nothing": "",
    },
)
NAMES = [
    Try("name: loopback", "http://a.example:{port}/", (("127.0.0.1",),)),
    Try("name: IPv6 loopback", "http://a.example:{port}/", (("::1",),)),
    Try("name: mapped", "http://a.example:{port}/", (("::ffff:127.0.0.1",),)),
    Try("name: zero", "http://a.example:{port}/", (("0.0.0.0",),)),
    Try("name: link-local with its interface", "http://a.example:{port}/", (("fe80::1%eth0",),)),
    Try("name: private, over TLS", "https://a.example:{port}/", (("192.168.1.1",),)),
    Try("name: that contains an address", "http://127.0.0.1.nip.example:{port}/", (("127.0.0.1",),)),
    Try("name: of a public alias", "http://cdn.good.example:{port}/", (("10.1.2.3",),)),
    Try("name: in other letters", "http://bücher.example:{port}/", (("10.1.2.3",),)),
    Try("name: under an allowed one", "http://sub.allowed.example:{port}/", (("127.0.0.1",),)),
    Try("name: that begins like an allowed one", "http://allowed.example.evil.example:{port}/", (("127.0.0.1",),)),
    Try("name: public first, private second", "http://a.example:{port}/", (("93.184.215.14", "10.0.0.1"),)),
    Try("name: private first, public second", "http://a.example:{port}/", (("10.0.0.1", "93.184.215.14"),)),
    Try("name: private behind many", "http://a.example:{port}/", (("93.184.215.14",) * 20 + ("127.0.0.1",),)),
    Try("name: private among families", "http://a.example:{port}/", (("2606:4700::1111", "127.0.0.1"),)),
    Try("name: public after the look", "http://a.example:{port}/", (("127.0.0.1",), ("93.184.215.14",))),
    Try("name: of nothing", "http://a.example:{port}/", ((),)),
]
PORTS = [
    Try(f"port: {what}", f"http://a.example:{port}/", (("93.184.215.14",),))
    for what, port in {"SSH": 22, "mail": 25, "submission": 587, "name server": 53, "IRC": 6667, "NFS": 2049}.items()
]

TRIES = (*RANGES, *METADATA, *METADATA_NAMES, *CARRIERS, *SPELLINGS, *DOTTED, *CONFUSIONS, *SCHEMES, *NAMES, *PORTS)

# Where an allowed server redirects to.
LOCATIONS = {
    "address": "http://127.0.0.1:{port}/",
    "another scheme's port": "https://127.0.0.1:{port}/",
    "without a scheme": "//127.0.0.1:{port}/",
    "metadata": "http://169.254.169.254/latest/meta-data/",
    "decimal": "http://2130706433:{port}/",
    "IPv6": "http://[::1]:{port}/",
    "mapped": "//[::ffff:127.0.0.1]:{port}/",
    "name": "http://inner.example:{port}/",
    "user": "http://allowed.example@127.0.0.1:{port}/",
    "file": "file:///etc/passwd",
    "gopher": "gopher://127.0.0.1:{port}/_",
    "ftp": "ftp://127.0.0.1:{port}/",
    "data": "data:text/plain,a",
    "jar": "jar:http://127.0.0.1:{port}!/",
}
