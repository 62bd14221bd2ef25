"""Loads the protocol's package, which takes half a second, where the first MCP server of a worker needs it."""

import asyncio
import importlib
import sys

_MODULES = ("tools.mcp.session", "tools.mcp.results")


async def load() -> None:
    """Afterwards these can be imported at once; the event loop goes on meanwhile."""
    for name in _MODULES:
        if name not in sys.modules:
            await asyncio.to_thread(importlib.import_module, name)
