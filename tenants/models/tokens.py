"""API tokens."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from assistant_site.wire.errors import PermissionDenied
from assistant_site.wire.ids import WireIdField
from tenants import networks, scopes
from tenants.models.tenant import Tenant, limit
from tenants.patterns import matches


def full_scopes() -> list[str]:
    """What a token may do for which nothing else was said."""
    return ["read", "write"]


class MadeFor(models.TextChoices):
    """Who uses a token: it says how it is made and how it ends, not what it may do."""

    PROGRAMS = "", "programs"
    PLAYGROUND = "playground", "a browser with the playground"


class ApiToken(models.Model):
    """A key with which a program speaks for a tenant; its value is not stored."""

    id = WireIdField(prefix="token_")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=200)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(max_length=40, editable=False)
    description = models.CharField(max_length=512, blank=True, default="", db_default="")
    made_for = models.CharField(
        max_length=16, choices=MadeFor.choices, blank=True, default=MadeFor.PROGRAMS, db_default="", editable=False
    )
    # While both are taken: the value before the last rotation, until `previous_until`.
    previous_digest = models.CharField(max_length=64, unique=True, null=True, editable=False)  # noqa: DJ001 unique
    previous_hint = models.CharField(max_length=40, blank=True, default="", db_default="", editable=False)
    previous_until = models.DateTimeField(null=True, blank=True, editable=False)
    scopes = models.JSONField(
        default=full_scopes,
        db_default=["read", "write"],
        blank=True,
        help_text="What it may do: read, write, admin, or for one kind of resource (threads.read); see docs/tokens.md.",
    )
    allowed_models = models.JSONField(
        default=list, db_default=[], blank=True, help_text="Names of models, * for any characters. Empty: all."
    )
    allowed_networks = models.JSONField(
        default=list,
        db_default=[],
        blank=True,
        help_text="Addresses or networks (10.1.0.0/16) from which it is taken. Empty: from anywhere.",
    )
    requests_per_minute = limit("Requests that it may make in a minute.")
    tokens_per_minute = limit("Tokens that its model calls may take in a minute.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="To the minute.")

    class Meta:
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.name} ({self.hint})"

    @property
    def is_usable(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())

    def is_for(self, digest: str) -> bool:
        """Whether the value with this digest is taken: the present one, or the one before it as long as it holds."""
        if digest == self.digest:
            return True
        until = self.previous_until
        return digest == self.previous_digest and until is not None and until > timezone.now()

    def is_taken_from(self, address: str) -> bool:
        """Whether callers at this network address may use it."""
        return not self.allowed_networks or networks.contain(self.allowed_networks, address)

    def require(self, *wanted: str) -> None:
        """Raises `PermissionDenied` unless it has these scopes (`threads.read` …)."""
        if missing := scopes.missing(self.scopes, wanted):
            raise PermissionDenied(
                f"You have insufficient permissions for this operation. Missing scopes: {', '.join(missing)}. Check "
                "that your API key has the necessary scopes, or ask the operator of this server for one that has.",
                code="missing_scope",
            )

    def may_use(self, model: str) -> bool:
        return not self.allowed_models or any(matches(pattern, model) for pattern in self.allowed_models)

    def require_model(self, model: str) -> None:
        """Raises `PermissionDenied` if the model is not among those that it may use."""
        if not self.may_use(model):
            raise PermissionDenied(
                f"Project `{self.tenant_id}` does not have access to model `{model}`", code="model_not_found"
            )

    def clean(self) -> None:
        check_lists(scopes=self.scopes, allowed_models=self.allowed_models, allowed_networks=self.allowed_networks)


def check_lists(**lists: Any) -> None:
    """Raises `ValidationError` for a list of a token with an entry that means nothing."""
    problems: dict[str, str] = {}
    for name, entries in lists.items():
        if not isinstance(entries, list) or not all(isinstance(entry, str) and entry for entry in entries):
            problems[name] = "A list of texts."
        elif name == "scopes" and (unknown := set(entries) - set(scopes.SCOPES)):
            problems[name] = f"Unknown: {', '.join(sorted(unknown))}. There are {', '.join(scopes.SCOPES)}."
        elif name == "allowed_networks" and (unknown := {entry for entry in entries if not _is_network(entry)}):
            problems[name] = f"No address and no network: {', '.join(sorted(unknown))}."
    if problems:
        raise ValidationError(problems)


def _is_network(entry: str) -> bool:
    try:
        networks.network(entry)
    except ValueError:
        return False
    return True
