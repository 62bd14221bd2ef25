"""Tokens, tenants and end users on the wire."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from assistant_site.addresses import is_entry
from assistant_site.wire import grammar
from assistant_site.wire.fields import (
    Boolean,
    Constant,
    Integer,
    ListOf,
    ObjectSerializer,
    OneOf,
    Plain,
    RequestSerializer,
    Text,
    UnixTime,
)
from audit.models import AuditEntry
from tenants import networks
from tenants.encryption import Undecryptable
from tenants.models import ApiToken, Provider, WhenBusy
from tenants.scopes import SCOPES

MOST_ENTRIES = 100
MOST_OVERLAP_SECONDS = 90 * 24 * 3600
BASE_URL = r"^https?://[^\s/?#]+[^\s?#]*$"

TOKEN_LIMITS = ("requests_per_minute", "tokens_per_minute")
TENANT_LIMITS = {  # with the least that each may be
    "requests_per_minute": 1,
    "tokens_per_minute": 1,
    "concurrent_runs": 1,
    "queued_runs": 0,
    "storage_mb": 0,
    "vector_store_mb": 0,
    "code_seconds_per_month": 0,
    "code_sessions": 1,
    "code_seconds": 1,
    "code_memory_mb": 256,
    "code_data_mb": 16,
    "code_output_kb": 1,
}
_SMALL = 2**31 - 1  # what the columns of the code interpreter hold


def limits_of(row: Any, names: Iterable[str]) -> dict[str, int | None]:
    return {name: getattr(row, name) for name in names}


class Network(Text):
    """An address or a network, such as `10.1.0.0/16`."""

    def check(self, value: Any) -> str:
        entry = super().check(value)
        try:
            return str(networks.network(entry))
        except ValueError:
            raise grammar.invalid_value(
                lambda path: f"Invalid '{path}': '{entry}' is no IP address and no network such as 10.1.0.0/16."
            ) from None


class Host(Text):
    """A host's name, an address or a network."""

    def check(self, value: Any) -> str:
        entry = super().check(value)
        if not is_entry(entry):
            raise grammar.invalid_value(
                lambda path: f"Invalid '{path}': '{entry}' is no host name, no IP address and no network."
            )
        return entry


class Moment(Integer):
    """Seconds since 1970, in the future; the result is a `datetime`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(low=0, high=253_402_300_799, **options)

    def check(self, value: Any) -> Any:
        moment = datetime.fromtimestamp(super().check(value), UTC)
        if moment <= datetime.now(UTC):
            raise grammar.invalid_value(lambda path: f"Invalid '{path}': expected a time in the future.")
        return moment


# --- Requests --------------------------------------------------------------------------------------------------------


class TokenLimitsSerializer(RequestSerializer):
    requests_per_minute = Integer(low=1)
    tokens_per_minute = Integer(low=1)


class ModifyTokenRequestSerializer(RequestSerializer):
    llm_base_url = Text(most=500, pattern=BASE_URL)
    llm_api_key = Text(most=10_000)
    description = Text(most=512, default="")
    name = Text(least=1, most=200)
    scopes = ListOf(OneOf(*SCOPES, required=True), least=1, most=MOST_ENTRIES)
    expires_at = Moment()
    allowed_models = ListOf(Text(least=1, most=256, required=True), most=MOST_ENTRIES, default=list)
    allowed_networks = ListOf(Network(required=True), most=MOST_ENTRIES, default=list)
    limits = TokenLimitsSerializer(partial=True, default=dict)


class CreateTokenRequestSerializer(ModifyTokenRequestSerializer):
    tenant = Text(id_word="tenant_")

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        if checked["llm_api_key"] and not checked["llm_base_url"]:
            raise grammar.missing("llm_base_url")
        return checked


class RefreshTokenRequestSerializer(RequestSerializer):
    overlap_seconds = Integer(low=0, high=MOST_OVERLAP_SECONDS, default=0)


class TenantLimitsSerializer(RequestSerializer):
    def get_fields(self) -> dict[str, Any]:
        return {
            name: Integer(low=low, high=_SMALL if name.startswith("code_") else None)
            for name, low in TENANT_LIMITS.items()
        }


class ModifyTenantRequestSerializer(RequestSerializer):
    name = Text(least=1, most=200)
    currency = Text(pattern="^[A-Z]{3}$", default="USD")
    when_busy = OneOf(*WhenBusy.values, default=WhenBusy.REJECT.value)
    fetch_allowed_hosts = ListOf(Host(least=1, most=253, required=True), most=MOST_ENTRIES, default=list)
    limits = TenantLimitsSerializer(partial=True, default=dict)


class CreateTenantRequestSerializer(ModifyTenantRequestSerializer):
    name = Text(least=1, most=200, required=True)


class ModifyEndUserRequestSerializer(RequestSerializer):
    blocked = Boolean(default=False)
    limits = TokenLimitsSerializer(partial=True, default=dict)


# --- Objects ---------------------------------------------------------------------------------------------------------


@extend_schema_field({"type": "object", "additionalProperties": {"type": "integer", "nullable": True}})
class Limits(serializers.Field):  # type: ignore[type-arg]
    """Null: no limit."""

    def __init__(self, names: Iterable[str], **options: Any) -> None:
        self.names = tuple(names)
        super().__init__(read_only=True, source="*", **options)

    def to_representation(self, value: Any) -> dict[str, int | None]:
        return limits_of(value, self.names)


class Texts(serializers.ListField):
    """A list of texts as it is stored."""

    child = serializers.CharField()

    def to_representation(self, data: Any) -> Any:
        return data


class TokenObjectSerializer(ObjectSerializer):
    """A token in the shape of Open Assistant API, and what it has beside. Secrets are hints.

    `llm_base_url` is where its models are asked, if it or its tenant has a provider; only operators are told.
    """

    id = Plain()
    object = Constant("token")
    assistant_token = Plain(source="hint")
    llm_base_url = Plain(allow_null=True, read_only=True, default=None)
    llm_api_key = Plain(allow_null=True, read_only=True, default=None)
    description = Plain()
    created_at = UnixTime()
    updated_at = UnixTime(source="created_at")
    name = Plain()
    tenant = Plain(source="tenant_id")
    scopes = Texts()
    allowed_models = Texts()
    allowed_networks = Texts()
    limits = Limits(TOKEN_LIMITS)
    expires_at = UnixTime(allow_null=True)
    revoked_at = UnixTime(allow_null=True)
    last_used_at = UnixTime(allow_null=True)
    previous_token = Plain(source="previous_hint", allow_null=True)
    previous_token_until = UnixTime(source="previous_until", allow_null=True)


def provider_of(token: ApiToken) -> Provider | None:
    """The token's own model server, else its tenant's; None: a shared one, or the installation's."""
    theirs = [each for each in token.tenant.providers.all() if each.token_id in (token.pk, None)]
    return min(theirs, key=lambda each: (each.token_id is None, each.priority, each.pk), default=None)


def hint_of(provider: Provider) -> str | None:
    """What is shown of a provider's key."""
    try:
        key = provider.api_key
    except Undecryptable:
        return "…"
    return (f"…{key[-4:]}" if len(key) >= 16 else "…") if key else None


def token_objects(tokens: Iterable[ApiToken], *, for_operator: bool) -> list[dict[str, Any]]:
    """Each token as it is shown; when it was last changed is read from the audit log.

    Where models are asked is the operator's matter, and shown to nobody else.
    """
    tokens = list(tokens)
    entries = AuditEntry.objects.filter(object_id__in=[token.pk for token in tokens])
    changed = dict(entries.order_by("object_id", "-id").distinct("object_id").values_list("object_id", "at"))
    return [_token_object(each, changed.get(each.pk, each.created_at), for_operator) for each in tokens]


def _token_object(token: ApiToken, changed_at: datetime, for_operator: bool) -> dict[str, Any]:
    provider = provider_of(token) if for_operator else None
    return TokenObjectSerializer.of(token) | {
        "llm_base_url": provider and provider.base_url,
        "llm_api_key": provider and hint_of(provider),
        "updated_at": int(changed_at.timestamp()),
        "previous_token": token.previous_hint or None,
    }


class TenantObjectSerializer(ObjectSerializer):
    id = Plain()
    object = Constant("tenant")
    created_at = UnixTime()
    name = Plain()
    currency = Plain()
    when_busy = Plain()
    fetch_allowed_hosts = Texts()
    limits = Limits(TENANT_LIMITS)
    suspended_at = UnixTime(allow_null=True)
    deletion_began_at = UnixTime(allow_null=True)

    @classmethod
    def of(cls, row: Any) -> dict[str, Any]:
        wire = super().of(row)
        return wire | {"fetch_allowed_hosts": row.fetch_allowed_hosts.split()}


class EndUserObjectSerializer(ObjectSerializer):
    id = Plain()
    object = Constant("end_user")
    created_at = UnixTime()
    name = Plain()
    blocked = serializers.BooleanField(source="is_blocked")
    limits = Limits(TOKEN_LIMITS)


class EndUserDetailSerializer(EndUserObjectSerializer):
    """With what was made for it. `last_seen_at` is null if nothing is left."""

    threads = serializers.IntegerField()
    runs = serializers.IntegerField()
    last_seen_at = UnixTime(allow_null=True)


def as_columns(changes: dict[str, Any]) -> dict[str, Any]:
    """The columns that a request's `limits` mean, beside its other fields."""
    limits = changes.pop("limits", None) or {}
    return changes | limits
