"""A tenant whose runs use MCP servers, as the engine would have them use these."""

import asyncio
import secrets
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import connections

from assistant_site.db.threads import DatabaseThreads
from files.models import File
from tenants import actions
from tenants.models import Tenant
from tools.mcp.models import McpServer, McpToolList
from tools.mcp.tool import Mcp, threads
from tools.mcp.wire import McpToolSerializer
from tools.tool import Briefed, Offer, ToolContext, ToolResult

T = TypeVar("T")
MCP = Mcp()


def awaited(work: Coroutine[Any, Any, T], connections_used: int = 1) -> T:
    """Runs it in a loop of its own, whose database connections are closed with it."""

    async def closing() -> T:
        pool = threads._of_loops[asyncio.get_running_loop()] = DatabaseThreads(connections_used)
        try:
            return await work
        finally:
            together = threading.Barrier(connections_used)  # so that each thread closes its own

            def close() -> None:
                together.wait()
                connections.close_all()

            await asyncio.gather(*(pool.run(close) for _ in range(connections_used)))
            pool.close()

    return asyncio.run(closing())


def names(offers: list[Offer]) -> list[str]:
    return [offer.name for offer in offers]


@dataclass
class Shopper:
    tenant: Tenant

    @classmethod
    def new(cls, *allowed_hosts: str) -> "Shopper":
        tenant = actions.ensure_tenant(f"Shopper {secrets.token_hex(6)}")
        tenant.fetch_allowed_hosts = "\n".join(allowed_hosts)
        tenant.save()
        return cls(tenant)

    def tool(self, url: str = "", label: str = "shop", **options: Any) -> dict[str, Any]:
        """As it is stored."""
        given = {"type": "mcp", "server_label": label, **({"server_url": url} if url else {}), **options}
        tool: dict[str, Any] = McpToolSerializer().run_validation(given)
        return tool

    def register(self, url: str, *, for_all: bool = False, label: str = "shop", **fields: Any) -> McpServer:
        headers = fields.pop("headers", {})
        server = McpServer(tenant=None if for_all else self.tenant, label=label, url=url, **fields)
        server.set_headers(headers)
        server.save()
        return server

    def offers(self, tool: dict[str, Any], *, refreshed: bool = True) -> list[Offer]:
        return self.told(tool, refreshed=refreshed)[0]

    def told(self, tool: dict[str, Any], *, refreshed: bool = True) -> tuple[list[Offer], str]:
        """The functions, and the note."""
        if refreshed:
            awaited(MCP.refresh(self.tenant.pk, tool))
        briefing = MCP.brief(tool, Briefed(self.tenant.pk, "thread_1"))
        return MCP.offers(tool, briefing), MCP.note(tool, briefing)

    def call(
        self, tool: dict[str, Any], name: str, arguments: dict[str, Any] | None = None, **fields: Any
    ) -> ToolResult:
        context = ToolContext(
            tenant_id=self.tenant.pk,
            turn=1,
            options=tool,
            of=name,
            **{"call_id": f"call_{secrets.token_hex(8)}", **fields},
        )
        return awaited(MCP.run(context, arguments or {}))

    @property
    def lists(self) -> Any:
        return McpToolList.objects.of(self.tenant)

    @property
    def files(self) -> Any:
        return File.objects.of(self.tenant)
