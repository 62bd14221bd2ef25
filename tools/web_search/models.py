"""Tenants' own access to search providers."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from assistant_site.wire.ids import WireIdField
from tenants import encryption
from tenants.models import TenantModel


class SearchKey(TenantModel):
    """A tenant's own key for a search provider, or the address of its own SearXNG. Comes before the installation's."""

    PROVIDERS = [
        ("searxng", "SearXNG"),
        ("tavily", "Tavily"),
        ("brave", "Brave"),
        ("serper", "Serper"),
        ("exa", "Exa"),
    ]

    wire_noun = "search key"

    id = WireIdField(prefix="searchkey_")
    provider = models.CharField(max_length=16, choices=PROVIDERS)
    encrypted_key = encryption.EncryptedField(blank=True, editable=False)
    base_url = models.CharField(
        "address",
        max_length=500,
        blank=True,
        help_text="Of the tenant's own SearXNG, without /search. The others have theirs.",
        validators=[RegexValidator(r"^https?://[^\s/?#]+[^\s?#]*$", "An address like https://searxng.example.com.")],
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta(TenantModel.Meta):
        # The admin judges the constraint through the default manager.
        default_manager_name = "rows"
        constraints = [models.UniqueConstraint(fields=["tenant", "provider"], name="one_search_key_per_provider")]

    def __str__(self) -> str:
        return f"{self.get_provider_display()} of {self.tenant_id}"

    @property
    def key(self) -> str:
        """In clear; `encryption.Undecryptable` if no encryption key fits."""
        return encryption.decrypt(self.encrypted_key) if self.encrypted_key else ""

    def set_key(self, key: str) -> None:
        self.encrypted_key = encryption.encrypt(key) if key else ""

    def clean(self) -> None:
        wrong: dict[str, Any] = {}
        if self.provider == "searxng" and not self.base_url:
            wrong["base_url"] = "SearXNG needs an address."
        elif self.provider != "searxng" and self.base_url:
            wrong["base_url"] = "Only SearXNG takes an address here."
        if wrong:
            raise ValidationError(wrong)
