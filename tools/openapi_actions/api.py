"""`/actions`, in the shapes of Open Assistant API."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from assistant_site.wire import rest
from assistant_site.wire.errors import InvalidRequest
from assistant_site.wire.late import AskAgain, LateResponse
from assistant_site.wire.lists import PageQuery, page
from assistant_site.wire.pages import DeletedSerializer, list_of, page_parameters
from assistant_site.wire.rendering import dumps
from assistant_site.wire.rest import WireView
from tenants import reach
from tenants.models import Tenant
from tools.openapi import BadArguments, BadAuthentication
from tools.openapi_actions import answers, calling, serializers, writing
from tools.openapi_actions.calling import Call, CallFailed
from tools.openapi_actions.models import Action, usable_by
from tools.openapi_actions.reading import SCHEMA, document_of
from tools.openapi_actions.serializers import (
    ActionObjectSerializer,
    CreateActionRequestSerializer,
    ModifyActionRequestSerializer,
    RunActionRequestSerializer,
)
from tools.openapi_actions.tool import with_bytes
from tools.served import tools_share

RUN_SECONDS = 60.0  # a caller waits for it


def late(request: Request, make: Callable[[], Awaitable[Any]]) -> LateResponse:
    """The answer that `make` gives as values, or the error that it raises."""

    async def answer() -> HttpResponseBase:
        try:
            return HttpResponse(dumps(await make()), content_type="application/json")
        except Exception as problem:
            return rest.error_response(rest.as_wire_error(problem, request._request))

    return LateResponse(answer)


class ActionListView(WireView):
    resource = "actions"
    operation_ids = {"GET": "listActions", "POST": "createActions"}

    @extend_schema(parameters=page_parameters(), responses=list_of(ActionObjectSerializer))
    def get(self, request: Request) -> Response:
        query = PageQuery.of(request.query_params)
        return Response(page(Action.objects.of(self.tenant), query, ActionObjectSerializer.of))

    @extend_schema(
        request=CreateActionRequestSerializer,
        responses=ActionObjectSerializer(many=True),
        examples=[OpenApiExample("A service with a token", serializers.EXAMPLE, request_only=True)],
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Makes an action of each operation of an OpenAPI document."""
        body = self.parse(CreateActionRequestSerializer)
        writing.check_sharing(body["use_for_everyone"])
        document = document_of(request, self.tenant, body.pop(SCHEMA))
        if isinstance(document, AskAgain):
            return document
        actions = writing.create_actions(tenant=self.tenant, document=document, **body)
        return Response([ActionObjectSerializer.of(action) for action in actions])


class ActionDetailView(WireView):
    resource = "actions"
    operation_ids = {"GET": "getAction", "POST": "modifyAction", "DELETE": "deleteAction"}

    @extend_schema(responses=ActionObjectSerializer)
    def get(self, request: Request, action_id: str) -> Response:
        return Response(ActionObjectSerializer.of(Action.objects.of(self.tenant).fetch(action_id)))

    @extend_schema(request=ModifyActionRequestSerializer, responses=ActionObjectSerializer)
    def post(self, request: Request, action_id: str) -> HttpResponseBase:
        Action.objects.of(self.tenant).only("pk").fetch(action_id)
        changes = self.parse(ModifyActionRequestSerializer, partial=True)
        source = changes.pop(SCHEMA, None)
        document = document_of(request, self.tenant, source) if source is not None else None
        if isinstance(document, AskAgain):
            return document
        action = writing.modify_action(tenant=self.tenant, action_id=action_id, document=document, changes=changes)
        return Response(ActionObjectSerializer.of(action))

    @extend_schema(request=None, responses=DeletedSerializer)
    def delete(self, request: Request, action_id: str) -> Response:
        writing.delete_action(tenant=self.tenant, action_id=action_id)
        return Response({"id": action_id, "object": "action.deleted", "deleted": True})


class RunActionView(WireView):
    resource = "actions"
    operation_ids = {"POST": "runAction"}

    @extend_schema(
        request=RunActionRequestSerializer,
        responses=OpenApiTypes.OBJECT,
        examples=[OpenApiExample("With arguments", {"parameters": {"city": "Lisbon"}}, request_only=True)],
    )
    def post(self, request: Request, action_id: str) -> HttpResponseBase:
        """Calls the action now, without a model. `headers` go with the request, over those of its authentication."""
        action = usable_by(self.tenant).fetch(action_id)
        body = self.parse(RunActionRequestSerializer)
        call = Call(
            operation=action.called,
            authentication=writing.readable_authentication(action),
            arguments=with_bytes(self.tenant, action.called, body["parameters"]),
            key=request.headers.get(calling.KEY_HEADER) or f"run_action_{uuid4().hex}",
            allowed_hosts=reach.allowed_for(self.tenant),
            headers=body["headers"],
        )
        return late(request, partial(carried_out, self.tenant, call))


async def carried_out(tenant: Tenant, call: Call) -> dict[str, Any]:
    """What the service answered, as `data`."""
    try:
        async with tools_share.of(tenant.pk):
            answered = await calling.make(call, min(RUN_SECONDS, settings.TOOL_SECONDS))
    except BadArguments as problem:
        raise InvalidRequest(str(problem), param="parameters") from None
    except BadAuthentication as problem:
        raise InvalidRequest(str(problem).replace("authentication.content", "headers"), param="headers") from None
    except CallFailed as problem:
        raise InvalidRequest(f"The call failed. {problem.message}", code="action_failed") from None
    answer = answered.answer
    if not 200 <= answer.status < 300:
        raise InvalidRequest(answers.told(answer, answered.text, 1_000), code="action_failed")
    return {"data": await asyncio.to_thread(lambda: answers.as_data(answered.text))}
