"""Erasures of end users that are under way; what is done of them is seen in the rows that are left."""

from django.db import models
from django.utils import timezone

from tenants.models import TenantModel


class Erasure(TenantModel):
    """An end user that is being erased. The row goes last, and with it the last place of the name."""

    wire_noun = "erasure"

    end_user = models.CharField(max_length=128)
    handle = models.CharField(max_length=64, help_text="What the audit log calls it instead of its name.")
    began_at = models.DateTimeField(default=timezone.now, editable=False)
    # When its threads, files and itself were gone. What was under way then may still write usage under its name:
    # that is looked for once more.
    ended_at = models.DateTimeField(null=True, editable=False)
    # Noted before the threads that name them go: what is deleted afterwards, if nobody else uses it.
    files = models.JSONField(default=list)
    vector_stores = models.JSONField(default=list)
    counts = models.JSONField(default=dict)

    class Meta(TenantModel.Meta):
        constraints = [models.UniqueConstraint(fields=["tenant", "end_user"], name="one_erasure_per_end_user")]

    def __str__(self) -> str:
        return self.handle
