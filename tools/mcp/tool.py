"""`mcp`: each tool of another server is a function of the model's; a call goes out to that server."""

import logging
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from assistant_site.db.threads import OfEachLoop
from assistant_site.wire.errors import InvalidRequest
from tenants.models import Tenant
from tools.mcp import asking, lists
from tools.mcp.failures import McpFailed
from tools.mcp.listing import MOST_OFFERED, Listed, Listing, function_name
from tools.mcp.loading import load
from tools.mcp.servers import NoServer, Server, registered_as, server_of
from tools.mcp.wire import McpToolSerializer
from tools.served import ServedTool
from tools.tool import Briefed, Offer, ToolContext, ToolResult

logger = logging.getLogger(__name__)

LEAST_SECONDS = 1.0
MOST_SERVERS = 20  # of an assistant or a run

threads = OfEachLoop(lambda: 2)


@dataclass(frozen=True)
class Briefing:
    """What a run is told of a server. `server` None: it leads nowhere, and `problem` says why."""

    server: Server | None
    tools: tuple[Listed, ...] = ()
    problem: str = ""
    left_out: int = 0


class Mcp(ServedTool):
    type = "mcp"
    shape = McpToolSerializer
    is_single = False
    refreshes = True
    has_effects = True

    def judge(self, tenant: Tenant, tools: list[dict[str, Any]]) -> None:
        """Refuses too many servers, and labels that stand for two, or for none: no address, nothing registered."""
        seen: set[str] = set()
        for at, tool in enumerate(tools):
            if tool["type"] != self.type:
                continue
            label, place = tool["server_label"], f"tools[{at}].server_label"
            problem = ""
            if len(seen) == MOST_SERVERS:
                problem = f"there are more than {MOST_SERVERS} MCP servers."
            elif label in seen:
                problem = f"'{label}' is given twice. Each server has a label of its own."
            elif not tool.get("server_url") and registered_as(tenant.pk, label) is None:
                problem = (
                    f"no MCP server is registered under '{label}'. Give a 'server_url', or the label of a registered "
                    "server."
                )
            if problem:
                raise InvalidRequest(f"Invalid '{place}': {problem}", param=place, code="invalid_value")
            seen.add(label)

    async def refresh(self, tenant_id: str, tool: dict[str, Any]) -> None:
        """Asks the server for its tools, unless they are known or somebody else asks."""
        try:
            server = await threads().run(server_of, tenant_id, tool)
        except NoServer:
            return
        await asking.refresh(server, threads())

    def brief(self, tool: dict[str, Any], run: Briefed) -> Briefing:
        try:
            server = server_of(run.tenant_id, tool)
        except NoServer as nowhere:
            return Briefing(None, problem=nowhere.message)
        known = lists.remembered(server)
        if known.listing is None:
            problem = known.failure or f"The MCP server '{server.label}' has not said yet which tools it has."
            return Briefing(server, problem=problem)
        tools = [each for each in known.listing.tools if server.allows(each.name, read_only=each.read_only)]
        left_out = known.listing.left_out + max(0, len(tools) - MOST_OFFERED)
        return Briefing(server, tuple(tools[:MOST_OFFERED]), left_out=left_out)

    def offers(self, tool: dict[str, Any], briefing: Briefing) -> list[Offer]:
        server = briefing.server
        if server is None:
            return []
        return [
            Offer(
                function_name(server.label, each.name),
                each.description,
                each.parameters,
                of=each.name,
                needs_approval=server.must_approve(each.name, read_only=each.read_only),
            )
            for each in briefing.tools
        ]

    def note(self, tool: dict[str, Any], briefing: Briefing) -> str:
        if briefing.problem:
            return f"The tools of the MCP server '{tool['server_label']}' cannot be used now. {briefing.problem}"
        if briefing.left_out:
            return f"{briefing.left_out} of the tools of the MCP server '{tool['server_label']}' cannot be used here."
        return ""

    async def run(self, context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
        try:
            return await self._called(context, arguments)
        except NoServer as problem:
            return ToolResult(problem.message)
        except McpFailed as problem:
            logger.info("A call of an MCP server by tenant %s failed: %s", context.tenant_id, problem.logged)
            return ToolResult(problem.message + (DOUBT if problem.was_sent else ""))
        except Exception:
            logger.exception("A call of an MCP server by tenant %s failed.", context.tenant_id)
            return ToolResult(FAULT)

    async def _called(self, context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
        await load()
        from tools.mcp import results, session

        server, listing = await threads().run(_known, context.tenant_id, context.options)
        tool = listing.named(context.of)
        is_read_only = tool is not None and tool.read_only
        if not server.allows(context.of, read_only=is_read_only):
            return ToolResult(f"The tool '{context.of}' of the MCP server '{server.label}' may not be called.")
        if context.is_resumed and (tool is None or not tool.is_repeatable):
            return ToolResult(LOST.format(tool=context.of, label=server.label))
        seconds = max(LEAST_SECONDS, min(settings.TOOL_SECONDS, context.seconds_left) - 1)
        try:
            result = await session.call_tool(
                server,
                listing.version,
                context.of,
                arguments,
                key=context.call_id,
                depth=context.depth + 1,
                seconds=seconds,
            )
        except McpFailed as problem:
            if problem.is_refusal:
                await threads().run(lists.release, server)
            raise
        return await results.told(result, context, threads(), server.without_secrets)


DOUBT = " It may have been carried out all the same."
FAULT = "The call failed because of a fault of this server. It may have been carried out all the same."
LOST = (
    "The connection to the MCP server '{label}' was lost while '{tool}' was under way, and nobody heard how it ended. "
    "It may have been carried out, so it was not repeated. Find out whether it was, or ask the user, before you call "
    "it again."
)


def _known(tenant_id: str, tool: dict[str, Any]) -> tuple[Server, Listing]:
    server = server_of(tenant_id, tool)
    return server, lists.remembered(server).listing or Listing(())
