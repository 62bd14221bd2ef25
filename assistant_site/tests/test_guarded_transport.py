"""Somebody else's HTTP client over the guarded transport."""

import asyncio
import gzip
from pathlib import Path
from typing import Any

import httpx2
import pytest

from assistant_site.fetching import CannotFetch, GuardedTransport
from assistant_site.llm.tests.quirk_server import CUT, HANG, Answer, QuirkServer, answering, streaming
from assistant_site.tests.test_fetching import LOOPBACK, ZEROS, Names, moved, page, run, tls_server


def client(addresses: list[str] | None = None, **how: Any) -> httpx2.AsyncClient:
    guard = {key: how.pop(key) for key in ("ports", "verify") if key in how}
    names = Names(addresses or ["127.0.0.1"])
    return httpx2.AsyncClient(
        transport=GuardedTransport(max_bytes=1_000, allowed_hosts=LOOPBACK, resolve=names, **guard), **how
    )


def test_a_foreign_client_is_served() -> None:
    async def work() -> None:
        with QuirkServer(answering({"a": "b"}, 201, {"Mcp-Session-Id": "s"})) as server:
            async with client(headers={"Authorization": "Bearer x", "Host": "inner.example"}) as foreign:
                answer = await foreign.post(f"http://mcp.example:{server.port}/mcp?a=b", json={"c": "d"})
            assert (answer.status_code, answer.json(), answer.headers["mcp-session-id"]) == (201, {"a": "b"}, "s")
            [sent] = server.requests
        assert (sent.method, sent.path, sent.body) == ("POST", "/mcp?a=b", {"c": "d"})
        assert (sent.headers["host"], sent.headers["authorization"]) == (f"mcp.example:{server.port}", "Bearer x")
        assert sent.headers["accept-encoding"] == "gzip"

    run(work())


def test_content_that_is_streamed_arrives() -> None:
    async def work() -> None:
        async def content() -> Any:
            yield b"[1"
            yield b"]"

        with QuirkServer(page()) as server:
            async with client() as foreign:
                url = f"http://a.example:{server.port}/"
                await foreign.post(url, content=content(), headers={"Content-Length": "3"})
            assert server.requests[0].body == [1]

    run(work())


@pytest.mark.parametrize(
    ("url", "addresses", "message"),
    [
        ("http://a.example/", ["10.0.0.1"], "The address of a.example is not public."),
        ("http://a.example/", ["93.184.215.14", "::1"], "The address of a.example is not public."),
        ("http://a:b@a.example/", ["127.0.0.1"], "An address with a user name or password in it is not fetched."),
        ("http://a.example:99999/", ["127.0.0.1"], "The address is not a valid URL."),
        ("http://a.example:81/", ["127.0.0.1"], "Port 81 of a.example is not allowed."),
    ],
)
def test_a_foreign_client_is_judged(url: str, addresses: list[str], message: str) -> None:
    async def work() -> None:
        async with client(addresses, ports={80, 99999}) as foreign:
            with pytest.raises(httpx2.TransportError) as caught:
                await foreign.get(url)
            assert isinstance(caught.value, CannotFetch)
            assert (caught.value.message, caught.value.was_sent) == (message, False)

    run(work())


def test_a_foreign_clients_redirects_are_judged() -> None:
    async def work() -> None:
        with QuirkServer(moved("http://169.254.169.254/latest")) as server:
            names = Names(["127.0.0.1"], ["169.254.169.254"])
            transport = GuardedTransport(max_bytes=1_000, allowed_hosts=LOOPBACK, resolve=names)
            async with httpx2.AsyncClient(transport=transport, follow_redirects=True) as foreign:
                with pytest.raises(CannotFetch, match=r"The address of 169\.254\.169\.254 is not public\."):
                    await foreign.get(f"http://a.example:{server.port}/")

    run(work())


def test_each_request_is_judged_anew_on_a_connection_of_its_own() -> None:
    async def work() -> None:
        with QuirkServer(page()) as server:
            names = Names(["127.0.0.1"], ["127.0.0.1"], ["127.0.0.1"], ["10.0.0.1"])
            transport = GuardedTransport(max_bytes=1_000, allowed_hosts=LOOPBACK, resolve=names)
            async with httpx2.AsyncClient(transport=transport) as foreign:
                for name in ("a", "b", "a"):
                    await foreign.get(f"http://{name}.example:{server.port}/")
                assert server.connections == 3
                with pytest.raises(CannotFetch):
                    await foreign.get(f"http://a.example:{server.port}/")
            assert server.connections == 3

    run(work())


def test_neither_cookies_nor_the_environments_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def work() -> None:
        with QuirkServer(page(set_cookie="a=b")) as server:
            async with client() as foreign:
                for _ in range(2):
                    await foreign.get(f"http://a.example:{server.port}/")
                assert not foreign.cookies
            assert not any("cookie" in request.headers for request in server.requests)

    run(work())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (page(bytes(1_001)), "What a.example sends is larger than 1000 bytes."),
        (Answer((bytes(600), bytes(600))), "What a.example sends is larger than 1000 bytes."),
        (page(ZEROS, content_encoding="gzip"), "What a.example sends is larger than 1000 bytes."),
        (page(b"x", content_encoding="deflate"), "a.example answered in an encoding that was not asked for."),
        (Answer((b"half", CUT)), "a.example broke off in the middle of its answer."),
        (Answer((b"half", HANG)), "a.example broke off in the middle of its answer."),
        (Answer(before=30), "a.example did not answer in time."),
        (Answer(headers={"bad header": "b"}), "a.example did not answer as a web server does."),
    ],
)
def test_what_servers_do_to_a_foreign_client(answer: Answer, message: str) -> None:
    async def work() -> None:
        with QuirkServer(answer) as server:
            async with client(timeout=0.2) as foreign:
                with pytest.raises(CannotFetch) as caught:
                    await foreign.get(f"http://a.example:{server.port}/")
            assert (caught.value.message, caught.value.was_sent) == (message, True)

    run(work())


def test_a_packed_answer_is_unpacked_once() -> None:
    async def work() -> None:
        with QuirkServer(page(gzip.compress(b"hello"), content_encoding="gzip")) as server:
            async with client() as foreign:
                answer = await foreign.get(f"http://a.example:{server.port}/")
        assert answer.content == b"hello"

    run(work())


def test_an_event_stream_comes_as_it_is_sent_and_is_bounded_by_its_bytes() -> None:
    async def work() -> None:
        pieces = (b"data: 1\n\n", 0.1, b"data: 2\n\n", HANG)
        with QuirkServer(Answer(pieces), streaming(*[b"data: " + b"x" * 90 + b"\n\n"] * 100)) as server:
            async with client(timeout=httpx2.Timeout(5, read=None)) as foreign:
                seen = []
                async with foreign.stream("GET", f"http://a.example:{server.port}/") as answer:
                    async for line in answer.aiter_lines():
                        seen.append(line)
                        if line == "data: 2":
                            break
                assert seen == ["data: 1", "", "data: 2"]
                async with foreign.stream("GET", f"http://a.example:{server.port}/") as answer:
                    with pytest.raises(CannotFetch, match="larger than 1000 bytes"):
                        await answer.aread()
                for _ in range(100):
                    if server.left:
                        break
                    await asyncio.sleep(0.01)
                assert server.left == 1

    run(work())


def test_tls_is_verified_against_the_name_for_a_foreign_client(tmp_path: Path) -> None:
    async def work() -> None:
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
        async with (
            tls_server(tmp_path, "mcp.example", answer) as (port, trusting, asked),
            client(verify=trusting) as foreign,
        ):
            assert (await foreign.get(f"https://mcp.example:{port}/")).text == "hello"
            with pytest.raises(CannotFetch, match=r"other\.example has no valid certificate"):
                await foreign.get(f"https://other.example:{port}/", headers={"Host": "mcp.example"})
            assert asked == ["mcp.example", "other.example"]

    run(work())
