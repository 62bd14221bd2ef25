"""The guarded client against servers on loopback: what it fetches, and all the ways in which it does not."""

import asyncio
import contextlib
import datetime
import gzip
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.conf import settings

from assistant_site import fetching
from assistant_site.fetching import CannotFetch, Fetched, GuardedClient
from assistant_site.llm.tests.quirk_server import CUT, HANG, Answer, QuirkServer, Script
from assistant_site.tests.closing import close

T = TypeVar("T")
LOOPBACK = ["127.0.0.1"]
ZEROS = gzip.compress(bytes(50_000_000), 9)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def fetch(url: str, *, client: GuardedClient | None = None, **how: Any) -> Fetched:
    bounds: dict[str, Any] = {"max_bytes": 1_000_000, "seconds": 5.0, "allowed_hosts": LOOPBACK, **how}

    async def work() -> Fetched:
        return await (client.fetch(url, **bounds) if client is not None else fetching.fetch(url, **bounds))

    return run(work())


def refused(url: str, **how: Any) -> str:
    with pytest.raises(CannotFetch) as caught:
        fetch(url, **how)
    assert str(caught.value) == caught.value.message
    return caught.value.message


class Names:
    """A resolver that gives these answers one after the other, and remembers what it was asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


def page(body: bytes = b"hello", status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer((body,), status, {"content-type": "image/png", **named}, "length")


def moved(to: str, status: int = 302) -> Answer:
    return page(b"", status, location=to)


# --- What is fetched --------------------------------------------------------------------------------------------------


def test_a_page_is_fetched() -> None:
    with QuirkServer(page(b"hello")) as server:
        url = f"http://127.0.0.1:{server.port}/a.png?b=1"
        assert fetch(url) == Fetched(url, 200, "image/png", b"hello")
        [request] = server.requests
    assert (request.method, request.path) == ("GET", "/a.png?b=1")
    assert request.headers["host"] == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_every_framing(framing: Any) -> None:
    with QuirkServer(Answer((b"one ", 0.05, b"two"), framing=framing)) as server:
        assert fetch(f"http://127.0.0.1:{server.port}/").body == b"one two"


def test_gzip_is_unpacked() -> None:
    with QuirkServer(page(gzip.compress(b"hello" * 1_000), content_encoding="gzip")) as server:
        assert fetch(f"http://127.0.0.1:{server.port}/").body == b"hello" * 1_000


def test_redirects_are_followed_to_the_end() -> None:
    with QuirkServer(moved("/b"), moved("c?d", 308), page()) as server:
        assert fetch(f"http://127.0.0.1:{server.port}/x/a").url.endswith("/c?d")
        assert [request.path for request in server.requests] == ["/x/a", "/b", "/c?d"]


def test_headers_stay_with_their_origin() -> None:
    with QuirkServer(page()) as other, QuirkServer(moved("/b"), moved(f"http://127.0.0.1:{other.port}/c")) as first:
        fetch(f"http://127.0.0.1:{first.port}/a", headers={"Authorization": "Bearer x"})
        assert [request.headers.get("authorization") for request in first.requests] == ["Bearer x", "Bearer x"]
        [request] = other.requests
    assert "authorization" not in request.headers
    assert "referer" not in request.headers


def test_nobody_chooses_the_host_by_a_header() -> None:
    with QuirkServer(page()) as server:
        fetch(f"http://127.0.0.1:{server.port}/", headers={"host": "inner.example", "X-A": "b"})
        [request] = server.requests
    assert (request.headers["host"], request.headers["x-a"]) == (f"127.0.0.1:{server.port}", "b")


def test_no_cookies_are_kept() -> None:
    with QuirkServer(page(set_cookie="a=b")) as server:
        url = f"http://127.0.0.1:{server.port}/"

        async def twice() -> None:
            for _ in range(2):
                await fetching.fetch(url, max_bytes=10, seconds=5, allowed_hosts=LOOPBACK)

        run(twice())
        assert not any("cookie" in request.headers for request in server.requests)


def test_the_environments_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with QuirkServer(page()) as server:
        assert fetch(f"http://127.0.0.1:{server.port}/").body == b"hello"


def test_the_next_address_is_tried_when_one_takes_no_connection() -> None:
    with QuirkServer(page()) as server:
        client = GuardedClient(Names(["127.0.0.2", "127.0.0.1"]))
        assert fetch(f"http://two.example:{server.port}/", client=client, allowed_hosts=["127.0.0.0/8"]).body


# --- Names and addresses ----------------------------------------------------------------------------------------------


def test_the_connection_goes_to_the_address_that_was_judged() -> None:
    """The name's second answer is another one, as an attacker's name server gives it: nobody asks for it."""
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    with QuirkServer(page()) as server:
        url = f"http://rebinding.example:{server.port}/"
        assert fetch(url, client=GuardedClient(names)).body == b"hello"
        assert names.asked == ["rebinding.example"]
        assert server.requests[0].headers["host"] == f"rebinding.example:{server.port}"
    assert refused(url, client=GuardedClient(Names(["127.0.0.2"]))) == "The address of rebinding.example is not public."


@pytest.mark.parametrize("addresses", [["93.184.215.14", "10.0.0.1"], ["10.0.0.1", "93.184.215.14"]])
def test_one_private_address_among_public_ones_is_enough(addresses: list[str]) -> None:
    message = refused("http://mixed.example/", client=GuardedClient(Names(addresses)))
    assert message == "The address of mixed.example is not public."


def test_every_redirect_is_judged() -> None:
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    with QuirkServer(moved("http://metadata.example/latest")) as server:
        url = f"http://first.example:{server.port}/"
        message = refused(url, client=GuardedClient(names))
    assert message == "The address of metadata.example is not public."


def test_names_at_one_address_share_no_connection() -> None:
    with QuirkServer(page()) as server:
        client = GuardedClient(Names(["127.0.0.1"]))

        async def both() -> None:
            for name in ("a", "b", "a"):
                url = f"http://{name}.example:{server.port}/"
                await client.fetch(url, max_bytes=10, seconds=5, allowed_hosts=LOOPBACK)

        run(both())
        assert server.connections == 3


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://example.com/a", "Only addresses that begin with http:// or https:// can be fetched."),
        ("file:///etc/passwd", "Only addresses that begin with http:// or https:// can be fetched."),
        ("gopher://127.0.0.1/", "Only addresses that begin with http:// or https:// can be fetched."),
        ("//example.com/a", "Only addresses that begin with http:// or https:// can be fetched."),
        ("", "Only addresses that begin with http:// or https:// can be fetched."),
        ("http://", "Only addresses that begin with http:// or https:// can be fetched."),
        ("http://user:pass@example.com/", "An address with a user name or password in it is not fetched."),
        ("http://user@example.com/", "An address with a user name or password in it is not fetched."),
        ("http://example.com\\@127.0.0.1/", "An address with a user name or password in it is not fetched."),
        ("http://example.com:0/", "The address is not a valid URL."),
        ("http://example.com:99999/", "The address is not a valid URL."),
        ("http://[::1/", "The address is not a valid URL."),
        ("http://0177.0.0.1/", "The address is not a valid URL."),
        ("http://exa\nmple.com/", "The address is not a valid URL."),
        ("http://" + "a" * 70 + ".invalid/", "There is no host named " + "a" * 70 + ".invalid."),
        ("http://nowhere.invalid/", "There is no host named nowhere.invalid."),
        ("http://127.0.0.1:1/", "127.0.0.1 cannot be reached."),
    ],
)
def test_addresses_that_cannot_be_fetched(url: str, message: str) -> None:
    assert refused(url) == message


def test_ports_can_be_limited() -> None:
    with QuirkServer(page()) as server:
        url = f"http://127.0.0.1:{server.port}/"
        assert refused(url, ports={80, 443}) == f"Port {server.port} of 127.0.0.1 is not allowed."
        assert fetch(url, ports={server.port}).body == b"hello"


def test_the_operators_list_is_the_default(settings: Any) -> None:
    with QuirkServer(page()) as server:
        url = f"http://127.0.0.1:{server.port}/"
        assert refused(url, allowed_hosts=None) == "The address of 127.0.0.1 is not public."
        settings.FETCH_ALLOWED_HOSTS = ["127.0.0.0/8"]
        assert fetch(url, allowed_hosts=None).body == b"hello"


@pytest.mark.parametrize("value", ["10.0.0.0/33", "http://a.example", "a b", "a..b", "*"])
def test_a_wrong_list_stops_the_start(value: str) -> None:
    read = "from assistant_site import environment; print(environment.hosts('FETCH_ALLOWED_HOSTS', default=[]))"
    for given, code in ((value, 1), ("10.0.0.0/8, files.corp,::1", 0)):
        found = subprocess.run(
            [sys.executable, "-c", read],
            env={"FETCH_ALLOWED_HOSTS": given},
            cwd=settings.BASE_DIR,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert found.returncode == code, found.stderr
        assert ("FETCH_ALLOWED_HOSTS must be a list of host names" in found.stderr) is bool(code)


# --- What servers do --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (page(status=404), "127.0.0.1 answered 404."),
        (page(status=500), "127.0.0.1 answered 500."),
        (page(status=304), "127.0.0.1 answered 304."),
        (moved("/again"), "127.0.0.1 redirected more than 5 times."),
        (moved("ftp://127.0.0.1/"), "Only addresses that begin with http:// or https:// can be fetched."),
        (moved("http://10.0.0.1/"), "The address of 10.0.0.1 is not public."),
        (moved("//[::1]/"), "The address of ::1 is not public."),
        (moved("http://a:b@127.0.0.1/"), "An address with a user name or password in it is not fetched."),
        (moved("http://[::1/"), "127.0.0.1 redirected to an address that is not a valid URL."),
        (page(bytes(1_000_001)), "What 127.0.0.1 sends is larger than 1000000 bytes."),
        (Answer((bytes(100_000),) * 20), "What 127.0.0.1 sends is larger than 1000000 bytes."),
        (page(ZEROS, content_encoding="gzip"), "What 127.0.0.1 sends is larger than 1000000 bytes."),
        (page(b"\x1f\x8bno", content_encoding="gzip"), "127.0.0.1 broke off in the middle of its answer."),
        (page(b"x", content_encoding="gzip, gzip"), "127.0.0.1 answered in an encoding that was not asked for."),
        (page(b"x", content_encoding="br"), "127.0.0.1 answered in an encoding that was not asked for."),
        (Answer((b"half", CUT)), "127.0.0.1 broke off in the middle of its answer."),
        (Answer(headers={"a": "b" * 200_000}), "127.0.0.1 did not answer as a web server does."),
        (Answer(headers={f"h{n}": "b" * 1_000 for n in range(200)}), "127.0.0.1 did not answer as a web server does."),
        (Answer(headers={"bad header": "b"}), "127.0.0.1 did not answer as a web server does."),
    ],
)
def test_answers_that_are_no_use(answer: Script, message: str) -> None:
    with QuirkServer(answer) as server:
        assert refused(f"http://127.0.0.1:{server.port}/") == message


@pytest.mark.parametrize(
    "answer",
    [
        Answer((b"x", HANG)),
        Answer((b"x",), before=30),
        Answer(tuple([b"x", 0.05] * 200)),
    ],
)
def test_the_whole_has_a_time(answer: Script) -> None:
    """Also where a byte comes every now and then, which no time limit of a socket would notice."""
    with QuirkServer(answer) as server:
        started = time.monotonic()
        message = refused(f"http://127.0.0.1:{server.port}/", seconds=0.5)
        assert message == "127.0.0.1 took longer than 0.5 seconds."
        assert time.monotonic() - started < 8


def test_silent_name_servers_take_no_longer() -> None:
    async def silent(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    message = refused("http://slow.example/", client=GuardedClient(silent), seconds=0.2)
    assert message == "slow.example took longer than 0.2 seconds."


# --- TLS --------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def tls_server(folder: Path, name: str, answer: bytes) -> AsyncIterator[tuple[int, ssl.SSLContext, list[str]]]:
    """A server with a certificate for `name`: its port, a context that trusts it, and the names it was asked for."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(secret + pem)
    asked: list[str] = []
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(folder / "server.pem")
    serving.sni_callback = lambda _socket, sni, _context: asked.append(str(sni))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=serving)
    try:
        yield server.sockets[0].getsockname()[1], ssl.create_default_context(cadata=pem.decode()), asked
    finally:
        await close(server)
        async with asyncio.timeout(10):  # a client that refused it has left; until that is seen its connection is open
            while server._active_count:  # type: ignore[attr-defined]  # noqa: ASYNC110 wait_closed waits for nobody in 3.11
                await asyncio.sleep(0.01)


def test_tls_is_verified_against_the_name(tmp_path: Path) -> None:
    async def work() -> None:
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
        async with tls_server(tmp_path, "pictures.example", answer) as (port, trusting, asked):
            client = GuardedClient(Names(["127.0.0.1"]), verify=trusting)
            bounds: dict[str, Any] = {"max_bytes": 10, "seconds": 5, "allowed_hosts": LOOPBACK}
            found = await client.fetch(f"https://pictures.example:{port}/", **bounds)
            assert found.body == b"hello"
            with pytest.raises(CannotFetch, match=r"other\.example has no valid certificate"):
                await client.fetch(f"https://other.example:{port}/", **bounds)
            assert asked == ["pictures.example", "other.example"]
            with pytest.raises(CannotFetch, match=r"pictures\.example has no valid certificate"):
                await GuardedClient(Names(["127.0.0.1"])).fetch(f"https://pictures.example:{port}/", **bounds)

    run(work())


def test_https_does_not_lead_to_http(tmp_path: Path) -> None:
    async def work() -> None:
        answer = b"HTTP/1.1 302 Found\r\nlocation: http://pictures.example/\r\ncontent-length: 0\r\n\r\n"
        async with tls_server(tmp_path, "pictures.example", answer) as (port, trusting, _):
            client = GuardedClient(Names(["127.0.0.1"]), verify=trusting)
            with pytest.raises(CannotFetch, match=r"pictures\.example redirected from https to http\."):
                await client.fetch(f"https://pictures.example:{port}/", max_bytes=10, seconds=5, allowed_hosts=LOOPBACK)

    run(work())
