"""Answers that are kept for repeated requests."""

from datetime import timedelta

from django.db import models
from django.utils import timezone

from tenants.models.scoping import TenantModel
from tenants.models.tenant import Tenant


class KeptAnswer(TenantModel):
    """The answer to a request with an `Idempotency-Key`, for its repetitions. A stream is kept as its run's id."""

    KEPT = timedelta(hours=24)

    key = models.CharField(max_length=255)
    digest = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now)
    status = models.IntegerField(default=0)
    headers = models.JSONField(default=dict)
    body = models.BinaryField(default=bytes)
    run_id = models.CharField(max_length=64, default="", blank=True)
    after = models.BigIntegerField(default=0)

    class Meta(TenantModel.Meta):
        constraints = [models.UniqueConstraint(fields=["tenant", "key"], name="one_answer_per_key")]
        indexes = [models.Index(fields=["created_at"], name="kept_answers_by_age")]

    def __str__(self) -> str:
        return f"{self.key} of {self.tenant_id}"

    @classmethod
    def reserve(cls, tenant: Tenant, key: str, digest: str) -> tuple["KeptAnswer", bool]:
        """The tenant's answer under this key, and whether it is new and to be filled.

        Waits while another transaction has just made it. One that is too old counts as none.
        """
        cls.objects.of(tenant).filter(key=key, created_at__lt=timezone.now() - cls.KEPT).delete()
        return cls.objects.across_tenants().get_or_create(tenant=tenant, key=key, defaults={"digest": digest})

    @classmethod
    def forget_old(cls) -> int:
        """Deletes what is too old to count; returns how many."""
        return cls.objects.across_tenants().filter(created_at__lt=timezone.now() - cls.KEPT).delete()[0]
