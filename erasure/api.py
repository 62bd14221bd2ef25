"""`DELETE /tenants/{id}`, for the operator; `DELETE /end_users/{name}` and its export, for tenants."""

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from assistant_site.wire.errors import NotFound
from assistant_site.wire.pages import DeletedSerializer
from assistant_site.wire.rest import WireView
from erasure import export
from erasure.end_user import is_known
from tenants import deletion
from tenants.models import EndUser, Tenant


class DeleteTenantView(WireView):
    audience = "operator"
    resource = "tenants"
    operation_ids = {"DELETE": "deleteTenant"}

    @extend_schema(
        description="An extension: closes the tenant at once and deletes all it owns in the background.",
        request=None,
        responses=DeletedSerializer,
    )
    def delete(self, request: Request, tenant_id: str) -> Response:
        found = Tenant.objects.filter(pk=tenant_id).first()
        if found is None:
            raise NotFound.of("tenant", tenant_id)
        deletion.begin(found)
        return Response({"id": tenant_id, "object": "tenant.deleted", "deleted": True})


class EraseEndUserView(WireView):
    resource = "end_users"
    operation_ids = {"DELETE": "eraseEndUser"}

    @extend_schema(
        description="An extension: deletes the end user's threads with all that hangs on them, and its files that "
        "nobody else uses; usage keeps its numbers without the name. What is much goes on in the background.",
        request=None,
        responses=DeletedSerializer,
    )
    def delete(self, request: Request, name: str) -> Response:
        deletion.erase_end_user(self.tenant, name)
        return Response({"id": name, "object": "end_user.deleted", "deleted": True})


class ExportEndUserView(WireView):
    resource = "end_users"
    operation_ids = {"GET": "exportEndUser"}

    @extend_schema(
        description="An extension: all objects of the end user's threads, one in a line.",
        responses={(200, "application/jsonl"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, name: str) -> HttpResponseBase:
        if not is_known(self.tenant, name):
            raise NotFound.of(EndUser.wire_noun, name)
        response = StreamingHttpResponse(export.lines(self.tenant, name), content_type="application/jsonl")
        response.headers["Content-Disposition"] = 'attachment; filename="end-user.jsonl"'
        return response
