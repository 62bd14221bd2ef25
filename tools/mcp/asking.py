"""Asking a server for its tools, once for all who want to know."""

import asyncio
import logging

from assistant_site.db.threads import DatabaseThreads
from tools.mcp import lists
from tools.mcp.failures import McpFailed
from tools.mcp.lists import State
from tools.mcp.servers import Server

logger = logging.getLogger(__name__)

LIST_SECONDS = 12.0  # for a server to say all of its tools
LOOK_SECONDS = 0.1
FAULT = "Its tools could not be read because of a fault of this server."


async def refresh(server: Server, threads: DatabaseThreads) -> None:
    """Returns when the list is fresh, or when there is nothing better to be had. Raises nothing of its own."""
    deadline = asyncio.get_running_loop().time() + LIST_SECONDS
    while True:
        state = await threads.run(lists.claim, server)
        if state is State.OURS:
            await _ask(server, threads)
            return
        if state is not State.AWAITED or asyncio.get_running_loop().time() > deadline:
            return
        await asyncio.sleep(LOOK_SECONDS)


async def _ask(server: Server, threads: DatabaseThreads) -> None:
    from tools.mcp import session  # loads the protocol's package

    try:
        tools, version = await session.list_tools(server, seconds=LIST_SECONDS)
        await threads.run(lists.keep, server, tools, version)
    except McpFailed as problem:
        logger.info("The tools of an MCP server of tenant %s were not listed: %s", server.tenant_id, problem.message)
        await threads.run(lists.fail, server, problem.message)
    except asyncio.CancelledError:
        await asyncio.shield(threads.run(lists.release, server))
        raise
    except Exception:
        logger.exception("The tools of an MCP server of tenant %s were not listed.", server.tenant_id)
        await threads.run(lists.fail, server, FAULT)
