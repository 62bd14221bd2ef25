"""Threads with code, on committed rows: the tool works in threads with connections of their own; and a service."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # pytest loads this file before Django is set up
    from tools.tests.coding import Coder
    from tools.tests.mcp_servers import McpTestServer
    from tools.tests.service import Service
    from tools.tests.shopping import Shopper


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Nothing is rolled back: make your own tenant."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def cora(committed: None) -> Iterator["Coder"]:
    """A thread whose code runs in a scripted sandbox."""
    from tools.tests.coding import Coder
    from tools.tests.scripted import ScriptedSandbox

    coder = Coder.new(ScriptedSandbox())
    yield coder
    coder.delete(coder.tenant)


@pytest.fixture
def shopper(committed: None) -> Iterator["Shopper"]:
    """May reach servers on this machine by the name `localhost`."""
    from tools.tests.shopping import Shopper

    shopper = Shopper.new("localhost")
    yield shopper
    shopper.tenant.delete()


@pytest.fixture(scope="module")
def running_shop() -> Iterator["McpTestServer"]:
    from tools.tests.mcp_servers import McpTestServer

    with McpTestServer() as running:
        yield running


@pytest.fixture
def shop(running_shop: "McpTestServer") -> "McpTestServer":
    """An MCP server, as new."""
    running_shop.reset()
    return running_shop


@pytest.fixture
def service() -> Iterator["Service"]:
    """It answers everything with a temperature."""
    from tools.tests.service import Service, replying

    with Service(lambda got: replying({"degrees": 21})) as running:
        yield running
