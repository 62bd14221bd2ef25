"""How `mcp` tools are written in requests, and what is stored of them."""

import json
from typing import Any

import pytest

from assistant_site.wire.grammar import Fault
from tools.mcp import headers
from tools.mcp.wire import McpToolSerializer

URL = "https://mcp.example.com/mcp"


def read(**given: Any) -> dict[str, Any]:
    tool: dict[str, Any] = McpToolSerializer().run_validation({"type": "mcp", "server_label": "shop", **given})
    return tool


def refusal(**given: Any) -> str:
    with pytest.raises(Fault) as fault:
        read(**given)
    return str(fault.value.error())


def test_all_of_the_hosted_shape_is_taken() -> None:
    given: dict[str, Any] = {
        "server_url": URL,
        "server_description": "A shop.",
        "allowed_tools": ["search"],
        "require_approval": {"never": {"tool_names": ["search"]}, "always": {"read_only": False}},
    }
    assert read(**given) == {"type": "mcp", "server_label": "shop", **given}
    assert read(server_url=URL, allowed_tools={"read_only": True})["allowed_tools"] == {"read_only": True}
    assert read(server_url=URL)["require_approval"] == "always"
    assert read() == {"type": "mcp", "server_label": "shop"}  # a registered one, whose approval is its own


def test_credentials_are_sealed_at_once() -> None:
    tool = read(server_url=URL, headers={"X-Key": " abc "}, authorization="t0ken")
    assert set(tool) == {"type", "server_label", "server_url", "require_approval", "sealed"}
    assert "abc" not in json.dumps(tool)
    assert "t0ken" not in json.dumps(tool)
    assert headers.unsealed(tool["sealed"]) == {"X-Key": "abc", "Authorization": "Bearer t0ken"}
    assert headers.unsealed(read(server_url=URL, authorization="Bearer t")["sealed"]) == {"Authorization": "Bearer t"}
    assert read(server_url=URL, headers={})["sealed"] == ""
    assert "sealed" not in read(server_url=URL, headers=None)
    assert "Unknown parameter: 'sealed'" in refusal(server_url=URL, sealed=tool["sealed"])


NOT_TO_BE_SET = "Host content-length Mcp-Session-Id MCP-Protocol-Version Transfer-Encoding Accept Proxy-Authorization"
BROKEN = ["a b", "", "a:b", "X\r\nHost", "n" * 200]


@pytest.mark.parametrize("name", [*NOT_TO_BE_SET.split(), *BROKEN])
def test_headers_of_the_connection_and_broken_names_are_refused(name: str) -> None:
    said = refusal(server_url=URL, headers={name: "s3cret"})
    assert said.startswith("Invalid 'headers': ")
    assert "s3cret" not in said


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\x00", "ü", "x" * 10_000])
def test_broken_values_are_refused(value: str) -> None:
    assert "the value of the header 'X-Key'" in refusal(server_url=URL, headers={"X-Key": value})
    assert refusal(server_url=URL, authorization=value).startswith("Invalid 'authorization'")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"server_label": "1shop"}, "does not match pattern"),
        ({"server_label": "s" * 65}, "too long"),
        ({"server_label": "my shop"}, "does not match pattern"),
        ({"server_url": "ftp://example.com"}, "begins with http:// or https://"),
        ({"server_url": "https://"}, "not valid"),
        ({"server_url": "https://lena:pw@example.com/mcp"}, "no user name"),
        ({"server_url": "https://example.com:99999/mcp"}, "not valid"),
        ({"server_url": "https://exa mple.com/"}, "not valid"),
        ({"connector_id": "connector_gmail"}, "only the hosted API"),
        ({"tunnel_id": "tunnel_0"}, "only the hosted API"),
        ({"headers": {"X": "1"}}, "a registered server has its own"),
        ({"authorization": "x"}, "a registered server has its own"),
        ({"server_url": URL, "headers": {"X": 1}}, "expected a string, but got an integer"),
        ({"server_url": URL, "headers": {"x": "1", "X": "2"}}, "given twice"),
        ({"server_url": URL, "headers": {"authorization": "1"}, "authorization": "2"}, "not both"),
        ({"server_url": URL, "require_approval": "sometimes"}, "Supported values are: 'always' and 'never'"),
        ({"server_url": URL, "require_approval": {"often": {}}}, "Unknown parameter: 'require_approval.often'"),
        ({"server_url": URL, "allowed_tools": {"names": []}}, "Unknown parameter: 'allowed_tools.names'"),
        ({"server_url": URL, "allowed_tools": [1]}, "Invalid type for 'allowed_tools[0]'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(given: dict[str, Any], words: str) -> None:
    assert words in refusal(**given)
