"""The tenants' own customers, by the names that the tenants give them."""

from django.db import models
from django.utils import timezone

from assistant_site.wire.ids import WireIdField
from tenants.models.scoping import TenantModel
from tenants.models.tenant import limit


class EndUser(TenantModel):
    """A customer of a tenant, for whom threads and runs are made; known from the first time it is named."""

    wire_noun = "end user"

    id = WireIdField(prefix="user_")
    name = models.CharField(max_length=128, help_text="The tenant's own name or number for it.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    blocked_at = models.DateTimeField(null=True, blank=True, help_text="Set: nothing new is made for it.")
    requests_per_minute = limit("Runs, threads and chat completions that may be made for it in a minute.")
    tokens_per_minute = limit("Tokens that model calls for it may take in a minute.")

    class Meta(TenantModel.Meta):
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="one_end_user_per_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_blocked(self) -> bool:
        return self.blocked_at is not None
