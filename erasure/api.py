"""`GET /end_users/{name}/export`: what there is of an end user, for whoever has a right to it."""

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from assistant_site.wire.errors import NotFound
from assistant_site.wire.rest import WireView
from erasure import export
from erasure.end_user import is_known
from tenants.models import EndUser


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
