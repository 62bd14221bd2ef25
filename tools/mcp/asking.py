"""Asking a server for its tools, once for all who want to know."""

import asyncio
import logging

from assistant_site.db.threads import DatabaseThreads
from assistant_site.shares import Shares
from tools.mcp import lists
from tools.mcp.failures import McpFailed
from tools.mcp.lists import State
from tools.mcp.loading import load
from tools.mcp.servers import Server

logger = logging.getLogger(__name__)

LIST_SECONDS = 12.0  # for a server to say all of its tools
RENEWAL_SECONDS = 4.0  # the same, where an older list will do
AT_ONCE = 8  # servers that a worker asks for one tenant; each answer may be some megabytes
LOOK_SECONDS = 0.1
FAULT = "Its tools could not be read because of a fault of this server."

_turns = Shares(lambda: AT_ONCE)  # of the tenants, so that nobody waits for the servers of another


async def refresh(server: Server, threads: DatabaseThreads) -> None:
    """Returns when the list is fresh, or when there is nothing better to be had. Raises nothing of its own."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LIST_SECONDS
    while True:
        state = await threads.run(lists.claim, server)
        if state in (State.OURS, State.RENEWED):
            await _ask(
                server, threads, _turns.of(server.tenant_id), LIST_SECONDS if state is State.OURS else RENEWAL_SECONDS
            )
            return
        if state is not State.AWAITED or loop.time() > deadline:
            return
        await asyncio.sleep(LOOK_SECONDS)


async def _ask(server: Server, threads: DatabaseThreads, turn: asyncio.Semaphore, seconds: float) -> None:
    try:
        await load()
        from tools.mcp import session

        async with asyncio.timeout(LIST_SECONDS):
            await turn.acquire()
        try:
            tools, version = await session.list_tools(server, seconds=seconds)
        finally:
            turn.release()
        await threads.run(lists.keep, server, tools, version)
    except McpFailed as problem:
        logger.info("The tools of an MCP server of tenant %s were not listed: %s", server.tenant_id, problem.logged)
        await threads.run(lists.fail, server, problem.message)
    except TimeoutError:
        await threads.run(lists.release, server)
    except asyncio.CancelledError:
        await asyncio.shield(threads.run(lists.release, server))
        raise
    except Exception:
        logger.exception("The tools of an MCP server of tenant %s were not listed.", server.tenant_id)
        await threads.run(lists.fail, server, FAULT)
