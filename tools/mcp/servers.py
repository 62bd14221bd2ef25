"""Where a run's `mcp` tool leads: the address that it gives itself, or the one that the operator registered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
from django.db.models import F, Q
from django.utils.crypto import salted_hmac

from tenants.encryption import Undecryptable
from tenants.reach import allowed_for
from tools.mcp import headers, policy
from tools.mcp.models import McpServer


class NoServer(Exception):
    """`message`: why this tool leads nowhere, for the model."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True)
class Server:
    """`url` and `headers` are what only the server itself is shown."""

    tenant_id: str
    label: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    allowed_hosts: tuple[str, ...] = field(repr=False)  # that may be connected to although they are not public
    is_registered: bool = False
    allowances: tuple[Any, ...] = ()  # `allowed_tools` of the registration and of the tool; both hold
    require_approval: Any = policy.ALWAYS

    @property
    def digest(self) -> str:
        """Stands for the address and the credentials: who comes with others may see other tools.

        And for the registration, which leads to where the tenant's own word does not.
        """
        lines = sorted(f"{name.lower()}: {value}" for name, value in self.headers.items())
        given = "\n".join([str(self.is_registered), self.url, *lines])
        return salted_hmac("tools.mcp.Server", given, algorithm="sha256").hexdigest()

    def without_secrets(self, text: str) -> str:
        """What the server has said, for the model: credentials that it echoes are taken out."""
        for secret in headers.secrets_among(self.headers):
            text = text.replace(secret, "[secret]")
        return text

    def allows(self, name: str, *, read_only: bool) -> bool:
        return all(policy.is_allowed(allowed, name, read_only=read_only) for allowed in self.allowances)

    def must_approve(self, name: str, *, read_only: bool) -> bool:
        return policy.needs_approval(self.require_approval, name, read_only=read_only)


def server_of(tenant_id: str, tool: Mapping[str, Any]) -> Server:
    """The server of a run's tool. Reads the database; raises `NoServer`."""
    label = tool["server_label"]
    try:
        if tool.get("server_url"):
            return Server(
                tenant_id=tenant_id,
                label=label,
                url=tool["server_url"],
                headers=headers.unsealed(tool.get("sealed", "")),
                allowed_hosts=allowed_for(tenant_id),
                allowances=(tool.get("allowed_tools"),),
                require_approval=tool.get("require_approval") or policy.ALWAYS,
            )
        registered = registered_as(tenant_id, label)
        if registered is None:
            raise NoServer(f"No MCP server is registered here under the label '{label}'.")
        return Server(
            tenant_id=tenant_id,
            label=label,
            url=registered.url,
            headers=registered.headers,
            allowed_hosts=(httpx2.URL(registered.url).raw_host.decode("ascii"),),
            is_registered=True,
            allowances=(registered.allowed_tools, tool.get("allowed_tools")),
            require_approval=tool.get("require_approval") or registered.require_approval,
        )
    except Undecryptable:
        message = f"The credentials of the MCP server '{label}' cannot be read; its owner must enter them again."
        raise NoServer(message) from None


def registered_as(tenant_id: str, label: str) -> McpServer | None:
    """The tenant's own server under this label, else the one of all tenants."""
    return (
        McpServer.objects.filter(Q(tenant_id=tenant_id) | Q(tenant=None), label=label)
        .order_by(F("tenant").asc(nulls_last=True))
        .first()
    )
