"""Registered MCP servers in the admin: headers are entered, used, and never shown."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tools.mcp.models import McpServer

FORM = {"label": "shop", "url": "http://mcp.corp:8000/mcp", "tenant": "", "allowed_tools": "null"}
FORM |= {"require_approval": '"always"', "new_headers": ""}
ADD = "/admin/tools/mcpserver/add/"


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create(username="operator", is_staff=True, is_superuser=True))
    return client


def change(server: McpServer) -> str:
    return f"/admin/tools/mcpserver/{server.pk}/change/"


def save(operator: Client, where: str, **fields: Any) -> str:
    """The page's text, if it did not take it."""
    return operator.post(where, FORM | fields).content.decode()


def test_headers_are_entered_in_lines_and_never_shown(operator: Client) -> None:
    lines = "Authorization: Bearer s3cret\r\n\r\nX-Team:  blue \r\n"
    assert save(operator, ADD, new_headers=lines, allowed_tools='["search"]') == ""
    server = McpServer.objects.get()
    assert server.headers == {"Authorization": "Bearer s3cret", "X-Team": "blue"}
    assert "s3cret" not in server.encrypted_headers
    assert (server.tenant, server.allowed_tools, server.require_approval) == (None, ["search"], "always")
    page = operator.get(change(server)).content.decode()
    assert "Authorization, X-Team" in page
    assert "s3cret" not in page + operator.get("/admin/tools/mcpserver/").content.decode()


def test_empty_keeps_the_headers_and_a_dash_takes_them_away(operator: Client) -> None:
    save(operator, ADD, new_headers="X-Key: 1")
    server = McpServer.objects.get()
    assert save(operator, change(server), url="http://mcp.corp/other") == ""
    server.refresh_from_db()
    assert (server.url, server.headers) == ("http://mcp.corp/other", {"X-Key": "1"})
    save(operator, change(server), new_headers="-")
    server.refresh_from_db()
    assert server.headers == {}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"new_headers": "no colon"}, "Each line must be a name"),
        ({"new_headers": "Host: a"}, "belongs to the connection"),
        ({"new_headers": "A: 1\nA: 2"}, "given twice"),
        ({"new_headers": "A: ü"}, "other than ASCII"),
        ({"url": "ftp://mcp.corp"}, "An address like"),
        ({"url": "http://lena:pw@mcp.corp/"}, "An address like"),
        ({"label": "7"}, "Such as deepwiki."),
        ({"allowed_tools": '"search"'}, "A list of names"),
        ({"allowed_tools": '{"names": []}'}, "A list of names"),
        ({"require_approval": '"sometimes"'}, "&quot;always&quot;, &quot;never&quot;"),
        ({"require_approval": '{"never": []}'}, "Such as"),
    ],
)
def test_what_cannot_be_is_refused(operator: Client, wrong: dict[str, str], words: str) -> None:
    page = save(operator, ADD, **wrong)
    assert words in page
    assert not McpServer.objects.exists()


def test_a_label_is_given_once(operator: Client) -> None:
    assert save(operator, ADD) == ""
    assert "already exists" in save(operator, ADD)
    assert McpServer.objects.count() == 1


def test_words_need_no_quotes_and_nothing_is_an_empty_field(operator: Client) -> None:
    assert save(operator, ADD, require_approval=" never ", allowed_tools="") == ""
    server = McpServer.objects.get()
    assert (server.require_approval, server.allowed_tools) == ("never", None)
    page = operator.get(change(server)).content.decode()
    assert "&quot;never&quot;" in page
    assert ">\nnull<" not in page
    assert "A list of names" in save(operator, change(server), allowed_tools="search")
    assert "Enter a valid JSON" in save(operator, change(server), allowed_tools="search, buy")
