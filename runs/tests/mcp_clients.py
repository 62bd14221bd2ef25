"""The protocol's own client against this server, and assistants that call this server as clients."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx2
import mcp_types as types
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from assistant_site.tests.callers import LiveCaller

T = TypeVar("T")


def through(
    lena: LiveCaller, path: str, work: Callable[[Client], Awaitable[T]], mode: str = "auto", **headers: str
) -> T:
    """What is done with a client of this address."""

    async def connected() -> T:
        sent = {"Authorization": f"Bearer {lena.token}", **headers}
        async with httpx2.AsyncClient(headers=sent, timeout=40, trust_env=False) as http:
            transport = streamable_http_client(f"{lena.base_url}/{path}", http_client=http)
            async with Client(transport, mode=mode) as client:
                return await work(client)

    return asyncio.run(connected())


def ask(
    lena: LiveCaller, assistant: str, mode: str = "auto", headers: dict[str, str] | None = None, **arguments: Any
) -> Any:
    async def work(client: Client) -> Any:
        return await client.call_tool("ask", arguments)

    return through(lena, f"assistants/{assistant}/mcp", work, mode, **(headers or {}))


def about(result: types.CallToolResult) -> dict[str, Any]:
    content: dict[str, Any] = result.structured_content
    return content


def itself(lena: LiveCaller, assistant: str) -> dict[str, Any]:
    url = f"{lena.base_url}/assistants/{assistant}/mcp".replace("127.0.0.1", "localhost")
    return {
        "type": "mcp",
        "server_label": "colleague",
        "server_url": url,
        "authorization": lena.token,
        "require_approval": "never",
    }
