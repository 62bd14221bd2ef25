"""Assistants as tools: what an editor or an agent does that has Holdfast among its MCP servers.

It needs the package `mcp`, 2 or newer; Holdfast's .venv has it.
"""

import asyncio
import os

import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from openai import OpenAI

MODEL = os.environ.get("HOLDFAST_MODEL", "demo")


async def main() -> None:
    client = OpenAI()
    assistant = client.beta.assistants.create(
        model=MODEL, name="Harbour master", description="Knows everything about the harbour of Port Marlo."
    )
    address = f"{client.base_url}assistants/{assistant.id}/mcp"  # `{base_url}mcp` has all assistants as tools
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {client.api_key}"}, timeout=120) as http,
        Client(streamable_http_client(address, http_client=http)) as server,
    ):
        for tool in (await server.list_tools()).tools:
            print(f"{tool.name}: {tool.description}")
        first = await server.call_tool("ask", {"message": "When is the tide?"})
        told = first.structured_content or {}
        print(told["status"], told["answer"])
        # The same conversation goes on.
        second = await server.call_tool("ask", {"message": "And tomorrow?", "thread_id": told["thread_id"]})
        print((second.structured_content or {})["thread_id"] == told["thread_id"])


asyncio.run(main())
