"""The client against daemons that go away: several hosts, lost connections, answers that make no sense."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox import client as client_module
from sandbox import hosts
from sandbox.client import RemoteSandbox
from sandbox.hosts import Host, Hosts
from sandbox.protocol import CallLost, Done, Health, Limits, Reason, SandboxUnavailable, SessionGone, SessionKey, Stdout
from sandbox.tests.scripted import AVAILABLE, KEY, Script, collected, serving, until

pytestmark = pytest.mark.sandbox

DONE = b'{"event":"done","ok":true,"reason":"completed","restarted":false,"changed":[],"message":""}\n'
OVER = Done(True, Reason.COMPLETED)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PAUSES", (0.05, 0.05))
    monkeypatch.setattr(client_module, "SILENCE_SECONDS", 1.0)


@asynccontextmanager
async def answering(path: Path, *answers: bytes) -> Any:
    """A server that gives each connection the next of these answers, and then cuts it."""
    left = list(answers)
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(left.pop(0) if left else b"")
        writer.close()

    server = await asyncio.start_unix_server(serve, str(path))
    try:
        yield asked
    finally:
        server.close()


def streamed(*lines: bytes) -> bytes:
    """An answer whose body never comes to its proper end."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(line), line) for line in lines)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body


def told_by(path: Path, *answers: bytes, **options: bool) -> Any:
    """What an execute comes to."""

    async def main() -> list[Any]:
        async with answering(path, *answers):
            client = RemoteSandbox([f"unix://{path}"])
            told: list[Any] = []
            try:
                async for event in client.execute(KEY, f"{Host.of(f'unix://{path}').mark}.g", "c", "x", **options):
                    told.append(event)
            except Exception as problem:
                told.append(problem)
            await client.disconnect()
            return told

    return asyncio.run(main())


def test_a_call_whose_connection_is_cut_is_taken_up_where_it_was(tmp_path: Path) -> None:
    a, b = b'{"event":"stdout","text":"a"}\n', b'{"event":"stdout","text":"b"}\n'
    told = told_by(tmp_path / "s", streamed(a), b"", streamed(a, b"\n", b"\n\n", b, DONE))
    assert told == [Stdout("a"), Stdout("b"), OVER]


def test_a_call_that_cannot_be_taken_up_is_lost(tmp_path: Path) -> None:
    gone = b'{"error":"SessionGone","message":"The session has ended."}'
    refused = b"HTTP/1.1 410 Gone\r\nContent-Length: %d\r\n\r\n%s" % (len(gone), gone)
    told = told_by(tmp_path / "s", streamed(b'{"event":"stdout","text":"a"}\n'), refused)
    assert told[0] == Stdout("a")
    assert isinstance(told[1], CallLost)
    assert len(told) == 2
    # Told at the first attempt, the same answer means that nothing was begun.
    [problem] = told_by(tmp_path / "t", refused)
    assert isinstance(problem, SessionGone)


def test_nothing_that_can_be_reached_is_unavailable(tmp_path: Path) -> None:
    async def main() -> None:
        client = RemoteSandbox([f"unix://{tmp_path}/none"])
        health = await client.health()
        assert not health.is_available
        assert str(tmp_path) in health.reason
        assert health.remedy
        generation = f"{Host.of(f'unix://{tmp_path}/none').mark}.g"
        with pytest.raises(SandboxUnavailable):
            await client.open(KEY, Limits())
        with pytest.raises(SandboxUnavailable):
            await client.files(KEY, generation)
        with pytest.raises(SandboxUnavailable):
            await collected(client.execute(KEY, generation, "c", "x"))
        await client.interrupt(KEY)
        await client.close(KEY)
        with pytest.raises(SessionGone):
            await client.files(KEY, "another.g")

    asyncio.run(main())


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense\n",
        b"[]\n",
        b"[" * 100_000 + b"\n",
        b'{"event":"stdout","text":1}\n',
        b'{"event":"done","ok":true,"reason":"bored","restarted":false,"changed":[],"message":""}\n',
        b'{"event":"done","ok":true,"reason":"completed","restarted":false,"changed":[1],"message":""}\n',
        b'{"event":"image","mime":"image/png","data":"?"}\n',
        b'{"event":"refused","error":"SystemExit","message":""}\n',
        b"x" * 17_000_000,
    ],
    ids=lambda line: line[:20].decode(),
)
def test_an_answer_that_makes_no_sense_is_a_lost_call(tmp_path: Path, line: bytes) -> None:
    told = told_by(tmp_path / "s", streamed(line, DONE))
    assert [type(each) for each in told] == [CallLost]


def test_lone_surrogates_do_not_come_through(tmp_path: Path) -> None:
    told = told_by(tmp_path / "s", streamed(b'{"event":"stdout","text":"\\ud800"}\n', DONE))
    assert told == [Stdout("?"), OVER]


def test_sessions_are_spread_over_hosts_and_stay_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "HEALTH_SECONDS", 0.05)

    async def main() -> None:
        scripts = [Script(), Script()]
        urls = [f"unix://{tmp_path}/{name}" for name in "ab"]
        client = RemoteSandbox(urls)
        keys = [SessionKey("t", f"thread{number}") for number in range(12)]
        async with serving(tmp_path / "a", scripts[0], sessions=20, limits=Limits(sessions=20)):
            async with serving(tmp_path / "b", scripts[1], sessions=20, limits=Limits(sessions=20)):
                limits = Limits(sessions=20)
                opened = {key: await client.open(key, limits) for key in keys}
                shares = [len(script.started) for script in scripts]
                assert sum(shares) == 12
                assert min(shares) > 0
                for key in keys:
                    assert (await client.open(key, limits)).generation == opened[key].generation
                    assert await collected(client.execute(key, opened[key].generation, "c", "")) == [OVER]
                await asyncio.sleep(0.1)  # until the last answer about their health is too old
                assert (await client.health()).sessions == 12
                assert Counter(each["host"] for each in await client.sessions()).total() == 12
            await asyncio.sleep(0.1)
            # The other host's sessions are opened here now; its own are where they were.
            again = {key: await client.open(key, limits) for key in keys}
            assert sum(each.is_new for each in again.values()) == shares[1]
            health = await client.health()
            assert health.is_available
            assert health.notes == ("1 of 2 sandbox hosts are off.",)
            async with serving(tmp_path / "b", Script(), sessions=20, limits=Limits(sessions=20)):
                await asyncio.sleep(0.1)
                for key in keys:  # wherever a new session would be opened, this one is found
                    assert await collected(client.execute(key, again[key].generation, "d", "")) == [OVER]
        await client.disconnect()

    asyncio.run(main())


def test_a_host_that_goes_or_comes_moves_only_its_own_share() -> None:
    async def main() -> None:
        well: Callable[[Host], Awaitable[Health]] = lambda host: asyncio.sleep(0, AVAILABLE)  # noqa: E731
        three = [Host.of(f"http://host{number}:1") for number in range(3)]
        keys = [SessionKey("t", f"thread{number}") for number in range(300)]
        of_three = {key: (await Hosts(three, well).candidates(key))[0] for key in keys}
        of_two = {key: (await Hosts(three[:2], well).candidates(key))[0] for key in keys}
        assert all(of_two[key] == host for key, host in of_three.items() if host != three[2])
        assert all(60 < count < 140 for count in Counter(of_three.values()).values())

    asyncio.run(main())


@pytest.mark.parametrize("url", ["", "/a/b", "unix://a/b", "ftp://a", "http://", "unix:a"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is no address of a sandbox"):
        RemoteSandbox([url])


def test_one_client_serves_several_loops(tmp_path: Path) -> None:
    client = RemoteSandbox([f"unix://{tmp_path}/s"])

    async def main() -> None:
        async with serving(tmp_path / "s"):
            opened = await client.open(KEY, Limits())
            async with aclosing(client.execute(KEY, opened.generation, "c", "print a")) as events:  # type: ignore[type-var]
                assert await anext(events) == Stdout("a")
            assert (await client.health()).is_available
            await client.disconnect()

    for _ in range(2):
        asyncio.run(main())


def test_the_health_of_a_daemon_that_prepares_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        ready = asyncio.Event()

        async def prepare(environment: Path) -> None:
            await ready.wait()

        async with serving(tmp_path / "s", prepare=prepare, quick=False) as (daemon, client):
            health = await client.health()
            assert health.is_preparing
            assert "being prepared" in health.sentence
            with pytest.raises(SandboxUnavailable, match="being prepared"):
                await client.open(KEY, Limits())
            ready.set()
            await until(lambda: daemon.readiness.health.is_available)
            assert (await client.open(KEY, Limits())).is_new

    asyncio.run(main())
