"""A little MCP server for mcp_approval.py, at http://localhost:8765/mcp. Ctrl-C ends it.

It needs the package `mcp`, 2 or newer; Holdfast's .venv has it.
"""

import contextlib
import os

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

shop = MCPServer("Shop")


@shop.tool(annotations=ToolAnnotations(read_only_hint=True))
def search(text: str) -> str:
    """Search the shop's goods."""
    return "Lamp 7: red, 20 euros" if "lamp" in text else "Nothing found"


@shop.tool()
def buy(item: int) -> str:
    """Buy an item by its number."""
    return f"Bought: item {item}"


with contextlib.suppress(KeyboardInterrupt):
    shop.run("streamable-http", port=int(os.environ.get("PORT", "8765")))
