"""The ledger: what model calls have cost, what is reserved for those under way, and what tenants may spend.

A `LedgerEntry` is written for each model call, once, however often it is tried. Where a `Budget` applies, a reservation
comes before the call and the settlement after it, each in one transaction with the budgets' `Balance` rows.
"""

from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone

from tenants.models import ApiToken, Tenant, TenantModel

MONEY_DIGITS, MONEY_PLACES = 30, 10


def money(help_text: str = "") -> "models.DecimalField[Decimal, Decimal]":
    return models.DecimalField(
        max_digits=MONEY_DIGITS,
        decimal_places=MONEY_PLACES,
        default=Decimal(0),
        db_default=Decimal(0),
        help_text=help_text,
    )


class Price(models.Model):
    """What a million tokens of a model cost, from a day on. The newest that has begun counts."""

    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.CASCADE,
        related_name="prices",
        null=True,
        blank=True,
        help_text="Empty: for all tenants.",
    )
    model = models.CharField(max_length=256, help_text="Its name at the provider, * for any characters.")
    currency = models.CharField(max_length=3, default="USD", help_text="Used for tenants of this currency.")
    prompt = money("For a million prompt tokens.")
    cached_prompt = models.DecimalField(
        max_digits=MONEY_DIGITS,
        decimal_places=MONEY_PLACES,
        null=True,
        blank=True,
        help_text="For a million prompt tokens from the provider's cache. Empty: as the others.",
    )
    completion = money("For a million completion tokens.")
    valid_from = models.DateField(default=timezone.localdate)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "model", "currency", "valid_from"], name="one_price_a_day", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.model} ({self.currency})"


class Unit(models.TextChoices):
    TOKENS = "tokens", "tokens"
    COST = "cost", "money, in the tenant's currency"


class Period(models.TextChoices):
    DAY = "day", "a day (UTC)"
    MONTH = "month", "a calendar month (UTC)"
    TOTAL = "total", "for good"


class Budget(TenantModel):
    """What may be spent in a period: by a whole tenant, by one of its tokens, or by an end user of it."""

    wire_noun = "budget"

    token = models.ForeignKey(
        ApiToken,
        on_delete=models.CASCADE,
        related_name="budgets",
        null=True,
        blank=True,
        help_text="Empty: all tokens.",
    )
    end_user = models.CharField(
        max_length=128,
        blank=True,
        default="",
        help_text="Its name; * for each end user by itself. Empty: all together.",
    )
    unit = models.CharField(max_length=8, choices=Unit.choices, default=Unit.TOKENS)
    period = models.CharField(max_length=8, choices=Period.choices, default=Period.MONTH)
    amount = models.DecimalField(
        max_digits=MONEY_DIGITS, decimal_places=MONEY_PLACES, validators=[MinValueValidator(Decimal(0))]
    )
    is_operators = models.BooleanField(
        "kept by the operator",
        default=True,
        db_default=True,
        help_text="The tenant's own administrators can neither change nor delete it.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta(TenantModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "token", "end_user", "unit", "period"],
                name="one_budget_of_a_kind",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"{self.amount.normalize():f} {self.unit} a {self.period}"


class Balance(TenantModel):
    """What of a budget is spent and reserved in one period, for one end user where the budget is for each."""

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="balances", db_index=False)
    began_on = models.DateField()
    end_user = models.CharField(max_length=128, blank=True, default="")
    spent = money()
    reserved = money()

    class Meta(TenantModel.Meta):
        constraints = [
            models.UniqueConstraint(fields=["budget", "began_on", "end_user"], name="one_balance_a_period"),
        ]

    def __str__(self) -> str:
        return f"{self.spent.normalize():f} since {self.began_on}"


class EntryKind(models.TextChoices):
    RUN = "run", "model turn of a run"
    CHAT = "chat", "chat completion"
    EMBEDDING = "embedding", "embeddings"
    CODE = "code", "code execution"


class EntryState(models.TextChoices):
    RESERVED = "reserved"
    SETTLED = "settled"
    RELEASED = "released"


class LedgerEntry(TenantModel):
    """One model call (or execution of code): what it was allowed, what it came to. Unique by `key`."""

    id = models.BigAutoField(primary_key=True)
    key = models.CharField(max_length=128, help_text="What it is of, such as run_…/3 for a run's third turn.")
    kind = models.CharField(max_length=16, choices=EntryKind.choices)
    state = models.CharField(max_length=16, choices=EntryState.choices)
    token_id = models.CharField(max_length=64, blank=True, default="")
    end_user = models.CharField(max_length=128, blank=True, default="")
    run_id = models.CharField(max_length=64, blank=True, default="")
    assistant_id = models.CharField(max_length=64, blank=True, default="")
    model = models.CharField(max_length=256, blank=True, default="", help_text="As it was asked for.")
    provider_id = models.CharField(max_length=64, blank=True, default="", help_text="Empty: the environment's.")
    provider_model = models.CharField(max_length=256, blank=True, default="", help_text="As the provider calls it.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    settled_at = models.DateTimeField(null=True)
    # What it holds of which balance: [[id, amount], …]; the amounts are texts, in the budgets' units.
    reservations = models.JSONField(default=list)
    prompt_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    tool_calls = models.IntegerField(default=0)
    runs = models.IntegerField(default=0, help_text="1 in the entry of a run's first turn.")
    code_seconds = models.FloatField(default=0)
    cost = money("In the tenant's currency at that time.")
    currency = models.CharField(max_length=3, default="USD")
    is_rolled_up = models.BooleanField(default=False)

    class Meta(TenantModel.Meta):
        verbose_name_plural = "ledger entries"
        constraints = [models.UniqueConstraint(fields=["key"], name="one_entry_per_key")]
        indexes = [
            models.Index(fields=["id"], name="entries_to_roll_up", condition=models.Q(is_rolled_up=False)),
            models.Index(fields=["run_id"], name="entries_of_run", condition=~models.Q(run_id="")),
            models.Index(fields=["tenant", "settled_at"], name="entries_of_tenant"),
            models.Index(fields=["id"], name="entries_reserved", condition=models.Q(state="reserved")),
        ]

    def __str__(self) -> str:
        return str(self.key)


class UsageDay(TenantModel):
    """The settled entries of a day (UTC), added up."""

    id = models.BigAutoField(primary_key=True)
    day = models.DateField()
    kind = models.CharField(max_length=16, choices=EntryKind.choices)
    token_id = models.CharField(max_length=64, blank=True, default="")
    model = models.CharField(max_length=256, blank=True, default="")
    assistant_id = models.CharField(max_length=64, blank=True, default="")
    end_user = models.CharField(max_length=128, blank=True, default="")
    currency = models.CharField(max_length=3, default="USD")
    requests = models.BigIntegerField(default=0)
    runs = models.BigIntegerField(default=0)
    prompt_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    tool_calls = models.BigIntegerField(default=0)
    code_seconds = models.FloatField(default=0)
    cost = money()

    class Meta(TenantModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "day", "kind", "token_id", "model", "assistant_id", "end_user", "currency"],
                name="one_row_of_usage",
            )
        ]
        indexes = [models.Index(fields=["day"], name="usage_by_day")]

    def __str__(self) -> str:
        return f"{self.day} {self.model}"
