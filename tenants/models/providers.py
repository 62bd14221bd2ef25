"""Model servers, other names of models, and what models can do."""

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone

from assistant_site.wire.ids import WireIdField
from tenants import encryption
from tenants.models.tenant import Tenant
from tenants.models.tokens import ApiToken


def model_patterns(help_text: str) -> "models.JSONField[list[str], list[str]]":
    return models.JSONField(default=list, db_default=[], blank=True, help_text=help_text)


class Provider(models.Model):
    """An OpenAI-compatible model server: of one token, of one tenant, or of all tenants that have none of their own."""

    id = WireIdField(prefix="provider_")
    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.CASCADE,
        related_name="providers",
        null=True,
        blank=True,
        help_text="Empty: serves every tenant that has no provider of its own.",
    )
    token = models.OneToOneField(
        ApiToken,
        on_delete=models.CASCADE,
        related_name="provider",
        null=True,
        blank=True,
        help_text="Set: for what this token of the tenant asks, before the tenant's others.",
    )
    name = models.CharField(max_length=200)
    is_enabled = models.BooleanField(default=True, db_default=True)
    model_names = model_patterns(
        "Names of the models that it has, * for any characters; name=other where it has another name for one. Empty: "
        "it is asked for every model."
    )
    priority = models.IntegerField(
        default=0,
        db_default=0,
        help_text="Lower ones are asked first; the next when those fail before their first token.",
    )
    weight = models.PositiveIntegerField(
        default=1,
        db_default=1,
        validators=[MinValueValidator(1)],
        help_text="How often it is asked among those of the same priority.",
    )
    base_url = models.CharField(
        max_length=500,
        help_text="Up to and with /v1.",
        # Django's own URL check refuses names without a dot, such as http://ollama:11434/v1.
        validators=[RegexValidator(r"^https?://[^\s/?#]+[^\s?#]*$", "An address like https://api.example.com/v1.")],
    )
    encrypted_key = encryption.EncryptedField(blank=True, editable=False)
    quirks = models.JSONField(default=dict, blank=True, help_text="Habits of a gateway; see docs/configuration.md.")
    embedding_model = models.CharField(
        max_length=200,
        blank=True,
        help_text="For file search by meaning. Empty: EMBEDDING_MODEL; off: it has none, search by words only.",
    )
    failed_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="Its last failure.")
    failure = models.CharField(max_length=500, blank=True, default="", db_default="", editable=False)
    succeeded_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="To the minute.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["priority", "id"]
        indexes = [models.Index(fields=["tenant", "priority"], name="providers_of_tenant")]

    def __str__(self) -> str:
        return f"{self.name} ({self.base_url})"

    @property
    def api_key(self) -> str:
        """The key in clear; `encryption.Undecryptable` if no encryption key fits."""
        return encryption.decrypt(self.encrypted_key) if self.encrypted_key else ""

    def set_api_key(self, key: str) -> None:
        self.encrypted_key = encryption.encrypt(key) if key else ""


class ModelAlias(models.Model):
    """Another name of a model: what programs ask for, and what the providers are asked for instead."""

    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.CASCADE,
        related_name="model_aliases",
        null=True,
        blank=True,
        help_text="Empty: for every tenant that has none of this name.",
    )
    alias = models.CharField(max_length=256, help_text="The name that programs ask for, such as gpt-4-1106-preview.")
    model = models.CharField(max_length=256, help_text="The name that the provider knows, such as qwen3:32b.")

    class Meta:
        verbose_name_plural = "model aliases"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "alias"], name="one_alias_per_name", nulls_distinct=False)
        ]

    def __str__(self) -> str:
        return f"{self.alias} → {self.model}"


class ModelProfile(models.Model):
    """What a model can do, as far as the operator knows. Null: nobody has said, so nothing is refused for it."""

    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.CASCADE,
        related_name="model_profiles",
        null=True,
        blank=True,
        help_text="Empty: for all.",
    )
    model = models.CharField(max_length=256, help_text="Its name at the provider, * for any characters.")
    has_tools = models.BooleanField(null=True, blank=True)
    has_vision = models.BooleanField(null=True, blank=True)
    has_json_schema = models.BooleanField(null=True, blank=True)
    context_window = models.PositiveIntegerField(null=True, blank=True, help_text="In tokens.")
    max_completion_tokens = models.PositiveIntegerField(
        null=True, blank=True, help_text="The longest answer, in tokens."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "model"], name="one_profile_per_model", nulls_distinct=False)
        ]

    def __str__(self) -> str:
        return self.model
