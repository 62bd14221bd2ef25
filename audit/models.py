"""The audit log: who did what, when, from where. Entries are added, never changed; plain ids outlive what they name."""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone

from assistant_site.wire.ids import WireIdField


class ActorKind(models.TextChoices):
    TOKEN = "token", "API token"
    ADMIN_TOKEN = "admin_token", "admin token"
    STAFF = "staff", "admin user"
    COMMAND = "command", "management command"
    SYSTEM = "system", "Holdfast itself"


class AuditEntry(models.Model):
    """One thing that was done. `before` and `after` have the fields that changed, secrets as `***`."""

    id = WireIdField(prefix="audit_")
    at = models.DateTimeField(default=timezone.now, editable=False)
    tenant_id = models.CharField(max_length=64, blank=True, default="", help_text="Empty: of the installation.")
    actor_kind = models.CharField(max_length=16, choices=ActorKind.choices)
    actor_id = models.CharField(max_length=150, blank=True, default="")
    actor_name = models.CharField(max_length=200, blank=True, default="")
    address = models.CharField(max_length=64, blank=True, default="", help_text="The network address it came from.")
    action = models.CharField(max_length=64, help_text="Such as token.rotated.")
    object_type = models.CharField(max_length=64, blank=True, default="")
    object_id = models.CharField(max_length=128, blank=True, default="")
    object_name = models.CharField(max_length=256, blank=True, default="")
    before = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    after = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    request_id = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["tenant_id", "id"], name="audit_of_tenant"),
            models.Index(fields=["object_id", "id"], name="audit_of_object"),
            models.Index(fields=["actor_id", "id"], name="audit_of_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.object_id}"
