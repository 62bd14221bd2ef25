"""Holdfast calls itself: assistants whose MCP server is the server that they are on."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from assistant_site.llm.tests.quirk_server import Answer, QuirkServer, called, said
from assistant_site.tests.callers import LiveCaller
from assistant_site.tests.stack import Stack
from runs.models import Run
from runs.tests.mcp_clients import itself


def test_an_assistant_asks_another_one_of_the_same_server(lena: LiveCaller) -> None:
    colleague = lena.assistant(name="Colleague", model="colleague")
    chief = lena.assistant(name="Chief", model="chief", tools=[itself(lena, colleague)])
    thread = lena.thread("How much is it?")

    def spoken(request: Any) -> Answer:
        if request.body["model"] == "colleague":
            return said("It is 42.")
        if request.body["messages"][-1]["role"] == "tool":
            return said("My colleague says: 42.")
        return called(("colleague_ask", '{"message": "How much?"}'))

    with QuirkServer(spoken) as provider:
        lena.provided_by(provider.base_url)
        run = lena.run(thread, chief)
        heard = [request.body for request in provider.requests]
    assert run["status"] == "completed", run
    assert lena.last_text(thread) == "My colleague says: 42."
    assert heard[-1]["messages"][-1]["content"].startswith("It is 42.")
    assert [step["type"] for step in lena.steps(thread, run["id"])] == ["tool_calls", "message_creation"]
    inner = Run.objects.of(lena.tenant).get(assistant_id=colleague)
    assert (inner.status, inner.sealed) == ("completed", "")
    assert lena.token not in json.dumps([heard, run, lena.steps(thread, run["id"])])


def test_an_assistant_that_calls_itself_comes_to_an_end(lena: LiveCaller) -> None:
    """Each run asks for another one: the fourth call in a row is refused, and the runs end from the innermost out."""
    assistant = lena.assistant(model="endless")
    lena.post(f"assistants/{assistant}", {"tools": [itself(lena, assistant)]})
    thread = lena.thread("Ask yourself")

    def spoken(request: Any) -> Answer:
        last = request.body["messages"][-1]
        if last["role"] == "tool":
            return said(f"Heard: {last['content'][:60]}")
        return called(("colleague_ask", '{"message": "Ask yourself"}'))

    with QuirkServer(spoken) as provider:
        lena.provided_by(provider.base_url)
        run = lena.run(thread, assistant)
    assert run["status"] == "completed", run
    runs = Run.objects.of(lena.tenant).filter(assistant_id=assistant)
    assert [each.status for each in runs] == ["completed"] * 4
    assert lena.last_text(thread).count("Heard: ") == 4
    assert "called each other 3" in lena.last_text(runs.latest("pk").thread_id)


@pytest.mark.slow
def test_circles_end_also_where_there_is_room_for_one_run_only(lena: LiveCaller, stack: Stack, tmp_path: Path) -> None:
    """Each run holds the only place while it waits for the next one, which starts when that was given up."""
    env = {"RUNS_PER_WORKER": "1", "TOOL_SECONDS": "3", "WORKER_DRAIN_SECONDS": "1"}
    assistant = lena.assistant(model="endless")
    lena.post(f"assistants/{assistant}", {"tools": [itself(lena, assistant)]})

    def spoken(request: Any) -> Answer:
        is_told = request.body["messages"][-1]["role"] == "tool"
        return said("Enough.") if is_told else called(("colleague_ask", '{"message": "Ask yourself"}'))

    with (
        QuirkServer(spoken) as provider,
        Stack.workers_of_others_rest(),
        Stack(folder=tmp_path, webs=0, ingestions=0, env=env),
    ):
        lena.provided_by(provider.base_url)
        lena.run(lena.thread("Ask yourself"), assistant)
        deadline = time.monotonic() + 60
        runs = Run.objects.of(lena.tenant).filter(assistant_id=assistant)
        while [run.status for run in runs.all()] != ["completed"] * 4:
            assert time.monotonic() < deadline, [run.status for run in runs.all()]
            time.sleep(0.2)
