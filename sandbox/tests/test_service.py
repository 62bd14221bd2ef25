"""The daemon's HTTP against callers that mean no good: names, sizes, JSON, tokens; and files in and out."""

import asyncio
import json
import secrets
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import httpx2
import pytest

from sandbox import wire
from sandbox.client import RemoteSandbox
from sandbox.configuration import Configuration, WrongSetting
from sandbox.daemon import Daemon
from sandbox.protocol import FileRefused, Limits, SandboxUnavailable, SessionKey
from sandbox.tests.scripted import KEY, Script, collected, one_piece, serving, until, well

pytestmark = pytest.mark.sandbox

NAMES = ["a.csv", "a b/c%20d?e#f.txt", "ü/日本.png", "...", ".hidden", "a\\b", "%2e%2e", "x" * 255, "a&b=c+d", "'\";"]
BAD_NAMES = ["", "/a", "../a", "a/../b", "a//b", "a/", ".", "..", "a\nb", "a\x00b", "\x1b[1m", "x" * 256, "é" * 128]
SESSION = f"/v1/sessions/{KEY.tenant_id}/{KEY.thread_id}"


def raw(path: Path) -> httpx2.AsyncClient:
    transport = httpx2.AsyncHTTPTransport(uds=str(path))
    return httpx2.AsyncClient(transport=transport, base_url="http://sandbox", trust_env=False, timeout=20)


def test_files_go_in_and_out_under_any_name_that_is_one(tmp_path: Path) -> None:
    async def main() -> None:
        script = Script()
        async with serving(tmp_path / "s", script) as (_, client):
            opened = await client.open(KEY, Limits())
            for number, name in enumerate(NAMES):
                content = secrets.token_bytes(number * 100_000)
                await client.put(KEY, opened.generation, name, one_piece(content), len(content), f"file-{number}")
                assert script.started[0].contents[name] == content
                assert b"".join([piece async for piece in client.read(KEY, opened.generation, name, 10**7)]) == content
            assert [file.name for file in await client.files(KEY, opened.generation)] == NAMES
            assert list((await client.open(KEY, Limits())).files) == NAMES
            with pytest.raises(FileRefused, match="cannot be read"):
                [piece async for piece in client.read(KEY, opened.generation, "nothing", 100)]

    asyncio.run(main())


@pytest.mark.parametrize("name", [*BAD_NAMES, "\udc80", "/".join(["abcdefgh"] * 200)])
def test_a_bad_name_gets_neither_out_of_the_client_nor_into_the_session(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileRefused):
        wire.checked_name(name)


def test_bad_names_and_keys_are_refused_on_the_wire(tmp_path: Path) -> None:
    async def main() -> None:
        script = Script()
        async with serving(tmp_path / "s", script) as (_, client), raw(tmp_path / "s") as http:
            opened = await client.open(KEY, Limits())
            own = opened.generation.partition(".")[2]
            for name in ("%2e%2e/a", "a%2F..%2F..%2Fb", "%2Fetc%2Fpasswd", "a%00b", "a%0ab", "a//b", "x" * 256):
                answer = await http.put(f"{SESSION}/files/{name}?generation={own}", content=b"x")
                assert answer.status_code in (404, 422), name
            tag = await http.put(f"{SESSION}/files/a?generation={own}&tag=a%2Fb", content=b"x")
            assert tag.status_code == 422
            for key in ("a/b%2Fc", "a/b%20c", "a/" + "b" * 129, "a/%00", "ü/b"):
                assert (await http.put(f"/v1/sessions/{key}")).status_code in (400, 404), key
            assert script.started[0].contents == {}
            with pytest.raises(wire.Malformed):
                await client.open(SessionKey("..", "x"), Limits())

    asyncio.run(main())


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"[" * 100_000,
        b'{"generation": 1, "call_id": "a", "code": ""}',
        b'{"generation": "g", "call_id": "", "code": ""}',
        b'{"generation": "g", "call_id": "' + b"a" * 201 + b'", "code": ""}',
        b'{"generation": "g", "call_id": "a", "code": ["x"]}',
        b'{"generation": "g", "call_id": "a", "code": "", "attach_only": 1}',
        json.dumps({"generation": "g", "call_id": "a", "code": "x" * 1_100_000}).encode(),
        b'"' + b"x" * 5_000_000 + b'"',
        b"\xff\xfe",
    ],
    ids=str,
)
def test_a_body_that_is_no_request_is_refused(tmp_path: Path, body: bytes) -> None:
    async def main() -> None:
        async with serving(tmp_path / "s") as (_, client), raw(tmp_path / "s") as http:
            await client.open(KEY, Limits())
            answer = await http.post(f"{SESSION}/execute", content=body)
            assert answer.status_code in (400, 413)
            assert isinstance(answer.json()["message"], str)
            assert (await client.health()).is_available

    asyncio.run(main())


def test_limits_are_the_lower_of_what_is_asked_and_the_daemons(tmp_path: Path) -> None:
    async def main() -> None:
        script = Script()
        async with serving(tmp_path / "s", script) as (_, client), raw(tmp_path / "s") as http:
            asked = {"memory_bytes": 10**15, "seconds": 5, "sessions": 1_000}
            assert (await http.put(SESSION, content=json.dumps(asked))).status_code == 200
            assert script.started[0].limits == Limits(seconds=5.0)
            for wrong in (
                {"seconds": 0},
                {"memory_bytes": -1},
                {"data_bytes": "1"},
                {"sessions": True},
                {"seconds": "x"},
            ):
                assert (await http.put(SESSION, content=json.dumps(wrong))).status_code == 400
            assert (await http.put(SESSION, content=b'{"seconds": NaN}')).status_code == 400
            assert client is not None

    asyncio.run(main())


def test_a_file_larger_than_the_session_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async def main() -> None:
        script = Script()
        async with serving(tmp_path / "s", script) as (_, client), raw(tmp_path / "s") as http:
            opened = await client.open(KEY, Limits(data_bytes=1_000_000))

            async def endless() -> AsyncIterator[bytes]:
                while True:
                    yield bytes(100_000)

            with pytest.raises(FileRefused, match="has 2000000 bytes"):
                await client.put(KEY, opened.generation, "a", one_piece(bytes(2_000_000)), 2_000_000)
            with pytest.raises(FileRefused, match="another size"):
                await client.put(KEY, opened.generation, "a", one_piece(b"abc"), 5)
            with pytest.raises(FileRefused, match="another size"):
                await client.put(KEY, opened.generation, "a", endless(), 150_000)
            own = opened.generation.partition(".")[2]
            answer = await http.put(f"{SESSION}/files/a?generation={own}", content=endless())
            assert (answer.status_code, answer.json()["message"]) == (
                400,
                "A file's size must be said in Content-Length.",
            )
            await until(lambda: not script.started[0].contents)
            assert (await client.open(KEY, Limits())).files == {}

    asyncio.run(main())


def test_a_port_needs_its_token(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"

    async def main() -> None:
        configuration = Configuration(
            tmp_path, listen=("127.0.0.1", port), token="a secret", token_fallbacks=("the last one",)
        )
        daemon = Daemon(configuration, Script(), None, well)
        async with daemon.serving():
            await until(lambda: daemon.readiness.health.is_available)
            for client in (RemoteSandbox([address]), RemoteSandbox([address], "another")):
                assert not (await client.health()).is_available
                with pytest.raises(SandboxUnavailable, match="refuses the token"):
                    await client.open(KEY, Limits())
                await client.disconnect()
            async with httpx2.AsyncClient(trust_env=False) as http:
                for presented in ({}, {"Authorization": "Bearer"}, {"Authorization": "a secret"}):
                    for path in ("/health", "/v1/sessions", "/nothing"):
                        assert (await http.get(address + path, headers=presented)).status_code == 401
            for token in ("a secret", "the last one"):
                friend = RemoteSandbox([address], token)
                opened = await friend.open(KEY, Limits())
                assert len(await collected(friend.execute(KEY, opened.generation, token, "print a"))) == 2
                await friend.disconnect()

    asyncio.run(main())


def test_the_socket_is_its_users_alone_and_gone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def main() -> None:
        async with serving(path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            with pytest.raises(WrongSetting, match="another sandboxd is serving"):
                async with serving(path):
                    pass
            assert path.exists()
        assert not path.exists()
        leftover = socket.socket(socket.AF_UNIX)
        leftover.bind(str(path))
        leftover.close()
        async with serving(path, socket_mode=0o660) as (_, client):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            assert (await client.health()).is_available

    asyncio.run(main())


def test_the_list_of_sessions_tells_age_idleness_and_memory(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "s") as (_, client), raw(tmp_path / "s") as http:
            await client.open(KEY, Limits())
            [session] = await client.sessions()
            assert (session["tenant"], session["thread"], session["memory"]) == (KEY.tenant_id, KEY.thread_id, 1_000)
            assert 0 <= session["idle"] <= session["age"] < 5
            told = (await http.get("/health")).json()
            assert (told["sessions"], told["pool"], told["memory"]) == (1, 0, 1_000)

    asyncio.run(main())


def test_a_thousand_requests_are_answered(tmp_path: Path) -> None:
    async def main() -> None:
        script = Script()
        async with serving(tmp_path / "s", script) as (_, client):
            opened = await client.open(KEY, Limits())
            code = "wait 0.3\nprint a"
            followed, listed = await asyncio.gather(
                asyncio.gather(*(collected(client.execute(KEY, opened.generation, "c", code)) for _ in range(500))),
                asyncio.gather(*(client.files(KEY, opened.generation) for _ in range(500))),
            )
            assert all(len(events) == 2 for events in followed)
            assert listed == [[]] * 500
            assert len(script.started[0].ran) == 1

    asyncio.run(main())


def test_a_reader_who_goes_leaves_the_session_well(tmp_path: Path) -> None:
    async def main() -> None:
        script = Script()
        async with serving(tmp_path / "s", script) as (daemon, client):
            opened = await client.open(KEY, Limits())
            content = secrets.token_bytes(8_000_000)
            await client.put(KEY, opened.generation, "a", one_piece(content), len(content))
            async with aclosing(client.read(KEY, opened.generation, "a", 10**8)) as pieces:  # type: ignore[type-var]
                await anext(pieces)
            await client.disconnect()
            await until(lambda: script.started[0].is_read)
            await until(lambda: not daemon.pool.held[KEY].is_busy)
            assert b"".join([piece async for piece in client.read(KEY, opened.generation, "a", 10**8)]) == content

    asyncio.run(main())


def test_a_file_that_breaks_off_is_not_taken_for_whole(tmp_path: Path) -> None:
    async def main() -> None:
        script = Script()
        async with serving(tmp_path / "s", script) as (_, client):
            opened = await client.open(KEY, Limits())
            await client.put(KEY, opened.generation, "a", one_piece(bytes(2_000_000)), 2_000_000)
            script.started[0].breaks_off = True
            with pytest.raises(FileRefused, match="not be read to its end"):
                [piece async for piece in client.read(KEY, opened.generation, "a", 10**8)]

    asyncio.run(main())


def test_an_upload_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    async def main() -> None:
        script = Script()
        async with serving(tmp_path / "s", script) as (daemon, client):
            opened = await client.open(KEY, Limits())

            async def broken() -> AsyncIterator[bytes]:
                yield bytes(300_000)
                raise OSError("the storage is away")

            with pytest.raises(OSError, match="away"):
                await client.put(KEY, opened.generation, "a", broken(), 600_000, "file-1")
            await until(lambda: not daemon.pool.held[KEY].is_busy)
            assert script.started[0].contents == {}
            assert (await client.open(KEY, Limits())).files == {}

    asyncio.run(main())
