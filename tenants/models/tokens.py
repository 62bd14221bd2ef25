"""API tokens."""

from django.db import models
from django.utils import timezone

from assistant_site.wire.ids import WireIdField
from tenants.models.tenant import Tenant, limit


def full_scopes() -> list[str]:
    """What a token may do for which nothing else was said."""
    return ["read", "write"]


class ApiToken(models.Model):
    """A key with which a program speaks for a tenant; its value is not stored."""

    id = WireIdField(prefix="token_")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=200)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(max_length=40, editable=False)
    description = models.CharField(max_length=512, blank=True, default="", db_default="")
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

    def revoke(self) -> None:
        """Ends the token for good; doing it twice changes nothing."""
        if self.revoked_at is None:
            self.revoked_at = timezone.now()
            self.save(update_fields=["revoked_at"])
