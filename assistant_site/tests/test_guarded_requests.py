"""Requests of every method through the guarded client: what arrives, where redirects lead, and what can be repeated."""

import asyncio
import gzip
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from assistant_site import fetching
from assistant_site.fetching import Answer, CannotFetch, GuardedClient
from assistant_site.llm.tests import quirk_server
from assistant_site.llm.tests.quirk_server import CUT, HANG, QuirkServer, answering
from assistant_site.tests.test_fetching import LOOPBACK, Names, moved, page, run, tls_server

SECRET = {"Authorization": "Bearer s3cret", "X-Key": "s3cret", "Content-Type": "application/json"}


def request(method: str, url: str, *, client: GuardedClient | None = None, **how: Any) -> Answer:
    bounds: dict[str, Any] = {"max_bytes": 1_000_000, "seconds": 5.0, "allowed_hosts": LOOPBACK, **how}

    async def work() -> Answer:
        return await (client.request if client is not None else fetching.request)(method, url, **bounds)

    return run(work())


def failure(method: str, url: str, **how: Any) -> CannotFetch:
    with pytest.raises(CannotFetch) as caught:
        request(method, url, **how)
    return caught.value


# --- What arrives -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "post"])
def test_method_headers_and_content_arrive(method: str) -> None:
    with QuirkServer(answering({"ok": 1}, 201, {"X-Made": "Yes", "Set-Cookie": "a=b"})) as server:
        url = f"http://127.0.0.1:{server.port}/a%20b?c=%2F"
        answer = request(method, url, content=b'{"a": 1}', headers=SECRET)
        [sent] = server.requests
    assert (sent.method, sent.path, sent.body) == (method.upper(), "/a%20b?c=%2F", {"a": 1})
    assert (sent.headers["authorization"], sent.headers["x-key"]) == ("Bearer s3cret", "s3cret")
    assert sent.headers["user-agent"] == "Holdfast"
    assert (answer.url, answer.status, answer.body) == (url, 201, b'{"ok": 1}')
    assert answer.content_type == answer.headers["content-type"] == "application/json"
    assert answer.headers["x-made"] == "Yes"
    assert "set-cookie" not in answer.headers
    assert "ok" not in repr(answer)


def test_a_head_has_no_body() -> None:
    head = quirk_server.Answer((), 200, {"content-length": "5000000", "content-encoding": "gzip"}, "close")
    with QuirkServer(head) as server:
        answer = request("HEAD", f"http://127.0.0.1:{server.port}/")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "5000000")


@pytest.mark.parametrize("status", [204, 304, 400, 404, 429, 500, 503])
def test_every_status_is_an_answer(status: int) -> None:
    with QuirkServer(page(b"" if status in (204, 304) else b"why", status)) as server:
        answer = request("POST", f"http://127.0.0.1:{server.port}/")
        assert server.requests[0].headers["content-length"] == "0"
    assert (answer.status, answer.body) == (status, b"" if status in (204, 304) else b"why")


@pytest.mark.parametrize("packed", [gzip.compress(b"hello"), b""], ids=["packed", "empty"])
def test_a_packed_answer_is_given_unpacked(packed: bytes) -> None:
    with QuirkServer(page(packed, content_encoding="gzip")) as server:
        answer = request("POST", f"http://127.0.0.1:{server.port}/")
    assert answer.body == (b"hello" if packed else b"")
    assert not {"content-encoding", "content-length"} & set(answer.headers)


def test_what_belongs_to_the_connection_is_not_the_callers() -> None:
    given = {
        "Host": "inner.example",
        "Content-Length": "1",
        "Transfer-Encoding": "chunked",
        "Connection": "keep-alive, X-Key",
        "Upgrade": "websocket",
        "Expect": "100-continue",
        "TE": "trailers",
        "Proxy-Authorization": "Basic x",
        "accept-encoding": "br",
        "X-Key": " y\t",
        "Accept": "application/json",
    }
    with QuirkServer(page()) as server:
        request("POST", f"http://127.0.0.1:{server.port}/", content=b"[1]", headers=given)
        [sent] = server.requests
    assert sent.headers == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": "Holdfast",
        "accept": "application/json",
        "accept-encoding": "gzip",
        "x-key": "y",
        "content-length": "3",
        "connection": "close",
    }
    assert sent.body == [1]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "b\r\nX-Injected: c"},
        {"X-A": "b\nc"},
        {"X-A": "b\rc"},
        {"X-A": "b\0"},
        {"X-A": "b\x7f"},
        {"X-A": "ü"},
        {"X-A": "b\u2028c"},
        {"X-A\r\nX-Injected": "c"},
        {"X-A: b\r\nX": "c"},
        {"X A": "b"},
        {"": "b"},
        {"Ä": "b"},
    ],
)
def test_nothing_is_smuggled_into_headers(headers: dict[str, str]) -> None:
    with QuirkServer(page()) as server:
        error = failure("POST", f"http://127.0.0.1:{server.port}/", headers=headers)
        assert server.connections == 0
    assert error.message == "A header of the request has characters that cannot be sent in one."
    assert not error.was_sent


def test_nothing_is_smuggled_into_the_path() -> None:
    with QuirkServer(page()) as server:
        url = f"http://127.0.0.1:{server.port}/"
        for path in ("a\r\nX-Injected: b", "a b\nc", "a\0", "a\tb"):
            assert failure("GET", url + path).message == "The address is not a valid URL."
        assert server.connections == 0
        request("GET", url + "a HTTP/1.1%0d%0aX-Injected:b")
        [sent] = server.requests
    assert sent.path == "/a%20HTTP/1.1%0d%0aX-Injected:b"
    assert "x-injected" not in sent.headers


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "", "GET / HTTP/1.1\r\nX: y\r\n\r\nGET", "G ET"])
def test_other_methods_are_refused(method: str) -> None:
    error = failure(method, "http://127.0.0.1:1/")
    assert error.message == "Requests can be GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE."


# --- Redirects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "status", "becomes"),
    [
        ("GET", 301, "GET"),
        ("GET", 303, "GET"),
        ("GET", 307, "GET"),
        ("HEAD", 303, "HEAD"),
        ("OPTIONS", 302, "OPTIONS"),
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("POST", 303, "GET"),
        ("POST", 307, "POST"),
        ("POST", 308, "POST"),
        ("PUT", 301, "PUT"),
        ("PUT", 303, "GET"),
        ("PATCH", 302, "PATCH"),
        ("DELETE", 301, "DELETE"),
        ("DELETE", 308, "DELETE"),
    ],
)
def test_a_redirect_within_the_origin(method: str, status: int, becomes: str) -> None:
    with QuirkServer(moved("/b", status), page()) as server:
        request(method, f"http://127.0.0.1:{server.port}/a", content=b"[1]", headers=SECRET)
        _, second = server.requests
    assert (second.method, second.path, second.headers["x-key"]) == (becomes, "/b", "s3cret")
    keeps = becomes == method and (method, status) != ("GET", 303)
    assert second.body == ([1] if keeps else None)
    assert ("content-type" in second.headers) is keeps


@pytest.mark.parametrize(
    ("method", "status", "content", "becomes"),
    [
        ("GET", 302, None, "GET"),
        ("GET", 308, None, "GET"),
        ("HEAD", 307, None, "HEAD"),
        ("POST", 302, b"[1]", "GET"),
        ("PUT", 303, b"[1]", "GET"),
        ("POST", 307, b"[1]", None),
        ("POST", 308, None, None),
        ("PUT", 301, b"[1]", None),
        ("DELETE", 302, None, None),
        ("GET", 307, b"[1]", None),
    ],
)
def test_a_redirect_to_another_origin(method: str, status: int, content: bytes | None, becomes: str | None) -> None:
    with QuirkServer(page()) as other, QuirkServer(moved(f"http://127.0.0.1:{other.port}/b", status)) as first:
        url = f"http://127.0.0.1:{first.port}/a"
        if becomes is None:
            error = failure(method, url, content=content, headers=SECRET)
            assert error.message == f"127.0.0.1 redirected this {method} request to another server."
            assert error.was_sent
            assert other.connections == 0
        else:
            request(method, url, content=content, headers=SECRET)
            [second] = other.requests
            assert (second.method, second.body) == (becomes, None)
            assert "s3cret" not in str(second.headers)


def test_headers_do_not_come_back_with_the_redirect() -> None:
    with QuirkServer(page()) as first, QuirkServer(moved(f"http://127.0.0.1:{first.port}/c")) as other:
        first.script.insert(0, moved(f"http://127.0.0.1:{other.port}/b"))
        request("GET", f"http://127.0.0.1:{first.port}/a", headers=SECRET)
        assert [r.headers.get("x-key") for r in (*first.requests, *other.requests)] == ["s3cret", None, None]


def test_redirects_can_be_answers() -> None:
    with QuirkServer(moved("http://10.0.0.1/", 307)) as server:
        answer = request("POST", f"http://127.0.0.1:{server.port}/", follow=False)
    assert (answer.status, answer.headers["location"]) == (307, "http://10.0.0.1/")


# --- What can be repeated ---------------------------------------------------------------------------------------------


async def silent(host: str, port: int) -> list[str]:
    await asyncio.sleep(60)
    return []


@pytest.mark.parametrize(
    ("url", "how"),
    [
        ("http://127.0.0.1:1/", {}),
        ("http://10.0.0.1/", {}),
        ("http://nowhere.invalid/", {}),
        ("http://slow.example/", {"client": lambda: GuardedClient(silent), "seconds": 0.1}),
        ("ftp://127.0.0.1/", {}),
        ("http://127.0.0.1/", {"ports": {1}}),
    ],
)
def test_what_was_not_sent(url: str, how: dict[str, Any]) -> None:
    client: Callable[[], GuardedClient] | None = how.get("client")
    assert not failure("POST", url, **(how | {"client": client() if client else None})).was_sent


def test_a_server_that_takes_no_connection_got_nothing() -> None:
    """Its queue is full, so that connecting ends by time."""
    with closing(socket.socket()) as full, closing(socket.socket()) as queued:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        queued.connect(full.getsockname())
        error = failure("POST", f"http://127.0.0.1:{full.getsockname()[1]}/", seconds=0.2)
    assert error.message == "127.0.0.1 took longer than 0.2 seconds."
    assert not error.was_sent


def test_no_certificate_nothing_sent(tmp_path: Path) -> None:
    async def work() -> None:
        async with tls_server(tmp_path, "a.example", b"HTTP/1.1 200 OK\r\n\r\n") as (port, trusting, _):
            for client in (GuardedClient(Names(["127.0.0.1"])), GuardedClient(Names(["127.0.0.1"]), verify=trusting)):
                with pytest.raises(CannotFetch, match="no valid certificate") as caught:
                    await client.request(
                        "POST", f"https://b.example:{port}/", max_bytes=9, seconds=5, allowed_hosts=LOOPBACK
                    )
                assert not caught.value.was_sent

    run(work())


@pytest.mark.parametrize(
    "answer",
    [
        page(bytes(1_000_001)),
        quirk_server.Answer((b"half", CUT)),
        quirk_server.Answer((b"half", HANG)),
        quirk_server.Answer(before=30),
        quirk_server.Answer(headers={"bad header": "b"}),
        page(b"x", content_encoding="br"),
        moved("/again", 307),
        moved("http://10.0.0.1/", 303),
        moved("http://127.0.0.1:1/", 303),
        moved("http://[::1/", 303),
    ],
)
def test_what_may_have_been_carried_out(answer: quirk_server.Answer) -> None:
    with QuirkServer(answer) as server:
        assert failure("POST", f"http://127.0.0.1:{server.port}/", seconds=0.5).was_sent


def test_a_server_that_only_listens_may_have_got_it() -> None:
    with closing(socket.socket()) as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(1)
        error = failure("POST", f"http://127.0.0.1:{mute.getsockname()[1]}/", seconds=0.2, content=bytes(10_000_000))
    assert error.was_sent
