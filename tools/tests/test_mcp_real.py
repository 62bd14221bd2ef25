"""A real MCP server, of the protocol package's first line, called through whole runs of an assistant."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant_site.llm.tests.quirk_server import called, said
from assistant_site.tests.callers import LiveCaller
from tools.tests.mcp_time import TimeServer
from tools.tests.test_mcp_runs import Approving, Asked

pytestmark = [
    pytest.mark.mcp,
    pytest.mark.skipif(not TimeServer.is_installed(), reason="the MCP server is not installed: make mcp installs it"),
]


@pytest.fixture(scope="module", params=[False, True], ids=["sessions", "stateless"])
def clock(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TimeServer]:
    with TimeServer(tmp_path_factory.mktemp("mcp"), stateless=request.param) as server:
        yield server


CONVERT = (
    "clock_convert_time",
    '{"source_timezone": "Asia/Tokyo", "time": "12:30", "target_timezone": "Asia/Kolkata"}',
)


def test_an_assistant_asks_what_time_it_is(lena: LiveCaller, clock: TimeServer) -> None:
    mcp = {"type": "mcp", "server_label": "clock", "server_url": clock.url, "require_approval": "never"}
    asked = Asked(lena, [mcp], called(CONVERT, ("clock_get_current_time", '{"timezone": "Mars/Base"}')), said("Noted"))
    assert asked.run["status"] == "completed", asked.run
    offered = {each["function"]["name"]: each["function"] for each in asked.turns[0]["tools"]}
    assert set(offered) == {"clock_get_current_time", "clock_convert_time"}
    assert offered["clock_convert_time"]["parameters"]["required"] == ["source_timezone", "time", "target_timezone"]
    assert "Europe/Berlin" in json.dumps(offered)  # which the server was started with
    converted, refused = asked.functions
    assert json.loads(converted["output"])["time_difference"] == "-3.5h"
    assert refused["output"].startswith("The tool failed: ")
    assert "Mars/Base" in refused["output"]


def test_its_calls_can_wait_for_approval(lena: LiveCaller, clock: TimeServer) -> None:
    mcp = {"type": "mcp", "server_label": "clock", "server_url": clock.url}
    asked = Approving(lena, [mcp], called(CONVERT), said("Noted"))
    [call] = asked.required["submit_tool_approval"]["tool_calls"]
    assert (call["name"], json.loads(call["arguments"])["time"]) == ("convert_time", "12:30")
    assert "not approved" in asked.functions[0]["output"]


def test_it_goes_away_between_the_list_and_the_call(lena: LiveCaller, tmp_path: Path) -> None:
    with TimeServer(tmp_path, stateless=True) as clock:
        mcp = {"type": "mcp", "server_label": "clock", "server_url": clock.url, "require_approval": "never"}
        asked = Asked(lena, [mcp], said("Hello"))
        assert "clock_convert_time" in json.dumps(asked.turns[0]["tools"])
    again = Asked(lena, [mcp], called(CONVERT), said("No clock"))
    assert again.run["status"] == "completed", again.run
    assert again.functions[0]["output"].startswith("The MCP server 'clock' cannot be reached.")
