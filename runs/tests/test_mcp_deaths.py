"""A worker dies while calls of an MCP server are under way."""

import time
from collections.abc import Iterator

import pytest

from assistant_site.llm.tests.quirk_server import QuirkServer, called, said
from assistant_site.tests.callers import LiveCaller, new_tenant
from assistant_site.tests.stack import Stack
from runs.models import Run
from runs.tests.folding import Folded
from runs.tests.test_endings import Background
from runs.tests.test_served_tools import outputs_in, worker_of
from tools.mcp.tool import LOST
from tools.tests.mcp_servers import McpTestServer, tool

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def crew(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two workers that soon notice each other's death; the session's own rests meanwhile."""
    stack.stop("worker-1")
    env = {"RUN_LEASE_SECONDS": "3", "WORKER_DRAIN_SECONDS": "1"}
    with Stack(folder=tmp_path_factory.mktemp("crew"), workers=2, ingestions=0, env=env) as running:
        yield running
    stack.start("worker-1")
    stack.wait_ready()


@pytest.fixture
def mara(live: Stack, crew: Stack) -> LiveCaller:
    return LiveCaller(*new_tenant("Mara"), crew.url)


def test_only_harmless_calls_are_repeated_by_the_worker_that_takes_over(mara: LiveCaller, crew: Stack) -> None:
    tools = [tool("look", readOnlyHint=True), tool("put", idempotentHint=True), tool("buy")]
    with McpTestServer(tools=tools, seconds=3) as shop:
        mcp = {"type": "mcp", "server_label": "shop", "server_url": shop.url, "require_approval": "never"}
        with QuirkServer(called(*((f"shop_{each.name}", "{}") for each in tools)), said("Done.")) as provider:
            mara.provided_by(provider.base_url)
            thread = mara.thread("Go")
            background = Background(mara, f"threads/{thread}/runs", {"assistant_id": mara.assistant(tools=[mcp])})
            deadline = time.monotonic() + 60
            while len(shop.calls()) < 3:
                assert time.monotonic() < deadline, shop.methods
                time.sleep(0.02)
            worker = worker_of(crew, Run.objects.of(mara.tenant).get(thread_id=thread))
            crew.kill(worker)
            events = background.ended()
            crew.start(worker)
            outputs = outputs_in(provider.requests[-1])
    folded = Folded(events)
    folded.equals_rest(mara)
    assert folded.run["status"] == "completed"
    assert outputs == ["look", "put", LOST.format(label="shop", tool="buy")]
    keys: dict[str, list[str]] = {}
    for call in shop.calls():
        keys.setdefault(call.params["name"], []).append(call.params["_meta"]["idempotencyKey"])
    assert {name: len(each) for name, each in keys.items()} == {"look": 2, "put": 2, "buy": 1}
    assert all(len(set(each)) == 1 for each in keys.values())
    assert shop.methods.count("tools/list") == 1
