"""MCP servers that the operator has registered, and what is remembered of any server's tools."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from assistant_site.wire.ids import WireIdField
from tenants import encryption
from tenants.models import Tenant, TenantModel
from tools.mcp import headers

LABEL = r"^[a-zA-Z][a-zA-Z0-9_-]*$"
MOST_LABEL = 64
URL = r"^https?://[^\s/?#@]+(?:[/?][^\s#]*)?$"
MOST_URL = 2_048


def check_allowed_tools(value: Any) -> None:
    """A list of names, or a filter."""
    is_filter = isinstance(value, dict) and set(value) <= {"tool_names", "read_only"}
    if not is_filter and not (isinstance(value, list) and all(isinstance(name, str) for name in value)):
        raise ValidationError('A list of names such as ["search"], or {"tool_names": [...], "read_only": true}.')


def check_require_approval(value: Any) -> None:
    if isinstance(value, dict) and set(value) <= {"always", "never"}:
        for part in value.values():
            if not isinstance(part, dict):
                raise ValidationError('Such as {"never": {"tool_names": ["search"]}}.')
            check_allowed_tools(part)
    elif value not in ("always", "never"):
        raise ValidationError('"always", "never", or an object such as {"never": {"tool_names": ["search"]}}.')


def always() -> str:
    return "always"


class McpServer(models.Model):
    """A server that assistants name by its label alone: of one tenant, or of all that have none of that label."""

    id = WireIdField(prefix="mcps_")
    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.CASCADE,
        related_name="mcp_servers",
        null=True,
        blank=True,
        help_text="Empty: for every tenant that has no server of its own under this label.",
    )
    label = models.CharField(max_length=MOST_LABEL, validators=[RegexValidator(LABEL, "Such as deepwiki.")])
    url = models.CharField(
        max_length=MOST_URL,
        validators=[RegexValidator(URL, "An address like https://mcp.example.com/mcp.")],
        help_text="May be an address of your own network: only registered servers are reached there.",
    )
    encrypted_headers = encryption.EncryptedField(blank=True, editable=False)
    allowed_tools = models.JSONField(
        null=True,
        blank=True,
        validators=[check_allowed_tools],
        help_text='Empty: all. Else names, ["search"], or {"read_only": true}. Assistants can allow fewer, never more.',
    )
    require_approval = models.JSONField(
        default=always,
        validators=[check_require_approval],
        help_text='For assistants that do not say: "always", "never", or {"never": {"tool_names": ["search"]}}.',
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "MCP server"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "label"], name="one_mcp_server_per_label", nulls_distinct=False)
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def headers(self) -> dict[str, str]:
        """In clear; `encryption.Undecryptable` if no encryption key fits."""
        return headers.unsealed(self.encrypted_headers)

    def set_headers(self, given: dict[str, str]) -> None:
        self.encrypted_headers = headers.sealed(given)


class McpToolList(TenantModel):
    """The tools of a server as they were last listed for these credentials."""

    wire_noun = "tool list"

    digest = models.CharField(max_length=64, help_text="Of the address with the headers.")
    # As `listing.Listing.as_json` writes it; null: never listed.
    listing = models.JSONField(null=True)
    # Why the last try failed; empty: it did not, or it is under way.
    failure = models.TextField(default="", blank=True)
    fetched_at = models.DateTimeField(null=True)
    # Before this moment nobody asks: the list is fresh, somebody is asking, or the last try has just failed.
    next_at = models.DateTimeField(default=timezone.now)

    class Meta(TenantModel.Meta):
        constraints = [models.UniqueConstraint(fields=["tenant", "digest"], name="one_mcp_tool_list_per_server")]
        indexes = [models.Index(fields=["tenant", "next_at"], name="mcp_tool_lists_by_age")]

    def __str__(self) -> str:
        return f"{self.digest[:12]} of {self.tenant_id}"
