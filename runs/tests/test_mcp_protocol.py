"""What an MCP client may send: the protocol's versions, its errors, tokens and origins."""

import json
from typing import Any

import pytest

from assistant_site.tests.callers import Answer, LocalCaller
from runs.mcp_server import toolbox
from runs.models import Run

OLD, BATCHING, NEW = "2025-11-25", "2025-03-26", "2026-07-28"
CLIENT = {"protocolVersion": OLD, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


def asked(method: str, params: Any = None, **fields: Any) -> dict[str, Any]:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, **fields}
    return message if params is None else {**message, "params": params}


def ask(caller: LocalCaller, body: Any, version: str = OLD, path: str = "mcp", **headers: str) -> Answer:
    where = path if path.startswith("/") else f"/v1/{path}"
    return caller.send("POST", where, body, **{"Mcp-Protocol-Version": version, **headers})


def modern(method: str, **params: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """A request of the protocol's newer kind with its headers."""
    meta = {"io.modelcontextprotocol/protocolVersion": NEW, "io.modelcontextprotocol/clientCapabilities": {}}
    headers = {"Mcp-Method": method, **({"Mcp-Name": params["name"]} if "name" in params else {})}
    return asked(method, {**params, "_meta": meta}), headers


@pytest.mark.parametrize(
    ("wanted", "agreed"),
    [("2024-11-05", "2024-11-05"), ("2025-06-18", "2025-06-18"), (OLD, OLD), ("2099-01-01", OLD), (NEW, OLD)],
)
def test_a_client_begins_with_a_version(alice: LocalCaller, wanted: str, agreed: str) -> None:
    answer = alice.post("mcp", asked("initialize", {**CLIENT, "protocolVersion": wanted}))
    assert answer["result"]["protocolVersion"] == agreed
    assert answer["result"]["capabilities"] == {"tools": {}}
    assert answer["result"]["serverInfo"]["name"] == "Holdfast"
    assert "mcp-session-id" not in answer.headers


def test_small_requests(alice: LocalCaller) -> None:
    assert ask(alice, asked("ping")).body == {"jsonrpc": "2.0", "id": 1, "result": {}}
    for notice in ("notifications/initialized", "notifications/cancelled", "notifications/unheard-of"):
        taken = ask(alice, {"jsonrpc": "2.0", "method": notice})
        assert (taken.status, taken.body) == (202, b"")
    assert ask(alice, {"jsonrpc": "2.0", "id": 7, "result": {}}).status == 202


def test_the_newer_kind_needs_no_beginning(alice: LocalCaller) -> None:
    alice.assistant(name="Travel agent")
    body, headers = modern("server/discover")
    found = ask(alice, body, NEW, **headers)["result"]
    assert {OLD, NEW} <= set(found["supportedVersions"])
    body, headers = modern("tools/list")
    listed = ask(alice, body, NEW, **headers)["result"]
    assert (listed["resultType"], len(listed["tools"])) == ("complete", 1)
    body, headers = modern("ping")
    unknown = ask(alice, body, NEW, **headers)
    assert (unknown.status, unknown.error["code"]) == (404, -32601)


@pytest.mark.parametrize("spoilt", ["Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version"])
def test_headers_of_the_newer_kind_must_say_what_the_body_says(alice: LocalCaller, spoilt: str) -> None:
    body, headers = modern("tools/call", name="x_00000000", arguments={})
    other = {"Mcp-Protocol-Version": OLD}.get(spoilt, "other")
    refused = ask(alice, body, **{"version": NEW, **headers, spoilt: other})
    assert (refused.status, refused.error["code"]) == (400, -32020)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, -32700),
        (b"", 400, -32700),
        (b"\xff\xfe", 400, -32700),
        (b"[" * 2_000, 400, -32700),
        (b"17", 400, -32600),
        (b"null", 400, -32600),
        (b"{}", 400, -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": {}, "method": "ping"}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 4}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}', 400, -32600),
        (b'{"jsonrpc": "2.0", "method": 4}', 400, -32600),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]', 400, -32600),
        (json.dumps(asked("prompts/list")).encode(), 200, -32601),
        (json.dumps(asked("nonsense")).encode(), 200, -32601),
        (json.dumps(asked("tools/call")).encode(), 200, -32602),
        (json.dumps(asked("tools/call", {"name": 4})).encode(), 200, -32602),
        (json.dumps(asked("tools/call", {"name": "ask"})).encode(), 200, -32602),
        (json.dumps(asked("tools/call", {"name": "x_00000000"})).encode(), 200, -32602),
        (json.dumps(asked("tools/call", {"name": "\x00_\ud800"})).encode(), 400, -32700),
        (json.dumps(asked("tools/list", {"cursor": "asst_\x00"})).encode(), 200, -32602),
        (json.dumps(asked("initialize", {"protocolVersion": OLD})).encode(), 200, -32602),
    ],
)
def test_garbage_is_answered_in_the_protocols_terms(alice: LocalCaller, body: bytes, status: int, code: int) -> None:
    answer = ask(alice, body)
    assert (answer.status, answer.error["code"], answer.body["jsonrpc"]) == (status, code, "2.0")
    assert answer.body["id"] == (1 if status == 200 else None)


def test_unknown_versions_are_told_which_are_known(alice: LocalCaller) -> None:
    refused = ask(alice, asked("ping"), "1999-01-01")
    assert (refused.status, refused.error["code"]) == (400, -32022)
    assert OLD in refused.error["data"]["supported"]


def test_batches_are_taken_where_the_version_has_them(alice: LocalCaller) -> None:
    batch = [asked("ping"), {"jsonrpc": "2.0", "method": "notifications/initialized"}, asked("nonsense", id="b"), 4]
    assert ask(alice, batch).error["code"] == -32600
    silent = ask(alice, batch[1:2], BATCHING)
    assert (silent.status, silent.body) == (202, b"")
    for refused in ([], [asked("ping")] * 21, [asked("initialize", CLIENT)]):
        assert ask(alice, refused, BATCHING).error["code"] == -32600


@pytest.mark.parametrize("path", ["mcp", "assistants/{id}/mcp", "/api/v1/mcp"])
def test_who_has_no_token_is_told_in_what_form(alice: LocalCaller, path: str) -> None:
    path = path.format(id=alice.assistant())
    for authorization in ("", "Bearer wrong", "Basic eDp5", f"Bearer {alice.token}x"):
        refused = ask(alice, asked("ping"), path=path, Authorization=authorization)
        assert refused.status == 401
        assert refused.headers["www-authenticate"] == "Bearer"


def test_there_are_no_streams_and_no_sessions_to_end(alice: LocalCaller) -> None:
    for verb in ("GET", "DELETE", "PUT"):
        refused = alice.call(verb, "mcp")
        assert refused.status == 405
        assert refused.headers["allow"].startswith("POST")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://testserver", 200),
        ("https://testserver", 200),
        ("http://testserver:8000", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("https://trusted.example", 200),
        ("http://trusted.example", 403),
        ("", 403),
        ("http://testserver.evil.example", 403),
        ("http://evil.example/testserver", 403),
        ("http://[", 403),
    ],
)
def test_pages_of_other_hosts_are_refused(alice: LocalCaller, settings: Any, origin: str, status: int) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://trusted.example"]
    # The test client leaves empty headers out.
    answer = ask(alice, asked("ping"), Origin=origin or " ")
    assert answer.status == status, answer.body


def listed(caller: LocalCaller, path: str = "mcp") -> list[list[dict[str, Any]]]:
    pages, cursor = [], ""
    while True:
        params = {"cursor": cursor} if cursor else {}
        result = ask(caller, asked("tools/list", params), path=path)["result"]
        pages.append(result["tools"])
        cursor = result.get("nextCursor", "")
        if not cursor:
            return pages


def test_each_assistant_is_a_tool(alice: LocalCaller, bob: LocalCaller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolbox, "PAGE", 2)
    bob.assistant(name="Bob's")
    named = [("Travel agent", "Plans journeys."), ("Travel agent", None), (None, None), ("旅行", ""), ("x" * 99, None)]
    ids = [alice.assistant(name=name, description=description) for name, description in named]
    pages = listed(alice)
    assert [len(page) for page in pages] == [2, 2, 1]
    tools = [tool for page in reversed(pages) for tool in reversed(page)]
    begins = ["travel_agent_", "travel_agent_", "assistant_", "assistant_", "x" * 40 + "_"]
    assert [tool["name"] for tool in tools] == [begin + id[-8:] for begin, id in zip(begins, ids, strict=True)]
    assert [tool["description"] for tool in tools] == [
        "Plans journeys.",
        "Asks the assistant 'Travel agent'.",
        "Asks an assistant.",
        "Asks the assistant '旅行'.",
        f"Asks the assistant '{'x' * 99}'.",
    ]
    [[only]] = listed(alice, f"assistants/{ids[0]}/mcp")
    assert (only["name"], only["description"]) == ("ask", "Plans journeys.")
    assert "Be brief." not in json.dumps(pages)  # what an assistant is told is its own


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "Missing required parameter: 'message'."),
        ({"message": 4}, "Invalid type for 'message'"),
        ({"message": ""}, "Invalid 'message'"),
        ({"message": "x" * 256_001}, "Invalid 'message'"),
        ({"message": "x", "thread_id": "run_1"}, "Invalid 'thread_id'"),
        ({"message": "x", "thread_id": "thread_none"}, "No thread found with id 'thread_none'."),
        ({"message": "x", "threadid": "y"}, "Unknown parameter: 'threadid'."),
    ],
)
def test_wrong_arguments_are_told_to_the_model(alice: LocalCaller, arguments: dict[str, Any], told: str) -> None:
    path = f"assistants/{alice.assistant()}/mcp"
    answer = ask(alice, asked("tools/call", {"name": "ask", "arguments": arguments}), path=path)
    assert answer["result"]["isError"] is True
    assert answer["result"]["content"][0]["text"].startswith(told)
    assert not Run.objects.of(alice.tenant).exists()


def test_threads_and_tools_of_others_are_as_unknown_ones(alice: LocalCaller, bob: LocalCaller) -> None:
    bob.assistant(name="x")
    [[theirs]] = listed(bob)
    thread = bob.thread("hello")
    path = f"assistants/{alice.assistant()}/mcp"
    refused = ask(alice, asked("tools/call", {"name": theirs["name"], "arguments": {"message": "x"}}))
    assert refused.error["message"] == f"Unknown tool: {theirs['name']}"
    arguments = {"message": "x", "thread_id": thread}
    answer = ask(alice, asked("tools/call", {"name": "ask", "arguments": arguments}), path=path)
    assert answer["result"]["content"][0]["text"] == f"No thread found with id '{thread}'."


@pytest.mark.parametrize(("depth", "is_refused"), [(3, False), (4, True), (99, True), ("4", False), (-1, False)])
def test_assistants_do_not_call_each_other_without_end(alice: LocalCaller, depth: Any, is_refused: bool) -> None:
    params = {"name": "ask", "arguments": {"message": "x"}, "_meta": {"holdfast/depth": depth}}
    path = f"assistants/{alice.assistant()}/mcp"
    answer = ask(alice, asked("tools/call", params), path=path, Accept="application/json")
    assert Run.objects.of(alice.tenant).exists() is not is_refused
    if is_refused:
        assert answer["result"]["isError"] is True
        assert "called each other 3 times" in answer["result"]["content"][0]["text"]
