"""Assistants as tools of the protocol's own client, over HTTP against running processes."""

import json
import threading
import time
from typing import Any

import mcp_types as types
import pytest
from django.conf import settings
from mcp.client import Client
from mcp.shared.exceptions import MCPError

from assistant_site.llm.tests.quirk_server import Answer, QuirkServer, called, delta, refusing, said, streaming
from assistant_site.tests.callers import LiveCaller, LocalCaller
from runs.mcp_server import calls
from runs.models import Run
from runs.tests.mcp_clients import about, ask, itself, through
from threads.models import Message

KINDS = ["legacy", "2026-07-28", "auto"]


def test_the_documentations_configuration_is_true(lena: LiveCaller) -> None:
    page = (settings.BASE_DIR / "docs" / "mcp.md").read_text()
    configuration = json.loads(page.partition("```json\n")[2].partition("```")[0])
    [server] = configuration["mcpServers"].values()
    assert server["url"].startswith("https://holdfast.example.com/v1/")
    path = server["url"].removeprefix("https://holdfast.example.com/v1/")
    headers = {name: value.replace("the-token", lena.token) for name, value in server["headers"].items()}
    assert lena.token in headers["Authorization"]
    name = lena.assistant(name="Travel agent")

    async def work(client: Client) -> Any:
        return (await client.list_tools()).tools

    [tool] = through(lena, path, work, **headers)
    assert tool.name == f"travel_agent_{name[-8:]}"


@pytest.mark.parametrize("mode", KINDS)
def test_a_client_finds_an_assistant_and_talks_to_it(lena: LiveCaller, mode: str) -> None:
    assistant = lena.assistant(name="Travel agent", description="Plans journeys.")

    async def work(client: Client) -> tuple[Any, Any, Any]:
        [tool] = (await client.list_tools()).tools
        first = await client.call_tool(tool.name, {"message": "To Rome, please"})
        again = {"message": "By train", "thread_id": first.structured_content["thread_id"]}
        return tool, first, await client.call_tool(tool.name, again)

    with QuirkServer(said("To ", "Rome."), said("By train.")) as provider:
        lena.provided_by(provider.base_url)
        tool, first, second = through(lena, "mcp", work, mode)
        heard = [request.body["messages"] for request in provider.requests]
    assert tool.description == "Plans journeys."
    assert (first.is_error, first.content[0].text) == (False, "To Rome.")
    thread, run = about(first)["thread_id"], about(first)["run_id"]
    assert about(first) == {"answer": "To Rome.", "thread_id": thread, "run_id": run, "status": "completed"}
    assert first.meta == {**first.meta, "thread_id": thread, "run_id": run, "status": "completed"}
    assert thread in first.content[-1].text
    assert lena.get(f"threads/{thread}/runs/{run}")["assistant_id"] == assistant
    assert about(second)["thread_id"] == thread
    assert [message["content"] for message in heard[1]] == ["Be brief.", "To Rome, please", "To Rome.", "By train"]


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_progress_is_told_to_who_asks_for_it(lena: LiveCaller, mode: str) -> None:
    told: list[tuple[float, str | None]] = []

    async def heard(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message))

    async def work(client: Client) -> Any:
        return await client.call_tool("ask", {"message": "x"}, progress_callback=heard)

    slowly = streaming(delta(content="One "), delta(content="two"), delta("stop"))
    slowly = Answer((slowly.pieces[0], 0.8, *slowly.pieces[1:]), headers=slowly.headers)
    with QuirkServer(slowly) as provider:
        lena.provided_by(provider.base_url)
        result = through(lena, f"assistants/{lena.assistant()}/mcp", work, mode)
    assert result.content[0].text == "One two"
    words = [message for _, message in told]
    assert "At work." in words
    assert "Writes: 4 characters so far." in words
    assert [progress for progress, _ in told] == sorted({progress for progress, _ in told})


def test_a_client_that_takes_no_stream_is_answered_in_json(lena: LiveCaller) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    message["params"] = {"name": "ask", "arguments": {"message": "x"}, "_meta": {"progressToken": 1}}
    path = f"/v1/assistants/{lena.assistant()}/mcp"
    with QuirkServer(said("Hello")) as provider:
        lena.provided_by(provider.base_url)
        plain = lena.send("POST", path, message, Accept="application/json")
        batch = [message, {**message, "id": 2}, {"jsonrpc": "2.0", "id": 3, "method": "ping"}]
        several = lena.send("POST", path, batch, Accept="application/json, text/event-stream")
    assert plain.body["result"]["content"][0]["text"] == "Hello"
    assert [answer["id"] for answer in several.body] == [1, 2, 3]
    assert [answer["result"]["content"][0]["text"] for answer in several.body[:2]] == ["Hello", "Hello"]
    assert len({answer["result"]["structuredContent"]["thread_id"] for answer in several.body[:2]}) == 2


@pytest.mark.slow
def test_silence_is_filled(lena: LiveCaller) -> None:
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "ask", "arguments": {"message": "x"}},
    }
    late = Answer(said("Hello").pieces, before=3.5)
    with QuirkServer(late) as provider:
        lena.provided_by(provider.base_url)
        answer = lena.session.post(
            f"{lena.base_url}/assistants/{lena.assistant()}/mcp",
            json=message,
            headers={"Authorization": f"Bearer {lena.token}", "Accept": "application/json, text/event-stream"},
            timeout=40,
        )
    assert answer.headers["content-type"].startswith("text/event-stream")
    frames = answer.text.split("\n\n")
    assert ": keep-alive" in frames
    assert json.loads(frames[-2].partition("data: ")[2])["result"]["content"][0]["text"] == "Hello"


FUNCTION = {"type": "function", "function": {"name": "look_up"}}


def test_what_only_the_caller_could_answer_ends_the_run(lena: LiveCaller) -> None:
    colleague = {**itself(lena, lena.assistant()), "require_approval": "always"}
    assistant = lena.assistant(tools=[FUNCTION, colleague])
    with QuirkServer(called(("look_up", "{}"), ("colleague_ask", '{"message": "x"}'))) as provider:
        lena.provided_by(provider.base_url)
        result = ask(lena, assistant, message="x")
    assert result.is_error
    assert result.content[0].text == (
        "The assistant asked its caller for the output of look_up and approval for ask, which cannot be given over "
        "MCP. Its run was cancelled."
    )
    assert about(result)["status"] == "cancelled"
    run = lena.get(f"threads/{about(result)['thread_id']}/runs/{about(result)['run_id']}")
    assert run["status"] == "cancelled"
    assert lena.post(f"threads/{run['thread_id']}/messages", {"role": "user", "content": "free again"}).status == 200


def test_a_model_that_fails_is_an_error_of_the_tool(lena: LiveCaller) -> None:
    with QuirkServer(refusing(400, message="The model is on holiday.")) as provider:
        lena.provided_by(provider.base_url)
        result = ask(lena, lena.assistant(), message="x")
    assert result.is_error
    assert about(result)["status"] == "failed"
    last_error = lena.get(f"threads/{about(result)['thread_id']}/runs/{about(result)['run_id']}")["last_error"]
    assert result.content[0].text == f"The assistant failed: {last_error['message']} ({last_error['code']})"
    assert "holiday" in result.content[0].text


def test_an_answer_that_was_cut_is_an_answer(lena: LiveCaller) -> None:
    with QuirkServer(said("So far", finish="length")) as provider:
        lena.provided_by(provider.base_url)
        result = ask(lena, lena.assistant(), message="x")
    assert (result.is_error, about(result)["status"]) == (False, "incomplete")
    assert [block.text for block in result.content[:2]] == [
        "So far",
        "The answer is not complete (max_completion_tokens).",
    ]


@pytest.mark.parametrize("waits", [False, True])
def test_a_busy_conversation_is_refused_or_waited_for(lena: LiveCaller, waits: bool) -> None:
    assistant, thread = lena.assistant(), lena.thread("first")
    with QuirkServer(Answer(said("One").pieces, before=1.0), said("Two")) as provider:
        lena.provided_by(provider.base_url)
        run = lena.post(f"threads/{thread}/runs", {"assistant_id": assistant})["id"]
        headers = {"X-Holdfast-When-Busy": "queue"} if waits else {}
        result = ask(lena, assistant, headers=headers, message="x", thread_id=thread)
        lena.settled(thread, run)
    if waits:
        assert (result.is_error, result.content[0].text) == (False, "Two")
    else:
        assert (result.is_error, run in result.content[0].text) == (True, True)


@pytest.mark.slow
def test_a_client_that_leaves_does_not_stop_the_run(lena: LiveCaller) -> None:
    assistant = lena.assistant()

    async def work(client: Client) -> None:
        with pytest.raises(MCPError):
            await client.call_tool("ask", {"message": "x"}, read_timeout_seconds=0.5)

    with QuirkServer(Answer(said("Done").pieces, before=1.5)) as provider:
        lena.provided_by(provider.base_url)
        through(lena, f"assistants/{assistant}/mcp", work, "legacy")
        run = Run.objects.of(lena.tenant).get()
        assert lena.settled(run.thread_id, run.pk)["status"] == "completed"


@pytest.mark.slow
def test_waiting_calls_hold_no_thread_of_the_server(lena: LiveCaller) -> None:
    assistant = lena.assistant()
    results: list[Any] = []
    with QuirkServer(Answer(said("Done").pieces, before=6.0)) as provider:
        lena.provided_by(provider.base_url)
        callers = [
            threading.Thread(target=lambda: results.append(ask(lena, assistant, message="x"))) for _ in range(20)
        ]
        for caller in callers:
            caller.start()
        deadline = time.monotonic() + 60
        while len(provider.requests) < 20:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert lena.get("assistants").status == 200
        assert not results
        for caller in callers:
            caller.join(60)
    assert [result.content[0].text for result in results] == ["Done"] * 20


@pytest.mark.slow
def test_a_conversation_that_is_deleted_meanwhile_is_said_to_be(lena: LiveCaller) -> None:
    assistant, thread = lena.assistant(), lena.thread("first")
    results: list[Any] = []
    with QuirkServer(Answer(said("Done").pieces, before=2.0)) as provider:
        lena.provided_by(provider.base_url)
        caller = threading.Thread(
            target=lambda: results.append(ask(lena, assistant, message="x", thread_id=thread)), daemon=True
        )
        caller.start()
        deadline = time.monotonic() + 60
        while not provider.requests:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        lena.delete(f"threads/{thread}")
        caller.join(60)
    [result] = results
    assert (result.is_error, result.content[0].text) == (True, calls.GONE)


def test_files_and_pages_of_an_answer_are_linked(alice: LocalCaller) -> None:
    thread, assistant, file = alice.thread("x"), alice.assistant(), alice.upload("bill.txt", b"12345")
    run = alice.post(f"threads/{thread}/runs", {"assistant_id": assistant})["id"]
    Run.objects.of(alice.tenant).filter(pk=run).update(status="completed")
    place = {"text": "x", "start_index": 0, "end_index": 1}
    annotations = [
        {"type": "file_path", "file_path": {"file_id": file}, **place},
        {"type": "url_citation", "url_citation": {"url": "https://news.example/1", "title": "News"}, **place},
        {"type": "file_citation", "file_citation": {"file_id": "file-gone"}, **place},
    ]
    Message.objects.create(
        tenant=alice.tenant,
        thread_id=thread,
        role="assistant",
        run_id=run,
        content=[
            {"type": "image_file", "image_file": {"file_id": file, "detail": "auto"}},
            {"type": "text", "text": {"value": "x", "annotations": annotations}},
        ],
    )
    result = calls.result_of(calls.Call(alice.tenant, run, thread, "http://testserver/v1/files"))
    assert result is not None
    links = [block for block in result.content if isinstance(block, types.ResourceLink)]
    assert [(link.name, link.uri, link.size) for link in links] == [
        ("bill.txt", f"http://testserver/v1/files/{file}/content", 5),
        ("News", "https://news.example/1", None),
    ]
    plain = calls.result_of(calls.Call(alice.tenant, run, thread))
    assert plain is not None
    assert [block.type for block in plain.content] == ["text", "text"]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"status": "cancelled"}, "The assistant's run was cancelled."),
        ({"status": "expired"}, "The assistant took too long, and its run has expired."),
        ({"status": "incomplete", "incomplete_reason": "max_prompt_tokens"}, "The answer is not complete (max_prompt"),
    ],
)
def test_runs_without_an_answer_are_errors(alice: LocalCaller, fields: dict[str, str], told: str) -> None:
    thread = alice.thread("x")
    run = alice.post(f"threads/{thread}/runs", {"assistant_id": alice.assistant()})["id"]
    assert calls.result_of(calls.Call(alice.tenant, run, thread)) is None  # it has not ended
    Run.objects.of(alice.tenant).filter(pk=run).update(**fields)
    result = calls.result_of(calls.Call(alice.tenant, run, thread))
    assert result is not None
    assert result.is_error
    assert about(result)["status"] == fields["status"]
    assert isinstance(result.content[0], types.TextContent)
    assert result.content[0].text.startswith(told)
