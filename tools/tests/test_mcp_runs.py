"""Whole runs of assistants with an MCP server: what the model is told, what steps show, what waits for approval."""

import json
from collections.abc import Iterator
from typing import Any

import mcp_types as types
import openai
import pytest
from django.conf import settings

from assistant_site.llm.tests.quirk_server import Answer, QuirkServer, called, said
from assistant_site.tests.callers import LiveCaller
from tools.mcp.models import McpServer, McpToolList
from tools.tests.mcp_servers import McpTestServer, png, text_result, tool

ECHO = ("shop_echo", '{"text": "good day"}')
ADD = ("shop_add", '{"text": "two"}')


@pytest.fixture
def shop() -> Iterator[McpTestServer]:
    with McpTestServer(token="s3cret") as shop:
        yield shop


def mcp(shop: McpTestServer, **fields: Any) -> dict[str, Any]:
    given = {"server_label": "shop", "server_url": shop.url, "authorization": "s3cret", "require_approval": "never"}
    return {"type": "mcp", **given, **fields}


class Asked:
    """A run whose model says these things."""

    def __init__(self, lena: LiveCaller, tools: list[dict[str, Any]], *script: Answer, **fields: Any) -> None:
        self.lena = lena
        with QuirkServer(*script) as provider:
            lena.provided_by(provider.base_url)
            self.thread = lena.thread("Go on")
            self.assistant = lena.assistant(tools=tools)
            self.run = lena.run(self.thread, self.assistant, **fields)
            while self.run["status"] == "requires_action":
                self.answer(self.run)
            self.turns = [request.body for request in provider.requests]

    def answer(self, run: dict[str, Any]) -> None:
        raise AssertionError(run)

    @property
    def steps(self) -> list[dict[str, Any]]:
        return self.lena.steps(self.thread, self.run["id"])

    @property
    def functions(self) -> list[dict[str, Any]]:
        return [call["function"] for step in self.steps for call in step["step_details"].get("tool_calls", [])]


def test_a_run_calls_the_tools_of_a_server(lena: LiveCaller, shop: McpTestServer) -> None:
    asked = Asked(lena, [mcp(shop)], called(ECHO, ADD), said("Done"))
    assert asked.run["status"] == "completed", asked.run
    assert [each["function"]["name"] for each in asked.turns[0]["tools"]] == ["shop_echo", "shop_add"]
    assert [(each["name"], each["output"]) for each in asked.functions] == [
        ("shop_echo", "good day"),
        ("shop_add", "two"),
    ]
    assert [message["content"] for message in asked.turns[1]["messages"][-2:]] == ["good day", "two"]
    keys = {call.params["_meta"]["idempotencyKey"] for call in shop.calls()}
    assert len(keys) == 2
    assert lena.last_text(asked.thread) == "Done"


def test_credentials_are_shown_to_nobody_and_kept_when_what_was_read_is_sent_back(
    lena: LiveCaller, shop: McpTestServer
) -> None:
    asked = Asked(lena, [mcp(shop)], called(ECHO), said("Done"))
    read = lena.get(f"assistants/{asked.assistant}")
    shown = {"type": "mcp", "server_label": "shop", "server_url": shop.url, "require_approval": "never"}
    assert read["tools"] == asked.run["tools"] == [shown]
    for told in (read.body, asked.run, asked.steps, asked.turns):
        assert "s3cret" not in json.dumps(told)
        assert "sealed" not in json.dumps(told)
    assert lena.post(f"assistants/{asked.assistant}", {"tools": read["tools"]})["tools"] == [shown]
    with QuirkServer(called(ECHO), said("Again")) as provider:
        lena.provided_by(provider.base_url)
        assert lena.run(asked.thread, asked.assistant)["status"] == "completed"
    assert [call.headers["authorization"] for call in shop.calls()] == ["Bearer s3cret"] * 2
    # Another address is another server: it does not get them.
    lena.post(f"assistants/{asked.assistant}", {"tools": [{**shown, "server_url": shop.url + "?other"}]})
    with QuirkServer(said("Nothing to call")) as provider:
        lena.provided_by(provider.base_url)
        lena.run(asked.thread, asked.assistant)
        assert "tools" not in provider.requests[0].body
        assert "wants other credentials (401)" in json.dumps(provider.requests[0].body["messages"])
    assert len(shop.calls()) == 2


class Approving(Asked):
    """Approves calls of `echo` and no other."""

    def answer(self, run: dict[str, Any]) -> None:
        self.required = run["required_action"]
        asked = self.required["submit_tool_approval"]["tool_calls"]
        body = {
            "tool_outputs": [],
            "tool_approvals": [{"tool_call_id": call["id"], "approve": call["name"] == "echo"} for call in asked],
        }
        self.lena.post(f"threads/{self.thread}/runs/{run['id']}/submit_tool_outputs", body)
        self.run = self.lena.settled(self.thread, run["id"])


def test_calls_wait_until_they_are_approved(lena: LiveCaller, shop: McpTestServer) -> None:
    asked = Approving(lena, [mcp(shop, require_approval="always")], called(ECHO, ADD), said("Done"))
    assert asked.run["status"] == "completed", asked.run
    assert asked.required["type"] == "submit_tool_approval"
    assert [
        (call["type"], call["server_label"], call["name"], json.loads(call["arguments"]))
        for call in asked.required["submit_tool_approval"]["tool_calls"]
    ] == [("mcp", "shop", "echo", {"text": "good day"}), ("mcp", "shop", "add", {"text": "two"})]
    echo, add = asked.functions
    assert echo["output"] == "good day"
    assert "not approved" in add["output"]
    assert [call.params["name"] for call in shop.calls()] == ["echo"]


def test_an_approved_call_reaches_no_other_tool_that_has_got_its_name(lena: LiveCaller, shop: McpTestServer) -> None:
    class ApprovingLater(Asked):
        def answer(self, run: dict[str, Any]) -> None:
            [call] = run["required_action"]["submit_tool_approval"]["tool_calls"]
            assert (call["server_label"], call["name"]) == ("a", "b_c")
            [row] = [row for row in McpToolList.objects.of(lena.tenant) if row.listing["tools"][0]["name"] == "b_c"]
            row.listing["tools"][0]["name"] = "other"  # as the next run finds it
            row.save()
            approvals = [{"tool_call_id": call["id"], "approve": True}]
            path = f"threads/{self.thread}/runs/{run['id']}/submit_tool_outputs"
            lena.post(path, {"tool_outputs": [], "tool_approvals": approvals})
            self.run = lena.settled(self.thread, run["id"])

    shop.tools = [tool("b_c")]
    with McpTestServer(tools=[tool("c")]) as other:
        tools = [
            mcp(shop, server_label="a", require_approval="always"),
            {"type": "mcp", "server_label": "a_b", "server_url": other.url, "require_approval": "always"},
        ]
        asked = ApprovingLater(lena, tools, called(("a_b_c", "{}")), said("Done"))
        assert other.calls() == []
    assert [each["function"]["name"] for each in asked.turns[0]["tools"]] == ["a_b_c", "a_b_c_tool"]
    [function] = asked.functions
    assert function["output"] == "The tool 'a_b_c' is not available any more. This call was not carried out."


def test_pictures_and_files_are_stored_and_shown(lena: LiveCaller, shop: McpTestServer) -> None:
    pdf = types.BlobResourceContents(uri="shop://bills/july.pdf", blob="JVBERg==")
    shop.answer = lambda params: types.CallToolResult(
        content=[types.ImageContent(data=png(), mime_type="image/png"), types.EmbeddedResource(resource=pdf)]
    )
    link = "[the bill](sandbox:/mnt/data/july-1-0-2.pdf)"
    asked = Asked(lena, [mcp(shop)], called(ECHO), said(f"Here: {link}"))
    image, text = lena.messages(asked.thread)[-1]["content"]
    assert image["type"] == "image_file"
    assert lena.get(f"files/{image['image_file']['file_id']}/content").body[:4] == b"\x89PNG"
    [annotation] = text["text"]["annotations"]
    assert annotation["type"] == "file_path"
    assert lena.get(f"files/{annotation['file_path']['file_id']}/content").body == b"%PDF"


def test_a_server_that_is_down_costs_the_run_its_tools_only(lena: LiveCaller) -> None:
    gone = McpTestServer()  # never started
    asked = Asked(lena, [mcp(gone)], said("I cannot look that up"))
    assert asked.run["status"] == "completed", asked.run
    assert "tools" not in asked.turns[0]
    assert "The tools of the MCP server 'shop' cannot be used now." in json.dumps(asked.turns[0]["messages"])


def test_a_registered_server_is_enough_by_its_label(lena: LiveCaller, shop: McpTestServer) -> None:
    label_only = {"type": "mcp", "server_label": "depot"}
    refused = lena.post("assistants", {"model": "m", "tools": [label_only]})
    assert refused.status == 400
    assert refused.error["param"] == "tools[0].server_label"
    twice = lena.post("assistants", {"model": "m", "tools": [mcp(shop), mcp(shop)]})
    assert twice.error["message"].startswith("Invalid 'tools[1].server_label': 'shop' is given twice.")
    server = McpServer(tenant=lena.tenant, label="depot", url=shop.url, require_approval="never")
    server.set_headers({"Authorization": "Bearer s3cret"})
    server.save()
    asked = Asked(lena, [label_only], called(("depot_echo", "{}")), said("Done"))
    assert [each["output"] for each in asked.functions] == ["echo"]
    assert McpToolList.objects.of(lena.tenant).count() == 1


def test_two_servers_beside_a_function_of_the_callers(lena: LiveCaller, shop: McpTestServer) -> None:
    with McpTestServer(tools=[tool("echo")], answer=lambda params: text_result("from the other")) as other:
        tools = [
            mcp(shop),
            {"type": "function", "function": {"name": "other_echo"}},
            {"type": "mcp", "server_label": "other", "server_url": other.url, "require_approval": "never"},
        ]
        asked = Asked(lena, tools, called(ECHO, ("other_echo_tool", "{}")), said("Done"))
    names = [each["function"]["name"] for each in asked.turns[0]["tools"]]
    assert names == ["shop_echo", "shop_add", "other_echo_tool", "other_echo"]
    assert [each["output"] for each in asked.functions] == ["good day", "from the other"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK says so of all of it
def test_the_documentations_example_is_true(lena: LiveCaller, shop: McpTestServer) -> None:
    page = (settings.BASE_DIR / "docs" / "mcp.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    for given, ours in {"https://mcp.example.com/mcp": shop.url, "the-token": "s3cret"}.items():
        assert given in code
        code = code.replace(given, ours)
    shop.tools = [tool("search"), tool("buy")]
    asked = []

    def answer(question: str) -> str:
        asked.append(question)
        return "yes"

    search, buy = ("shop_search", '{"text": "a red lamp"}'), ("shop_buy", '{"text": "bought"}')
    with (
        QuirkServer(called(search), called(buy), said("It is yours.")) as provider,
        openai.OpenAI(api_key=lena.token, base_url=lena.base_url) as client,
    ):
        lena.provided_by(provider.base_url)
        told: dict[str, Any] = {"client": client, "input": answer}
        exec(compile(code, "docs/mcp.md", "exec"), told)
    assert told["run"].status == "completed"
    assert asked == ['buy {"text": "bought"}? ']
    assert [call.params["name"] for call in shop.calls()] == ["search", "buy"]
    assert lena.last_text(told["run"].thread_id) == "It is yours."
