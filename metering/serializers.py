"""Budgets, prices and usage on the wire. Amounts are decimal texts, so that nothing is rounded on the way."""

import decimal
from datetime import date
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from assistant_site.wire import grammar
from assistant_site.wire.fields import (
    Constant,
    ObjectSerializer,
    OneOf,
    RequestField,
    RequestSerializer,
    Text,
    UnixTime,
)
from metering.models import MONEY_PLACES, Period, Unit

_LARGEST = decimal.Decimal(10) ** 15  # far beyond what is spent, and sums of it are exact


@extend_schema_field({"oneOf": [{"type": "number"}, {"type": "string", "format": "decimal"}]})
class Amount(RequestField, serializers.JSONField):
    """A number from 0, or its decimal text."""

    def __init__(self, *, required: bool = False) -> None:
        super().__init__(required=required, allow_null=not required)

    def check(self, value: Any) -> decimal.Decimal:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise grammar.wrong_type("a decimal number", value)
        try:
            amount = decimal.Decimal(str(value))
        except decimal.InvalidOperation:
            raise grammar.wrong_type("a decimal number", value) from None
        if not amount.is_finite():
            raise grammar.wrong_type("a decimal number", value)
        if amount < 0:
            raise grammar.below_min("decimal", value, 0)
        if amount >= _LARGEST:
            raise grammar.above_max("decimal", value, _LARGEST - 1)
        if amount != round(amount, MONEY_PLACES):
            raise grammar.no_match(rf"^\d+(\.\d{{1,{MONEY_PLACES}}})?$")
        return amount


@extend_schema_field({"type": "string", "format": "date"})
class Day(RequestField, serializers.CharField):
    def __init__(self) -> None:
        super().__init__(required=False, allow_null=True)

    def check(self, value: Any) -> date:
        return day_of(value)


def day_of(value: Any) -> date:
    """A day as `YYYY-MM-DD`; a `Fault` for anything else."""
    if not isinstance(value, str):
        raise grammar.wrong_type("a string", value)
    try:
        if len(value) == len("2026-01-31"):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise grammar.no_match(r"^\d{4}-\d{2}-\d{2}$")


def plain(amount: decimal.Decimal) -> str:
    """Without an exponent and without zeros at the end."""
    return f"{amount.normalize():f}" if amount else "0"


@extend_schema_field({"type": "string", "format": "decimal"})
class PlainAmount(serializers.CharField):
    def to_representation(self, value: decimal.Decimal) -> str:  # type: ignore[override]
        return plain(value)


class BalanceSerializer(ObjectSerializer):
    spent = PlainAmount()
    reserved = PlainAmount(help_text="For calls that are under way.")
    left = PlainAmount(help_text="Never below 0.")
    began_on = serializers.DateField()
    resets_at = UnixTime(allow_null=True, help_text="When the next period begins; null: never.")


class BudgetObjectSerializer(ObjectSerializer):
    id = serializers.CharField(source="wire_id")
    object = Constant("budget")
    created_at = UnixTime()
    tenant = serializers.CharField(source="tenant_id")
    token = serializers.CharField(source="token_id", allow_null=True)
    end_user = serializers.CharField()
    unit = serializers.ChoiceField(Unit.choices)
    period = serializers.ChoiceField(Period.choices)
    amount = PlainAmount()
    kept_by = serializers.ChoiceField(
        ["operator", "tenant"], help_text="Whose it is to change; the operator may change all."
    )
    balance = BalanceSerializer(allow_null=True, help_text="Null for a budget of each end user, unless one is named.")


class CreateBudgetRequestSerializer(RequestSerializer):
    tenant = Text(help_text="For the operator: whose it is.")
    token = Text(help_text="The id of an API token; without it, all of them together.")
    end_user = Text(most=128, default="", help_text="Its name, or * for each one by itself.")
    unit = OneOf(*Unit.values, default=Unit.TOKENS.value)
    period = OneOf(*Period.values, default=Period.MONTH.value)
    amount = Amount(required=True)


class ModifyBudgetRequestSerializer(RequestSerializer):
    amount = Amount(required=True)


class PriceObjectSerializer(ObjectSerializer):
    id = serializers.CharField(source="wire_id")
    object = Constant("price")
    tenant = serializers.CharField(source="tenant_id", allow_null=True)
    model = serializers.CharField()
    currency = serializers.CharField()
    prompt = PlainAmount()
    cached_prompt = PlainAmount(allow_null=True)
    completion = PlainAmount()
    valid_from = serializers.DateField()


class CreatePriceRequestSerializer(RequestSerializer):
    tenant = Text(help_text="For this tenant only.")
    model = Text(required=True, least=1, most=256, help_text="Its name at the provider, * for any characters.")
    currency = Text(pattern="^[A-Z]{3}$", default="USD")
    prompt = Amount(required=True)
    cached_prompt = Amount()
    completion = Amount(required=True)
    valid_from = Day()


class UsageSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """One group. Of the first seven, those that are grouped by."""

    object = Constant("usage")
    day = serializers.DateField(required=False)
    tenant = serializers.CharField(required=False)
    token = serializers.CharField(required=False)
    model = serializers.CharField(required=False)
    assistant = serializers.CharField(required=False)
    end_user = serializers.CharField(required=False)
    kind = serializers.CharField(required=False)
    requests = serializers.IntegerField()
    runs = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    tool_calls = serializers.IntegerField()
    code_seconds = serializers.FloatField()
    cost = PlainAmount()
    currency = serializers.CharField()


class UsageListSerializer(serializers.Serializer):  # type: ignore[type-arg]
    object = Constant("list")
    start = serializers.DateField()
    end = serializers.DateField()
    data = UsageSerializer(many=True)  # type: ignore[assignment]
