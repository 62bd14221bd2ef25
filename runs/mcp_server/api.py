"""`/mcp` and `/assistants/{id}/mcp`."""

from typing import Any

from django.conf import settings
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from assistant_site.wire.errors import PermissionDenied
from assistant_site.wire.rest import WireView
from assistants.models import Assistant
from tenants import end_users
from threads import waiting

_DESCRIPTION = (
    "An extension: the Model Context Protocol over streamable HTTP, without sessions. The body is a JSON-RPC message. "
)
_ANSWERS = {
    (200, "application/json"): OpenApiTypes.OBJECT,
    (200, "text/event-stream"): OpenApiTypes.STR,
    202: None,
}


def check_origin(request: Request) -> None:
    """Refuses pages of other hosts, as the protocol wants it, unless the operator trusts them.

    A page whose name was made to lead here (DNS rebinding) names its own host in both headers. Where `ALLOWED_HOSTS`
    is set, Django has refused that; anywhere, the page has no token.
    """
    origin = request.headers.get("Origin")
    if origin is None or origin in settings.CSRF_TRUSTED_ORIGINS:
        return
    if origin.partition("://")[2].lower() != request.get_host().lower():
        raise PermissionDenied("Requests of web pages are taken from the server's own host only.")


class McpView(WireView):
    """What both addresses have in common. Who lists tools reads assistants; who calls one starts a run."""

    resource = "assistants"
    deeds = {"POST": "read"}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        check_origin(request)
        super().initial(request, *args, **kwargs)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response

    def answered(self, request: Request, assistant: Assistant | None) -> HttpResponseBase:
        from runs.mcp_server.answering import Answering  # it loads the protocol's types
        from runs.mcp_server.toolbox import All, One

        address = request.build_absolute_uri(request.path)
        files_at = address[: address.index("/v1/") + len("/v1/")] + "files"
        toolbox = All(self.tenant) if assistant is None else One(assistant)
        return Answering(request, self.token, toolbox, files_at).respond()


class AssistantsMcpView(McpView):
    operation_ids = {"POST": "callAssistantsOverMcp"}

    @extend_schema(
        description=_DESCRIPTION + "Each assistant is a tool.",
        parameters=[waiting.PARAMETER, end_users.PARAMETER],
        request=OpenApiTypes.OBJECT,
        responses=_ANSWERS,
    )
    def post(self, request: Request) -> HttpResponseBase:
        return self.answered(request, None)


class AssistantMcpView(McpView):
    operation_ids = {"POST": "callAssistantOverMcp"}

    @extend_schema(
        description=_DESCRIPTION + "The assistant is the tool `ask`.",
        parameters=[waiting.PARAMETER, end_users.PARAMETER],
        request=OpenApiTypes.OBJECT,
        responses=_ANSWERS,
    )
    def post(self, request: Request, assistant_id: str) -> HttpResponseBase:
        return self.answered(request, Assistant.objects.of(self.tenant).fetch(assistant_id))
