"""`/actions`, in the shapes of Open Assistant API. Where something must be fetched first, the answer comes late."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from assistant_site import fetching
from assistant_site.fetching import CannotFetch
from assistant_site.wire import rest
from assistant_site.wire.errors import InvalidRequest, ServerError, WireError
from assistant_site.wire.late import LateResponse
from assistant_site.wire.lists import PageQuery, page
from assistant_site.wire.pages import DeletedSerializer, list_of, page_parameters
from assistant_site.wire.rendering import dumps
from assistant_site.wire.rest import WireView
from tenants import reach
from tenants.encryption import Undecryptable
from tenants.models import Tenant
from tools.openapi import MAX_BYTES, BadArguments, BadAuthentication
from tools.openapi_actions import answers, calling, writing
from tools.openapi_actions.calling import Call, CallFailed
from tools.openapi_actions.models import Action, usable_by
from tools.openapi_actions.serializers import (
    ActionObjectSerializer,
    CreateActionRequestSerializer,
    ModifyActionRequestSerializer,
    RunActionRequestSerializer,
)
from tools.openapi_actions.tool import action_threads, with_bytes

logger = logging.getLogger(__name__)

DOCUMENT_SECONDS = 20.0
RUN_SECONDS = 60.0  # a caller waits for it


def address_in(body: dict[str, Any]) -> str:
    """The address from which the document is to be fetched; empty if it came with the request."""
    given = body.get(writing.SCHEMA)
    text = given.strip() if isinstance(given, str) else ""
    return text if text.startswith(("http://", "https://")) else ""


async def fetched(url: str, allowed_hosts: tuple[str, ...]) -> tuple[bytes, str]:
    """A document and the address it came from in the end."""
    try:
        document = await fetching.fetch(url, max_bytes=MAX_BYTES, seconds=DOCUMENT_SECONDS, allowed_hosts=allowed_hosts)
    except CannotFetch as failure:
        raise InvalidRequest(f"Invalid '{writing.SCHEMA}': {failure.message}", param=writing.SCHEMA) from None
    return document.body, document.url


def late(make: Callable[[], Awaitable[Any]]) -> LateResponse:
    """The answer that `make` gives as values, or the error that it raises."""

    async def answer() -> HttpResponseBase:
        try:
            return HttpResponse(dumps(await make()), content_type="application/json")
        except WireError as error:
            return rest.error_response(error)

    return LateResponse(answer)


class ActionListView(WireView):
    operation_ids = {"GET": "listActions", "POST": "createActions"}

    @extend_schema(parameters=page_parameters(), responses=list_of(ActionObjectSerializer))
    def get(self, request: Request) -> Response:
        query = PageQuery.of(request.query_params)
        return Response(page(Action.objects.of(self.tenant), query, ActionObjectSerializer.of))

    @extend_schema(request=CreateActionRequestSerializer, responses=ActionObjectSerializer(many=True))
    def post(self, request: Request) -> HttpResponseBase:
        body = self.parse(CreateActionRequestSerializer)
        writing.check_sharing(body["use_for_everyone"])
        source = body.pop(writing.SCHEMA)
        if url := address_in({writing.SCHEMA: source}):
            return late(partial(created_from, self.tenant, url, reach.allowed_for(self.tenant), body))
        return Response(created(self.tenant, source, "", body))


def created(tenant: Tenant, source: Any, url: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    actions = writing.create_actions(tenant=tenant, source=source, url=url, **body)
    return [ActionObjectSerializer.of(action) for action in actions]


async def created_from(
    tenant: Tenant, url: str, allowed: tuple[str, ...], body: dict[str, Any]
) -> list[dict[str, Any]]:
    source, last = await fetched(url, allowed)
    return await action_threads().run(created, tenant, source, last, body)


class ActionDetailView(WireView):
    operation_ids = {"GET": "getAction", "POST": "modifyAction", "DELETE": "deleteAction"}

    @extend_schema(responses=ActionObjectSerializer)
    def get(self, request: Request, action_id: str) -> Response:
        return Response(ActionObjectSerializer.of(Action.objects.of(self.tenant).fetch(action_id)))

    @extend_schema(request=ModifyActionRequestSerializer, responses=ActionObjectSerializer)
    def post(self, request: Request, action_id: str) -> HttpResponseBase:
        Action.objects.of(self.tenant).only("pk").fetch(action_id)
        changes = self.parse(ModifyActionRequestSerializer, partial=True)
        if url := address_in(changes):
            return late(partial(modified_from, self.tenant, action_id, url, reach.allowed_for(self.tenant), changes))
        return Response(modified(self.tenant, action_id, changes))

    @extend_schema(request=None, responses=DeletedSerializer)
    def delete(self, request: Request, action_id: str) -> Response:
        Action.objects.of(self.tenant).only("pk").fetch(action_id).delete()
        return Response({"id": action_id, "object": "action.deleted", "deleted": True})


def modified(tenant: Tenant, action_id: str, changes: dict[str, Any], url: str = "") -> dict[str, Any]:
    action = writing.modify_action(tenant=tenant, action_id=action_id, changes=changes, url=url)
    return ActionObjectSerializer.of(action)


async def modified_from(
    tenant: Tenant, action_id: str, url: str, allowed: tuple[str, ...], changes: dict[str, Any]
) -> dict[str, Any]:
    source, last = await fetched(url, allowed)
    return await action_threads().run(modified, tenant, action_id, changes | {writing.SCHEMA: source}, last)


class RunActionView(WireView):
    operation_ids = {"POST": "runAction"}

    @extend_schema(request=RunActionRequestSerializer, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, action_id: str) -> HttpResponseBase:
        """Calls the action now, without a model. `headers` go with the request, over those of its authentication."""
        action = usable_by(self.tenant).fetch(action_id)
        body = self.parse(RunActionRequestSerializer)
        try:
            authentication = action.authentication
            arguments = with_bytes(self.tenant, action.called, body["parameters"])
        except Undecryptable as problem:
            logger.error("Action %s: %s", action.pk, problem)
            raise ServerError("The credentials of this action cannot be read; the operator must see to it.") from None
        call = Call(
            operation=action.called,
            arguments=arguments,
            authentication=authentication,
            key=request.headers.get(calling.KEY_HEADER) or f"run_action_{uuid4().hex}",
            allowed_hosts=reach.allowed_for(self.tenant),
            headers=body["headers"],
        )
        return late(partial(carried_out, call))


async def carried_out(call: Call) -> dict[str, Any]:
    """What the service answered, as `data`."""
    try:
        answered = await calling.make(call, min(RUN_SECONDS, settings.TOOL_SECONDS))
    except (BadArguments, BadAuthentication) as problem:
        raise InvalidRequest(str(problem), param="parameters") from None
    except CallFailed as problem:
        raise InvalidRequest(f"The call failed. {problem.message}", code="action_failed") from None
    answer = answered.answer
    if not 200 <= answer.status < 300:
        told = answered.hide(answers.told(answer, 1_000))
        raise InvalidRequest(told, code="action_failed")
    return {"data": answers.as_data(answered.hide(answers.text_of(answer)))}
