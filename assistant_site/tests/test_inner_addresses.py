"""The table of inner addresses, tried through every way out; and servers that would keep this one busy."""

import asyncio
import contextlib
import gzip
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import anyio
import httpx2
import pytest

from assistant_site.addresses import is_public
from assistant_site.fetching import CannotFetch, GuardedClient, GuardedTransport, Resolver, judging, resolved
from assistant_site.llm.tests.quirk_server import QuirkServer
from assistant_site.tests.closing import close
from assistant_site.tests.inner_addresses import LOCATIONS, TRIES, Try
from assistant_site.tests.test_fetching import LOOPBACK, Names, moved, page, run

BOUNDS: dict[str, Any] = {"max_bytes": 1_000, "seconds": 5.0}
ALLOWED = ["allowed.example"]


@dataclass
class Listener:
    """Takes connections on a port of every address of this machine; `dialled`: the hosts that were connected to."""

    sockets: list[socket.socket]
    dialled: list[str]

    @property
    def port(self) -> int:
        return int(self.sockets[0].getsockname()[1])

    def took_one(self) -> bool:
        for listening in self.sockets:
            with suppress(BlockingIOError):
                listening.accept()[0].close()
                return True
        return False


@pytest.fixture(scope="module")
def listening() -> Iterator[list[socket.socket]]:
    with closing(socket.create_server(("0.0.0.0", 0))) as four:
        sockets = [four]
        with suppress(OSError):
            port = four.getsockname()[1]
            sockets.append(socket.create_server(("::", port), family=socket.AF_INET6))
        for each in sockets:
            each.setblocking(False)
        yield sockets
        for each in sockets:
            each.close()


@pytest.fixture
def listener(listening: list[socket.socket], monkeypatch: pytest.MonkeyPatch) -> Listener:
    """What would leave this machine is noted and fails."""
    found = Listener(listening, [])
    connect = anyio.connect_tcp

    async def noting(remote_host: str, remote_port: int, **how: Any) -> Any:
        found.dialled.append(remote_host)
        if not ip_address(remote_host).is_loopback:
            raise OSError("There is no way out of a test.")
        return await connect(remote_host, remote_port, **how)

    monkeypatch.setattr(anyio, "connect_tcp", noting)
    return found


def resolver_of(one: Try) -> Resolver:
    return Names(*map(list, one.answers)) if one.answers else resolved


async def ways(one: Try, url: str) -> list[Exception]:
    """What comes of it by every way out; fails if an answer does."""
    failures: list[Exception] = []
    for way in ("fetch", "request", "foreign"):
        transport = GuardedTransport(max_bytes=1_000, allowed_hosts=ALLOWED, resolve=resolver_of(one))
        client = GuardedClient(resolver_of(one))
        try:
            if way == "fetch":
                await client.fetch(url, allowed_hosts=ALLOWED, **BOUNDS)
            elif way == "request":
                await client.request("POST", url, content=b"a=b", allowed_hosts=ALLOWED, **BOUNDS)
            else:
                async with httpx2.AsyncClient(transport=transport, follow_redirects=True, timeout=5) as foreign:
                    await foreign.get(url)
        except (CannotFetch, httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            failures.append(error)
        else:
            pytest.fail(f"{url} answered by way of {way}.")
    return failures


def test_the_listener_would_tell(listener: Listener) -> None:
    async def work() -> None:
        client, url = GuardedClient(), f"http://127.0.0.1:{listener.port}/"
        with pytest.raises(CannotFetch):
            await client.fetch(url, max_bytes=1, seconds=0.1, allowed_hosts=["127.0.0.1"])

    run(work())
    assert listener.dialled == ["127.0.0.1"]
    assert listener.took_one()
    assert not listener.took_one()


@pytest.mark.parametrize("one", TRIES, ids=[one.id for one in TRIES])
def test_nobody_gets_in(one: Try, listener: Listener) -> None:
    failures = run(ways(one, one.at(listener.port)))
    assert len(failures) == 3
    assert not any(error.was_sent for error in failures if isinstance(error, CannotFetch))
    assert not listener.dialled
    assert not listener.took_one()


def test_the_table_is_large() -> None:
    assert len({(one.url, one.answers) for one in TRIES}) == len({one.id for one in TRIES}) == len(TRIES) > 180


@pytest.mark.parametrize("location", LOCATIONS.values(), ids=LOCATIONS)
def test_no_redirect_leads_in(location: str, listener: Listener) -> None:
    """With every status, and although the redirecting server itself is allowed by its name."""

    async def by_name(host: str, port: int) -> list[str]:
        names = {"allowed.example": ["127.0.0.1"], "inner.example": ["127.0.0.1"]}
        return names.get(host) or await resolved(host, port)

    async def work() -> None:
        client = GuardedClient(by_name)
        to = location.replace("{port}", str(listener.port))
        for status in (301, 302, 303, 307, 308):
            with QuirkServer(moved(to, status)) as server:
                url = f"http://allowed.example:{server.port}/"
                for method in ("GET", "POST", "PUT"):
                    with pytest.raises(CannotFetch):
                        await client.request(method, url, allowed_hosts=ALLOWED, **BOUNDS)
                assert len(server.requests) == 3

    run(work())
    assert set(listener.dialled) == {"127.0.0.1"}
    assert len(listener.dialled) == 15  # the redirecting servers, and nothing else
    assert not listener.took_one()


def test_a_name_that_changes_after_the_look_is_not_asked_again(listener: Listener) -> None:
    names = Names(["93.184.215.14"], ["127.0.0.1"])

    async def work() -> None:
        with pytest.raises(CannotFetch, match=r"a\.example cannot be reached"):
            await GuardedClient(names).fetch(f"http://a.example:{listener.port}/", allowed_hosts=[], **BOUNDS)

    run(work())
    assert names.asked == ["a.example"]
    assert listener.dialled == ["93.184.215.14"]
    assert not listener.took_one()


def test_this_machines_own_public_address(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback stands in for an interface with a public address."""
    monkeypatch.setattr(judging, "is_public", lambda address: address.is_loopback or is_public(address))
    run(ways(Try("own", ""), f"http://127.0.0.1:{listener.port}/"))
    assert not listener.dialled


# --- Servers that would keep this one busy ----------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\n"
ENDLESS = {
    "body without a length": (HEAD + b"\r\n", b"x" * 100),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"64\r\n" + b"x" * 100 + b"\r\n"),
    "packed zeros": (HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(10_000))[:-8], b""),
    "header": (HEAD + b"X: ", b"x" * 1_000),
    "headers": (HEAD, b"X: x\r\n" * 100),
    "first line": (b"HTTP/1.1 200 ", b"x" * 1_000),
    "length of a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 1_000),
    "comment of a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 1_000),
    "trailers": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: x\r\n" * 100),
    "length by a number": (HEAD + b"Content-Length: 99999999999999999999\r\n\r\n", b"x" * 100),
    "length of a long number": (HEAD + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n", b""),
    "two lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", b"x"),
    "encodings": (HEAD + b"Content-Encoding: " + b"gzip, " * 100 + b"gzip\r\n\r\n", b""),
    "another protocol": (b"+OK POP3 ready\r\n\r\n", b""),
    "upgrade": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", b"x" * 100),
}
ENDLESS_IN_TIME = {
    "head that comes bytewise": (HEAD, b"X"),
    "body that comes bytewise": (HEAD + b"\r\n", b"x"),
    "packed nothing": (HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"")[:10], b"\0\0\0\xff\xff"),
    "silence": (b"", b""),
    "a greeting": (b"SSH-2.0-OpenSSH_9.6\r\n", b""),
    "interim answers": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
}


@contextlib.asynccontextmanager
async def sending(first: bytes, again: bytes, pause: float = 0.0) -> AsyncIterator[int]:
    """A server that sends `first`, then `again` for ever."""

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        with suppress(ConnectionError, asyncio.CancelledError):
            writer.write(first)
            while not reader.at_eof():
                writer.write(again)
                await writer.drain()
                await asyncio.sleep(pause if again else 0.05)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await close(server)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving)


@pytest.mark.parametrize(("first", "again"), ENDLESS.values(), ids=ENDLESS)
def test_what_never_ends_is_ended(first: bytes, again: bytes) -> None:
    async def work() -> None:
        async with sending(first, again) as port:
            for foreign in (False, True):
                started = time.monotonic()
                with pytest.raises(CannotFetch) as caught:
                    await ask(f"http://a.example:{port}/", foreign)
                assert "took longer" not in caught.value.message
                assert time.monotonic() - started < 20

    run(work())


async def ask(url: str, foreign: bool) -> None:
    if not foreign:
        client = GuardedClient(Names(["127.0.0.1"]))
        await client.request("GET", url, max_bytes=1_000, seconds=30, allowed_hosts=LOOPBACK)
        return
    transport = GuardedTransport(max_bytes=1_000, allowed_hosts=LOOPBACK, resolve=Names(["127.0.0.1"]))
    async with httpx2.AsyncClient(transport=transport, timeout=30) as other:
        await other.get(url)


@pytest.mark.parametrize(("first", "again"), ENDLESS_IN_TIME.values(), ids=ENDLESS_IN_TIME)
def test_what_comes_slowly_is_ended_by_time(first: bytes, again: bytes) -> None:
    async def work() -> None:
        async with sending(first, again, pause=0.01) as port:
            client, started = GuardedClient(Names(["127.0.0.1"])), time.monotonic()
            with pytest.raises(CannotFetch, match=r"took longer than 0\.2 seconds") as caught:
                await client.fetch(f"http://a.example:{port}/", max_bytes=1_000, seconds=0.2, allowed_hosts=LOOPBACK)
            assert caught.value.was_sent
            assert time.monotonic() - started < 20

    run(work())


def test_redirects_between_servers_come_to_an_end() -> None:
    with QuirkServer(page()) as one, QuirkServer(moved(f"http://127.0.0.1:{one.port}/", 307)) as other:
        one.script = [moved(f"http://127.0.0.1:{other.port}/", 307)]

        async def work() -> None:
            with pytest.raises(CannotFetch, match="redirected more than 5 times"):
                await GuardedClient().fetch(f"http://127.0.0.1:{one.port}/", allowed_hosts=LOOPBACK, **BOUNDS)

        run(work())
        assert len(one.requests) + len(other.requests) == 6
