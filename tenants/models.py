"""Tenants, their API tokens and their model providers; the base of every model that belongs to a tenant."""

from datetime import timedelta
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone

from assistant_site.addresses import is_entry
from assistant_site.wire.errors import NotFound
from assistant_site.wire.ids import WireIdField
from tenants import encryption

M = TypeVar("M", bound="TenantModel")


class WhenBusy(models.TextChoices):
    """What is done with a message or run for a thread whose run is not at its end."""

    REJECT = "reject", "reject: the documented error, as OpenAI"
    QUEUE = "queue", "queue: wait until the run has ended"
    INTERRUPT = "interrupt", "interrupt: cancel the run, then go on"


def code_limit(what: str, *, least: int = 1) -> "models.PositiveIntegerField[int | None, int | None]":
    return models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(least)],
        help_text=f"{what} Empty: as the installation has it; more than that changes nothing.",
    )


def check_hosts(text: str) -> None:
    """Raises `ValidationError` for a line that is no host name, address or network."""
    for line in text.split():
        if not is_entry(line):
            raise ValidationError(f"{line} is not a host name, an address or a network such as 10.1.0.0/16.")


class Tenant(models.Model):
    """A customer of this installation: sees nothing but its own objects."""

    id = WireIdField(prefix="tenant_")
    name = models.CharField(max_length=200, unique=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    suspended_at = models.DateTimeField(null=True, blank=True, help_text="Set: every request is refused.")
    when_busy = models.CharField(
        max_length=16,
        choices=WhenBusy.choices,
        default=WhenBusy.REJECT,
        help_text="For messages and runs on a busy thread, unless the request says X-Holdfast-When-Busy.",
    )
    code_sessions = code_limit("Code sessions at once.")
    code_seconds = code_limit("Seconds that one execution of code may take.")
    code_memory_mb = code_limit("Memory of a code session, in MiB.", least=256)
    code_data_mb = code_limit("Space of a code session's /mnt/data, in MiB.", least=16)
    code_output_kb = code_limit("How much of an execution's output the model is shown, in KiB.")
    fetch_allowed_hosts = models.TextField(
        blank=True,
        default="",
        validators=[check_hosts],
        help_text="Beside FETCH_ALLOWED_HOSTS, what may be asked for this tenant although it is not public: one host "
        "name, address or network (10.1.0.0/16) a line. Its callers, and its models when a text talks them into it, "
        "can then send any request there, on every port, from this server. Never name what trusts this server by its "
        "address: databases, the sandbox, a cloud's metadata service.",
    )

    def __str__(self) -> str:
        return self.name


class ApiToken(models.Model):
    """A key with which a program speaks for a tenant; its value is not stored."""

    id = WireIdField(prefix="token_")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=200)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(max_length=40, editable=False)
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


class Provider(models.Model):
    """An OpenAI-compatible model server: of one tenant, or of all tenants that have none of their own."""

    id = WireIdField(prefix="provider_")
    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.CASCADE,
        related_name="providers",
        null=True,
        blank=True,
        help_text="Empty: serves every tenant that has no provider of its own.",
    )
    name = models.CharField(max_length=200)
    base_url = models.CharField(
        max_length=500,
        help_text="Up to and with /v1.",
        # Django's own URL check refuses names without a dot, such as http://ollama:11434/v1.
        validators=[RegexValidator(r"^https?://[^\s/?#]+[^\s?#]*$", "An address like https://api.example.com/v1.")],
    )
    encrypted_key = models.TextField(blank=True, editable=False)
    quirks = models.JSONField(default=dict, blank=True, help_text="Habits of a gateway; see docs/configuration.md.")
    embedding_model = models.CharField(
        max_length=200,
        blank=True,
        help_text="For file search by meaning. Empty: EMBEDDING_MODEL; off: it has none, search by words only.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant"], name="one_provider_per_tenant", nulls_distinct=False),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.base_url})"

    @property
    def api_key(self) -> str:
        """The key in clear; `encryption.Undecryptable` if no encryption key fits."""
        return encryption.decrypt(self.encrypted_key) if self.encrypted_key else ""

    def set_api_key(self, key: str) -> None:
        self.encrypted_key = encryption.encrypt(key) if key else ""


class UnscopedQuery(Exception):
    """A read of a tenant's rows that does not say of which tenant."""

    def __init__(self, model: str) -> None:
        super().__init__(f"{model}: name the tenant with .of(tenant), or say .across_tenants()")


class TenantQuerySet(models.QuerySet[M]):
    def fetch(self, id: str) -> M:
        """The row with this id; the documented 404 if there is none for this tenant."""
        found = self.filter(pk=id)[:1] if "\x00" not in id else ()
        for row in found:
            return row
        raise NotFound.of(self.model.wire_noun, id)


class TenantManager(models.Manager[M]):
    """Refuses to read without a tenant, so that a forgotten filter is an exception and not a leak."""

    def of(self, tenant: Tenant) -> TenantQuerySet[M]:
        return self.across_tenants().filter(tenant=tenant)

    def across_tenants(self) -> TenantQuerySet[M]:
        """For tasks and the admin; easy to grep."""
        return TenantQuerySet(self.model, using=self._db)

    def get_queryset(self) -> TenantQuerySet[M]:
        if getattr(self, "instance", None) is not None:  # thread.messages, tenant.assistants
            return self.across_tenants()
        raise UnscopedQuery(self.model._meta.label)

    def create(self, **values: Any) -> M:
        return self.across_tenants().create(**values)

    def insert(self, rows: list[M]) -> list[M]:
        """New rows in one statement."""
        return self.across_tenants().bulk_create(rows)


class TenantModel(models.Model):
    """A row that belongs to one tenant. `wire_noun` is its name in "No … found with id"."""

    wire_noun = "object"
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="%(class)ss", db_index=False)

    objects: TenantManager[Any] = TenantManager()
    rows = models.Manager()

    class Meta:
        abstract = True
        # Django itself (cascades, the admin's look-ups, refresh_from_db) reads through this one.
        base_manager_name = "rows"

    def change(self, **values: Any) -> None:
        """Writes these columns; `NotFound` if the row was deleted meanwhile."""
        if not type(self).objects.across_tenants().filter(pk=self.pk).update(**values):
            raise NotFound.of(self.wire_noun, self.pk)
        for name, value in values.items():
            setattr(self, name, value)


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
