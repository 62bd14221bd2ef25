"""The lists of MCP servers' tools: asked for once, used by all, and kept while a server is down."""

import asyncio
import json
import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tools.mcp import asking, lists
from tools.mcp.servers import server_of
from tools.mcp.tool import threads
from tools.tests.mcp_servers import McpTestServer, Posted, raw_server, tool
from tools.tests.shopping import Shopper, awaited, names


def test_the_list_is_asked_for_once_and_again_when_it_is_old(
    shopper: Shopper, shop: McpTestServer, settings: Any
) -> None:
    chosen = shopper.tool(shop.url)
    for _ in range(3):
        assert len(shopper.offers(chosen)) == 2
    assert shop.methods.count("tools/list") == 1
    shopper.lists.update(next_at=timezone.now(), fetched_at=timezone.now() - timedelta(seconds=301))
    shop.tools = [tool("new")]
    assert names(shopper.offers(chosen)) == ["shop_new"]
    assert shop.methods.count("tools/list") == 2


def test_other_credentials_have_a_list_of_their_own(shopper: Shopper, shop: McpTestServer) -> None:
    shopper.offers(shopper.tool(shop.url, headers={"X-User": "lena"}))
    shopper.offers(shopper.tool(shop.url, headers={"X-User": "bob"}))
    shopper.offers(shopper.tool(shop.url, headers={"x-user": "bob"}, label="again"))
    assert shop.methods.count("tools/list") == 2
    assert "lena" not in json.dumps(list(shopper.lists.values("digest", "listing", "failure")))


def test_many_runs_at_once_ask_once(shopper: Shopper) -> None:
    with McpTestServer(json=True) as shop:
        server = server_of(shopper.tenant.pk, shopper.tool(shop.url))

        async def at_once() -> None:
            await asyncio.gather(*(asking.refresh(server, threads()) for _ in range(20)))

        awaited(at_once(), 3)
        assert shop.methods.count("tools/list") == 1
    known = lists.remembered(server).listing
    assert known is not None
    assert len(known.tools) == 2


def test_an_older_list_does_while_the_server_is_down(shopper: Shopper) -> None:
    with McpTestServer() as shop:
        chosen = shopper.tool(shop.url)
        assert len(shopper.offers(chosen)) == 2
    for _ in range(2):
        shopper.lists.update(next_at=timezone.now(), fetched_at=timezone.now() - timedelta(days=1))
        offers, note = shopper.told(chosen)
        assert len(offers) == 2
        assert note == ""
    assert "cannot be reached" in shopper.call(chosen, "echo").output


def test_a_server_that_cannot_be_listed_is_told_of_and_left_alone_for_a_while(shopper: Shopper) -> None:
    asked = []

    def refuse(posted: Posted) -> None:
        asked.append(posted.method)
        posted.answer(b"<html>db at 10.0.0.7 is down</html>", status="503 Down", content_type="text/html")

    with raw_server(refuse) as url:
        chosen = shopper.tool(url)
        offers, note = shopper.told(chosen)
        assert offers == []
        assert note == (
            "The tools of the MCP server 'shop' cannot be used now. "
            "The MCP server 'shop' has a fault of its own at the moment (503)."
        )
        tries = len(asked)
        assert shopper.told(chosen)[1] == note
        assert len(asked) == tries
        shopper.lists.update(next_at=timezone.now())
        assert shopper.told(chosen)[1] == note
        assert len(asked) == 2 * tries


def test_a_worker_that_died_while_it_asked_is_followed_by_another(shopper: Shopper, shop: McpTestServer) -> None:
    chosen = shopper.tool(shop.url)
    server = server_of(shopper.tenant.pk, chosen)
    assert lists.claim(server) is lists.State.OURS
    assert lists.claim(server) is lists.State.AWAITED
    assert "has not said yet" in shopper.told(chosen, refreshed=False)[1]
    shopper.lists.update(next_at=timezone.now())
    assert len(shopper.offers(chosen)) == 2


def test_lists_that_nobody_needs_are_forgotten(shopper: Shopper, shop: McpTestServer) -> None:
    shopper.offers(shopper.tool(shop.url, headers={"X": "1"}))
    shopper.lists.update(next_at=timezone.now() - timedelta(days=31))
    shopper.offers(shopper.tool(shop.url, headers={"X": "2"}))
    assert shopper.lists.count() == 1


def test_a_slow_server_holds_up_nobody_who_has_an_older_list(
    shopper: Shopper, shop: McpTestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "RENEWAL_SECONDS", 0.3)
    server = server_of(shopper.tenant.pk, shopper.tool(shop.url))
    shopper.offers(shopper.tool(shop.url))
    shopper.lists.update(next_at=timezone.now(), fetched_at=timezone.now() - timedelta(days=1))
    assert lists.claim(server) is lists.State.RENEWED
    assert lists.claim(server) is lists.State.STALE
    lists.release(server)
    with raw_server(lambda posted: time.sleep(20)) as url:
        moved = shopper.lists.get()
        moved.digest = server_of(shopper.tenant.pk, shopper.tool(url)).digest
        moved.save()
        began = time.monotonic()
        assert len(shopper.offers(shopper.tool(url))) == 2
        assert time.monotonic() - began < 15


def test_a_tenant_has_only_so_many_lists(
    shopper: Shopper, shop: McpTestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "MOST_LISTS", 3)
    for number in range(5):
        shopper.offers(shopper.tool(shop.url, headers={"X": str(number)}))
    assert shopper.lists.count() == 3
    assert shopper.lists.filter(digest=server_of(shopper.tenant.pk, shopper.tool(shop.url, headers={"X": "4"})).digest)


def test_a_server_that_has_become_another_is_asked_anew(shopper: Shopper, shop: McpTestServer) -> None:
    shop.handshake = False
    chosen = shopper.tool(shop.url)
    assert len(shopper.offers(chosen)) == 2
    shop.handshake, shop.tools = True, [tool("new")]
    assert "refused the request (400)" in shopper.call(chosen, "echo").output
    assert names(shopper.offers(chosen)) == ["shop_new"]
    assert shopper.call(chosen, "new").output == "new"
