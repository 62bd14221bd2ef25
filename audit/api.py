"""`/audit_log`."""

from datetime import datetime

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from assistant_site.wire import grammar
from assistant_site.wire.errors import InvalidRequest
from assistant_site.wire.fields import Constant, ObjectSerializer, Plain, PlainObject
from assistant_site.wire.lists import PageQuery, one_of, page, single
from assistant_site.wire.pages import list_of, page_parameters
from assistant_site.wire.rest import WireView
from audit import exports, queries
from audit.moments import moment_of


class AuditActorSerializer(serializers.Serializer):  # type: ignore[type-arg]
    type = Plain()
    id = Plain(allow_null=True)
    name = Plain(allow_null=True)
    address = Plain(allow_null=True)


class AuditTargetSerializer(serializers.Serializer):  # type: ignore[type-arg]
    type = Plain(allow_null=True)
    id = Plain(allow_null=True)
    name = Plain(allow_null=True)


class AuditEntryObjectSerializer(ObjectSerializer):
    """Described here, written by `queries.values_of`."""

    id = Plain()
    object = Constant("audit_log.entry")
    created_at = serializers.IntegerField()
    tenant_id = Plain(allow_null=True)
    actor = AuditActorSerializer()
    action = Plain()
    target = AuditTargetSerializer()
    before = PlainObject(allow_null=True)
    after = PlainObject(allow_null=True)
    request_id = Plain(allow_null=True)


_MOMENT = "Seconds since 1970, or a date or moment as 2026-01-31T12:00:00Z."


def moment(request: Request, name: str) -> datetime | None:
    given = single(request.query_params, name)
    if given is None:
        return None
    found = moment_of(given)
    if found is None:
        raise grammar.invalid_value(
            lambda path: f"Invalid '{path}': expected seconds since 1970, or a date such as 2026-01-31."
        ).under(name)
    return found


class AuditLogView(WireView):
    audience = "both"
    resource = "audit_log"
    operation_ids = {"GET": "listAuditLog"}

    @extend_schema(
        description="An extension: who changed or deleted what. Tenants see their own entries, the operator all.",
        parameters=page_parameters(
            OpenApiParameter("actor", str, description="The id of a token or user, or its whole name."),
            OpenApiParameter("action", str, description="How the action begins, such as assistant. or token.rotated."),
            OpenApiParameter("object", str, description="The id of what it was done to."),
            OpenApiParameter("from", str, description=_MOMENT),
            OpenApiParameter("to", str, description=f"{_MOMENT} Not included."),
            OpenApiParameter("text", str, description="Stands in a name, an id, the address or a changed value."),
            OpenApiParameter("tenant", str, description="For the operator: a tenant's id."),
            OpenApiParameter(
                "format", str, enum=["jsonl", "csv"], description="All that is found, oldest first, as a download."
            ),
        ),
        responses=list_of(AuditEntryObjectSerializer),
    )
    def get(self, request: Request) -> HttpResponseBase:
        query = request.query_params
        wanted = single(query, "tenant")
        if self.tenant is not None and wanted not in (None, self.tenant.pk):
            raise InvalidRequest("Only the operator may ask for another tenant's entries.", param="tenant")
        entries = queries.search(
            tenant_id=wanted if self.tenant is None else self.tenant.pk,
            actor=single(query, "actor"),
            action=single(query, "action"),
            object_id=single(query, "object"),
            since=moment(request, "from"),
            until=moment(request, "to"),
            text=single(query, "text"),
        )
        form = one_of(query, "format", *exports.CONTENT_TYPES)
        if form is None:
            return Response(page(entries, PageQuery.of(query), queries.values_of))
        response = StreamingHttpResponse(
            exports.pieces(queries.all_of(entries), "csv" if form == "csv" else "jsonl"),
            content_type=exports.CONTENT_TYPES[form],
        )
        response.headers["Content-Disposition"] = f'attachment; filename="audit-log.{form}"'
        return response
