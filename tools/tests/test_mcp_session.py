"""Listing the tools of an MCP server and calling one, and what is told of servers that cannot be talked to."""

import asyncio
import base64
import json
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from tools.mcp import session
from tools.mcp.failures import McpFailed
from tools.mcp.servers import Server
from tools.tests.mcp_servers import McpTestServer, Posted, png, raw_server, text_result, tool

T = TypeVar("T")


def server(url: str, **headers: str) -> Server:
    return Server("tenant_1", "shop", url, headers, ("localhost",))


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def listed(url: str, seconds: float = 5, **headers: str) -> tuple[list[Any], str]:
    return run(session.list_tools(server(url, **headers), seconds=seconds))


def called(url: str, name: str = "echo", seconds: float = 5, version: str = "2025-06-18", **arguments: Any) -> Any:
    return run(session.call_tool(server(url), version, name, arguments, key="call_1", seconds=seconds))


def failure(work: Any, *given: Any, **named: Any) -> McpFailed:
    with pytest.raises(McpFailed) as failed:
        work(*given, **named)
    assert "127.0.0.1" not in failed.value.message
    return failed.value


KINDS = [
    pytest.param({"handshake": True, "stateless": stateless, "json": json}, id=f"{stateless=} {json=}")
    for stateless in (False, True)
    for json in (False, True)
] + [pytest.param({"handshake": False, "json": json}, id=f"new kind {json=}") for json in (False, True)]


@pytest.mark.parametrize("kind", KINDS)
def test_tools_are_listed_and_called_in_every_kind_of_server(kind: dict[str, Any]) -> None:
    with McpTestServer(**kind) as shop:
        tools, version = listed(shop.url)
        assert [tool.name for tool in tools] == ["echo", "add"]
        assert (version == "2026-07-28") != kind["handshake"]
        shop.asked.clear()
        result = called(shop.url, "echo", version=version, text="good day")
        assert result.content[0].text == "good day"
        expected = (
            ["tools/call"] if not kind["handshake"] else ["initialize", "notifications/initialized", "tools/call"]
        )
        assert [method for method in shop.methods if method != "DELETE"] == expected
        assert ("DELETE" in shop.methods) == (kind["handshake"] and not kind["stateless"])


def test_headers_go_out_with_every_request_and_the_call_has_its_key() -> None:
    with McpTestServer(token="s3cret") as shop:
        assert "credentials" in failure(listed, shop.url).message
        listed(shop.url, Authorization="Bearer s3cret")
        shop.asked.clear()
        shopper = server(shop.url, Authorization="Bearer s3cret", **{"X-Team": "blue"})
        run(session.call_tool(shopper, "", "echo", {}, key="call_7", seconds=5))
        assert {asked.headers["x-team"] for asked in shop.asked} == {"blue"}
        (call,) = shop.calls()
        assert call.params["_meta"]["idempotencyKey"] == "call_7"
        assert "s3cret" not in repr(shopper)


def test_pages_are_followed_and_bounded() -> None:
    with McpTestServer(tools=[tool(f"t{number}") for number in range(9)], page=2) as shop:
        tools, _ = listed(shop.url)
        assert len(tools) == 9
    with McpTestServer(tools=[tool(f"t{number}") for number in range(100)], page=1) as endless:
        tools, _ = listed(endless.url)
        assert len(tools) == session.MOST_PAGES
        assert endless.methods.count("tools/list") == session.MOST_PAGES


def test_a_server_that_asks_back_is_declined() -> None:
    with McpTestServer() as shop:
        result = called(shop.url, "sample")
        assert result.content[0].text.startswith("refused:")


def test_an_error_of_the_tool_and_one_of_the_server_are_told_apart() -> None:
    with McpTestServer(answer=lambda params: text_result("out of stock", is_error=True)) as shop:
        assert called(shop.url).is_error

    def refuse(posted: Posted) -> None:
        if not posted.handshake():
            error = {"code": -32602, "message": "Unknown tool\x00\x1b[2J"}
            posted.answer(json.dumps({"jsonrpc": "2.0", "id": posted.id, "error": error}).encode())

    with raw_server(refuse) as url:
        problem = failure(called, url)
        assert problem.message == "The MCP server 'shop' answered with an error: Unknown tool  [2J"
        assert not problem.was_sent


def test_a_slow_server_is_left_in_time() -> None:
    with McpTestServer(seconds=30) as shop:
        began = time.monotonic()
        problem = failure(called, shop.url, seconds=4)  # long enough to shake hands where the machine is busy
        assert time.monotonic() - began < 20
        assert problem.message == "The MCP server 'shop' took longer than 4 seconds."
        assert problem.was_sent


@pytest.mark.parametrize(
    ("status", "words", "may_have_been_done"),
    [
        ("401 Unauthorized", "wants other credentials (401)", False),
        ("403 Forbidden", "does not allow this", False),
        ("404 Not Found", "is not found at its address (404)", False),
        ("429 Too Many Requests", "too often", False),
        ("500 Internal Server Error", "a fault of its own at the moment (500)", True),
        ("503 Service Unavailable", "a fault of its own at the moment (503)", True),
        ("418 Teapot", "refused the request (418)", False),
    ],
)
def test_refusals_are_told_by_their_status(status: str, words: str, may_have_been_done: bool) -> None:
    def refuse(posted: Posted) -> None:
        if posted.method == "tools/call" or not posted.handshake():
            posted.answer(b"<html>10.0.0.7 is angry</html>", status=status, content_type="text/html")

    with raw_server(refuse) as url:
        problem = failure(called, url)
        assert words in problem.message
        assert "angry" not in problem.message
        assert problem.was_sent == may_have_been_done


def endless_events(posted: Posted) -> None:
    posted.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x" * 10_000}}
    event = b"event: message\ndata: " + json.dumps(note).encode() + b"\n\n"
    while True:
        posted.send(event)


def drip(posted: Posted) -> None:
    posted.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    while True:
        posted.send(b": still here\n\n")
        time.sleep(0.05)


def huge_answer(posted: Posted) -> None:
    posted.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3000000000\r\n\r\n")
    while True:
        posted.send(b"[" * 65_536)


def cut_answer(posted: Posted) -> None:
    posted.send(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"jsonrpc"')


def cut_events(posted: Posted) -> None:
    posted.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: message\ndata: {")


def many_parts(posted: Posted) -> None:
    posted.result({"content": [{"type": "text", "text": ""}] * 100_000, "tools": [{}] * 100_000})


def deep(posted: Posted) -> None:
    posted.answer(b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * 200_000 + b"]" * 200_000 + b"}")


HOSTILE = {
    "a web page": lambda posted: posted.answer(b"<html></html>", content_type="text/html"),
    "no JSON": lambda posted: posted.answer(b"}{"),
    "JSON that is no message": lambda posted: posted.answer(b"[1, 2]"),
    "a result of another shape": lambda posted: posted.result({"content": "what", "tools": 7}),
    "a strange id": lambda posted: posted.result({"content": [], "tools": []}, id=4711),
    "accepted, and no answer": lambda posted: posted.answer(b"", status="202 Accepted"),
    "a redirect to this machine": lambda posted: posted.answer(
        b"", status="307 Temporary Redirect", headers="Location: http://127.0.0.1:1/admin\r\n"
    ),
    "endless events": endless_events,
    "events that drip": drip,
    "three gigabytes": huge_answer,
    "an answer that is cut": cut_answer,
    "events that are cut": cut_events,
    "200,000 brackets": deep,
    "a hundred thousand parts": many_parts,
    "silence": lambda posted: time.sleep(3),
    "a closed door": lambda posted: None,
}


UNTIL_TIME_IS_UP = ("silence", "events that drip", "a strange id")


@pytest.mark.parametrize("work", [listed, called], ids=["list", "call"])
@pytest.mark.parametrize(
    "hostile",
    [pytest.param(each, marks=[pytest.mark.slow] if each in UNTIL_TIME_IS_UP else []) for each in HOSTILE],
)
def test_a_hostile_server_costs_little_and_gives_a_sentence(hostile: str, work: Any) -> None:
    def script(posted: Posted) -> None:
        if not posted.handshake():
            HOSTILE[hostile](posted)  # type: ignore[no-untyped-call]

    with raw_server(script) as url:
        began = time.monotonic()
        problem = failure(work, url, seconds=1.5)
        assert time.monotonic() - began < 20
        assert "MCP server 'shop' " in problem.message
        assert "http" not in problem.message
        assert len(problem.message) < 200


@pytest.mark.parametrize("work", [listed, called], ids=["list", "call"])
def test_a_server_that_is_not_there(work: Any) -> None:
    problem = failure(work, "http://localhost:1/mcp")
    assert problem.message.startswith("The MCP server 'shop' cannot be reached.")
    assert not problem.was_sent


def test_a_picture_of_some_megabytes_comes_through() -> None:
    with McpTestServer(answer=lambda params: text_result("x" * 3_000_000)) as shop:
        assert len(called(shop.url).content[0].text) == 3_000_000
    assert base64.b64decode(png())[:4] == b"\x89PNG"


@pytest.mark.slow
def test_a_cancelled_call_ends_soon_whatever_the_server_does() -> None:
    farewells = []

    def hang(posted: Posted) -> None:
        if posted.method in ("tools/call", "notifications/cancelled", ""):
            farewells.append(posted.method)
            time.sleep(20)
        elif posted.method == "initialize":
            result = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "r", "version": "1"}}
            message = {"jsonrpc": "2.0", "id": posted.id, "result": result}
            posted.answer(json.dumps(message).encode(), headers="Mcp-Session-Id: abc\r\n")
        else:
            posted.handshake()

    async def cancelled(url: str) -> float:
        work = asyncio.create_task(session.call_tool(server(url), "2025-06-18", "buy", {}, key="k", seconds=60))
        await asyncio.sleep(0.7)
        work.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await work
        return time.monotonic() - began

    with raw_server(hang) as url:
        assert run(cancelled(url)) < 15
    assert "notifications/cancelled" in farewells


@pytest.mark.slow
def test_a_server_that_hangs_behind_its_answer_has_answered() -> None:
    def hang(posted: Posted) -> None:
        match posted.method:
            case "tools/call":
                posted.result({"content": [{"type": "text", "text": "bought"}]})
            case "initialize":
                result = {
                    "protocolVersion": "2025-06-18",
                    "capabilities": {},
                    "serverInfo": {"name": "r", "version": "1"},
                }
                message = {"jsonrpc": "2.0", "id": posted.id, "result": result}
                posted.answer(json.dumps(message).encode(), headers="Mcp-Session-Id: abc\r\n")
            case "":
                time.sleep(20)
            case _:
                posted.handshake()

    with raw_server(hang) as url:
        assert called(url, "buy", seconds=4).content[0].text == "bought"
