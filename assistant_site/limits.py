"""`/limits`: what a tenant may use, and what of it is used now. An extension, see docs/limits.md."""

import logging
from functools import partial
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from assistant_site import valkey
from assistant_site.wire.rest import WireView
from metering import quotas, rates
from metering.rates import Limit
from runs import machine
from runs.machine import Status
from runs.models import Run
from vector_stores import counts

logger = logging.getLogger(__name__)


class UsedSerializer(serializers.Serializer[Any]):
    limit = serializers.IntegerField(allow_null=True, help_text="Null: there is none.")
    used = serializers.FloatField(allow_null=True, help_text="Null: it is not counted.")


class OfMinuteSerializer(serializers.Serializer[Any]):
    requests_per_minute = UsedSerializer()
    tokens_per_minute = UsedSerializer()


class LimitsSerializer(serializers.Serializer[Any]):
    """The tenant's, and per minute also those of the token that asks. Sizes are in bytes."""

    object = serializers.ChoiceField(["limits"])
    requests_per_minute = UsedSerializer()
    tokens_per_minute = UsedSerializer()
    token = OfMinuteSerializer()
    concurrent_runs = UsedSerializer()
    queued_runs = UsedSerializer()
    storage = UsedSerializer()
    vector_stores = UsedSerializer()
    code_seconds_per_month = UsedSerializer()


def used(limit: int | None, amount: float) -> dict[str, Any]:
    return {"limit": limit, "used": amount}


def bytes_used(megabytes: int | None, amount: int) -> dict[str, Any]:
    return used(None if megabytes is None else megabytes * quotas.MIB, amount)


def of_minute(limits: list[Limit]) -> dict[str, Any]:
    """By unit; where there is no limit nothing is counted, and without Valkey nothing is known."""
    shown: dict[str, Any] = {f"{unit}_per_minute": {"limit": None, "used": None} for unit in ("requests", "tokens")}
    shown |= {f"{limit.unit}_per_minute": {"limit": limit.most, "used": None} for limit in limits}
    try:
        levels = rates.levels_of(limits)
    except (valkey.Failed, OSError) as error:
        logger.warning("What is used of limits per minute cannot be told: %s", error)
        return shown
    for level in levels:
        shown[f"{level.limit.unit}_per_minute"]["used"] = level.limit.most - level.remaining
    return shown


class LimitsView(WireView):
    resource = "usage"
    operation_ids = {"GET": "getLimits"}

    @extend_schema(responses=LimitsSerializer)
    def get(self, request: Request) -> Response:
        token: Any = request.auth
        tenant = self.tenant
        count = partial(count_runs, tenant.pk)
        return Response(
            {
                "object": "limits",
                **of_minute(rates.of_tenant(tenant)),
                "token": of_minute(rates.of_token(token)),
                "concurrent_runs": used(tenant.concurrent_runs, count(*machine.HELD)),
                "queued_runs": used(tenant.queued_runs, count(Status.QUEUED)),
                "storage": bytes_used(tenant.storage_mb, quotas.stored_bytes(tenant.pk)),
                "vector_stores": bytes_used(tenant.vector_store_mb, counts.bytes_of_tenant(tenant.pk)),
                "code_seconds_per_month": used(tenant.code_seconds_per_month, quotas.code_seconds_used(tenant.pk)),
            }
        )


def count_runs(tenant_id: str, *statuses: Status) -> int:
    return Run.objects.across_tenants().filter(tenant_id=tenant_id, status__in=statuses).count()
