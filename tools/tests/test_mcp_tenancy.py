"""Whose MCP servers, lists and credentials a run uses, and who gets to see them."""

import json
import logging

import pytest

from tenants.encryption import encrypt
from tools.mcp.models import McpServer, McpToolList
from tools.tests.mcp_servers import McpTestServer, Posted, raw_server, text_result, tool
from tools.tests.shopping import MCP, Shopper, names
from tools.tool import Briefed


def test_a_registered_server_is_named_by_its_label(shopper: Shopper, shop: McpTestServer) -> None:
    shop.token = "t0ken"
    shop.tools = [tool("search"), tool("buy")]
    headers = {"Authorization": "Bearer t0ken"}
    own = shopper.register(shop.url, headers=headers, allowed_tools=["search"], require_approval="never")
    (offer,) = shopper.offers(shopper.tool())
    assert (offer.of, offer.needs_approval) == ("search", False)
    assert shopper.call(shopper.tool(), "search").output == "search"
    narrower = shopper.tool(allowed_tools=["buy"], require_approval="always")
    assert shopper.offers(narrower) == []
    assert shopper.offers(shopper.tool(require_approval="always"))[0].needs_approval
    own.delete()


def test_registered_servers_are_the_tenants_own_or_everybodys(shopper: Shopper, shop: McpTestServer) -> None:
    stranger = Shopper.new("localhost")
    try:
        shopper.register(shop.url)
        assert stranger.told(stranger.tool()) == (
            [],
            "The tools of the MCP server 'shop' cannot be used now. "
            "No MCP server is registered here under the label 'shop'.",
        )
        assert "No MCP server is registered" in stranger.call(stranger.tool(), "echo").output
        with McpTestServer(tools=[tool("common")]) as common:
            shared = shopper.register(common.url, for_all=True)
            assert names(stranger.offers(stranger.tool())) == ["shop_common"]
            assert names(shopper.offers(shopper.tool())) == ["shop_echo", "shop_add"]
            shared.delete()
    finally:
        stranger.tenant.delete()


def test_lists_are_not_shared_between_tenants(shopper: Shopper, shop: McpTestServer) -> None:
    stranger = Shopper.new()  # may not reach this machine
    try:
        shopper.offers(shopper.tool(shop.url))
        offers, note = stranger.told(stranger.tool(shop.url))
        assert offers == []
        assert "is not public" in note
        assert "is not public" in stranger.call(stranger.tool(shop.url), "echo").output
        assert shop.calls() == []
    finally:
        stranger.tenant.delete()


def test_the_operators_registration_opens_its_own_host_only(committed: None, shop: McpTestServer) -> None:
    shopper = Shopper.new()
    try:
        shopper.register(shop.url)
        assert len(shopper.offers(shopper.tool())) == 2
        assert "is not public" in shopper.told(shopper.tool(shop.url, label="same"))[1]

        def away(posted: Posted) -> None:
            place = shop.url.replace("localhost", "127.0.0.1")
            posted.answer(b"", status="307 Temporary Redirect", headers=f"Location: {place}\r\n")

        with raw_server(away) as url:
            shopper.register(url, label="inner")
            assert "is not followed (307)" in shopper.told(shopper.tool(label="inner"))[1]
    finally:
        shopper.tenant.delete()


def test_credentials_that_cannot_be_decrypted_are_told_of(shopper: Shopper, shop: McpTestServer) -> None:
    chosen = {**shopper.tool(shop.url), "sealed": encrypt("{}")[:-8] + "AAAAAAA="}
    assert "its owner must enter them again" in shopper.told(chosen)[1]
    assert "its owner must enter them again" in shopper.call(chosen, "echo").output


def test_secrets_are_in_no_log_and_in_no_answer(
    shopper: Shopper, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)

    def broken(posted: Posted) -> None:
        if not posted.handshake():
            posted.answer(b'{"jsonrpc": "s3cret-of-the-server"')

    with raw_server(broken) as url:
        chosen = shopper.tool(f"{url}?key=s3cret", headers={"X-Key": "s3cret"})
        said = shopper.told(chosen)[1] + shopper.call(chosen, "echo").output
        briefing = repr(MCP.brief(chosen, Briefed(shopper.tenant.pk, "thread_1")))
    assert "s3cret" not in said + briefing + caplog.text + "".join(capfd.readouterr())


def test_rows_are_unique(shopper: Shopper) -> None:
    from django.db import IntegrityError

    McpServer.objects.create(tenant=shopper.tenant, label="x", url="http://a/")
    with pytest.raises(IntegrityError):
        McpServer.objects.create(tenant=shopper.tenant, label="x", url="http://b/")
    with pytest.raises(IntegrityError):
        McpToolList.objects.insert([McpToolList(tenant=shopper.tenant, digest="d") for _ in range(2)])


def test_credentials_that_a_server_echoes_reach_nobody(shopper: Shopper, shop: McpTestServer) -> None:
    headers = {"Authorization": "Bearer s3cret-t0ken", "X-Team": "engineering", "Api-Key": "k3y"}
    chosen = shopper.tool(shop.url, headers=headers)
    shop.answer = lambda params: text_result(f"You sent {headers} and s3cret-t0ken.")
    output = shopper.call(chosen, "echo").output
    assert "s3cret-t0ken" not in output
    assert "engineering" in output

    def refuse(posted: Posted) -> None:
        if not posted.handshake():
            error = {"code": -32000, "message": "s3cret-t0ken is not valid"}
            posted.answer(json.dumps({"jsonrpc": "2.0", "id": posted.id, "error": error}).encode())

    with raw_server(refuse) as url:
        chosen = shopper.tool(url, headers=headers)
        expected = "The MCP server 'shop' answered with an error: [secret] is not valid"
        assert shopper.told(chosen)[1].endswith(expected)
        assert shopper.call(chosen, "echo").output == expected
