"""`/assistants`."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from assistant_site.wire.lists import PageQuery, page
from assistant_site.wire.pages import DeletedSerializer, list_of, page_parameters
from assistant_site.wire.rest import WireView
from assistants import actions
from assistants.models import Assistant
from assistants.serializers import (
    AssistantObjectSerializer,
    CreateAssistantRequestSerializer,
    ModifyAssistantRequestSerializer,
)


class AssistantListView(WireView):
    resource = "assistants"
    needs_beta = True
    operation_ids = {"GET": "listAssistants", "POST": "createAssistant"}

    @extend_schema(parameters=page_parameters(), responses=list_of(AssistantObjectSerializer))
    def get(self, request: Request) -> Response:
        query = PageQuery.of(request.query_params)
        return Response(page(Assistant.objects.of(self.tenant), query, AssistantObjectSerializer.of))

    @extend_schema(request=CreateAssistantRequestSerializer, responses=AssistantObjectSerializer)
    def post(self, request: Request) -> Response:
        fields = self.parse(CreateAssistantRequestSerializer)
        self.token.require_model(fields["model"])
        assistant = actions.create_assistant(tenant=self.tenant, fields=fields)
        return Response(AssistantObjectSerializer.of(assistant))


class AssistantDetailView(WireView):
    resource = "assistants"
    needs_beta = True
    operation_ids = {"GET": "getAssistant", "POST": "modifyAssistant", "DELETE": "deleteAssistant"}

    @extend_schema(responses=AssistantObjectSerializer)
    def get(self, request: Request, assistant_id: str) -> Response:
        return Response(AssistantObjectSerializer.of(Assistant.objects.fetch(self.tenant, assistant_id)))

    @extend_schema(request=ModifyAssistantRequestSerializer, responses=AssistantObjectSerializer)
    def post(self, request: Request, assistant_id: str) -> Response:
        Assistant.objects.of(self.tenant).only("pk").fetch(assistant_id)
        changes = self.parse(ModifyAssistantRequestSerializer, partial=True)
        if "model" in changes:
            self.token.require_model(changes["model"])
        assistant = actions.modify_assistant(tenant=self.tenant, assistant_id=assistant_id, changes=changes)
        return Response(AssistantObjectSerializer.of(assistant))

    @extend_schema(request=None, responses=DeletedSerializer)
    def delete(self, request: Request, assistant_id: str) -> Response:
        actions.delete_assistant(tenant=self.tenant, assistant_id=assistant_id)
        return Response({"id": assistant_id, "object": "assistant.deleted", "deleted": True})
