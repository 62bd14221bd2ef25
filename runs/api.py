"""`/threads/{id}/runs`, their steps, and `/threads/runs`."""

from functools import partial
from typing import Any

from django.conf import settings
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from assistant_site.wire import grammar
from assistant_site.wire.lists import PageQuery, body_of, number_of, one_of, page, several, single, whole_number
from assistant_site.wire.pages import list_of, page_parameters
from assistant_site.wire.rest import WireView
from runs import actions, trace
from runs.following import Goal
from runs.machine import Status
from runs.models import Run, RunStep
from runs.serializers import (
    INCLUDABLE,
    CreateRunRequestSerializer,
    CreateThreadAndRunRequestSerializer,
    ModifyRunRequestSerializer,
    RunObjectSerializer,
    RunStepObjectSerializer,
    RunTraceObjectSerializer,
    SubmitToolOutputsRunRequestSerializer,
    step_object,
)
from runs.streaming import RunStream
from tenants import end_users
from threads import waiting
from threads.actions import ThreadBusy
from threads.models import Thread

_INCLUDE = OpenApiParameter("include[]", str, many=True, enum=list(INCLUDABLE))


MAX_POSITION = 2**53

_LIST_OF_RUNS = list_of(RunObjectSerializer)
# A run as JSON, or its events when `stream` is true.
_RUN_OR_EVENTS = {
    (200, "application/json"): RunObjectSerializer,
    (200, "text/event-stream"): OpenApiTypes.STR,
}


def include_of(request: Request) -> list[str]:
    """The `include[]` values; only one is known."""
    values = several(request.query_params, "include")
    for at, value in enumerate(values):
        if value not in INCLUDABLE:
            raise grammar.not_supported(value, INCLUDABLE).under(at).under("include")
    return values


def answer(run: Run, shown: dict[str, Any] | None = None) -> Response:
    """A run, with the word on when to look again while it is under way."""
    response = Response(shown or RunObjectSerializer.of(run))
    if not run.is_terminal:
        response.headers["openai-poll-after-ms"] = str(settings.POLL_AFTER_MS)
    return response


class TenantRunListView(WireView):
    needs_beta = True
    resource = "runs"
    operation_ids = {"GET": "listAllRuns"}

    @extend_schema(
        description="An extension: the runs of all threads.",
        parameters=page_parameters(
            OpenApiParameter("user", str, description="Only runs for this end user."),
            OpenApiParameter("status", str, enum=Status.values, description="Only runs with this status."),
        ),
        responses=_LIST_OF_RUNS,
    )
    def get(self, request: Request) -> Response:
        query = PageQuery.of(request.query_params)
        runs = Run.objects.of(self.tenant)
        if user := single(request.query_params, "user"):
            runs = runs.filter(end_user=user)
        if status := one_of(request.query_params, "status", *Status.values):
            runs = runs.filter(status=status)
        return Response(page(runs, query, RunObjectSerializer.of))


class RunListView(WireView):
    resource = "runs"
    needs_beta = True
    costs_tokens = frozenset({"POST"})
    operation_ids = {"GET": "listRuns", "POST": "createRun"}

    @extend_schema(parameters=page_parameters(), responses=_LIST_OF_RUNS)
    def get(self, request: Request, thread_id: str) -> Response:
        query = PageQuery.of(request.query_params)
        runs, has_more = Run.objects.page(self.tenant, query, thread_id=thread_id)
        if not runs:
            Thread.objects.fetch(self.tenant, thread_id)
        return Response(body_of([RunObjectSerializer.of(run) for run in runs], has_more))

    @extend_schema(
        parameters=[_INCLUDE, waiting.PARAMETER, end_users.PARAMETER],
        request=CreateRunRequestSerializer,
        responses=_RUN_OR_EVENTS,
    )
    def post(self, request: Request, thread_id: str) -> HttpResponseBase:
        body = self.parse(CreateRunRequestSerializer)
        if body["additional_messages"]:
            self.token.require("threads.write")
        body["include"] = include_of(request)
        user = end_users.named(request, body["user"])
        if wait := waiting.behind_others(request, self.tenant, thread_id):
            return wait
        try:
            run = actions.start_run(tenant=self.tenant, token=self.token, thread_id=thread_id, body=body, user=user)
        except ThreadBusy as busy:
            return waiting.when_busy(request, self.tenant, busy)
        return RunStream(run.pk) if body["stream"] else answer(run)


class ThreadAndRunView(WireView):
    resource = "runs"
    needs = {"POST": ("threads.write",)}
    needs_beta = True
    costs_tokens = frozenset({"POST"})
    operation_ids = {"POST": "createThreadAndRun"}

    @extend_schema(
        parameters=[_INCLUDE, end_users.PARAMETER],
        request=CreateThreadAndRunRequestSerializer,
        responses=_RUN_OR_EVENTS,
    )
    def post(self, request: Request) -> HttpResponseBase:
        body = self.parse(CreateThreadAndRunRequestSerializer)
        body["include"] = include_of(request)
        user = end_users.named(request, body["user"])
        run = actions.start_thread_and_run(tenant=self.tenant, token=self.token, body=body, user=user)
        return RunStream(run.pk) if body["stream"] else answer(run)


class RunDetailView(WireView):
    resource = "runs"
    needs_beta = True
    operation_ids = {"GET": "getRun", "POST": "modifyRun"}

    @extend_schema(responses=RunObjectSerializer)
    def get(self, request: Request, thread_id: str, run_id: str) -> Response:
        return answer(Run.objects.fetch(self.tenant, run_id, thread_id=thread_id))

    @extend_schema(request=ModifyRunRequestSerializer, responses=RunObjectSerializer)
    def post(self, request: Request, thread_id: str, run_id: str) -> Response:
        changes = self.parse(ModifyRunRequestSerializer, partial=True)
        run = actions.modify_run(
            tenant=self.tenant, thread_id=thread_id, run_id=run_id, metadata=changes.get("metadata")
        )
        return answer(run)


class CancelRunView(WireView):
    resource = "runs"
    needs_beta = True
    operation_ids = {"POST": "cancelRun"}

    @extend_schema(request=None, responses=RunObjectSerializer)
    def post(self, request: Request, thread_id: str, run_id: str) -> Response:
        response = Response(actions.cancel_run(tenant=self.tenant, thread_id=thread_id, run_id=run_id))
        response.headers["openai-poll-after-ms"] = str(settings.POLL_AFTER_MS)
        return response


class SubmitToolOutputsView(WireView):
    resource = "runs"
    needs_beta = True
    operation_ids = {"POST": "submitToolOuputsToRun"}

    @extend_schema(request=SubmitToolOutputsRunRequestSerializer, responses=_RUN_OR_EVENTS)
    def post(self, request: Request, thread_id: str, run_id: str) -> HttpResponseBase:
        body = self.parse(SubmitToolOutputsRunRequestSerializer)
        run, before = actions.submit_tool_outputs(
            tenant=self.tenant,
            thread_id=thread_id,
            run_id=run_id,
            outputs=body["tool_outputs"],
            approvals=body["tool_approvals"],
        )
        return RunStream(run.pk, after=before) if body["stream"] else answer(run)


class RunStepListView(WireView):
    resource = "runs"
    needs_beta = True
    operation_ids = {"GET": "listRunSteps"}

    @extend_schema(parameters=page_parameters(_INCLUDE), responses=list_of(RunStepObjectSerializer))
    def get(self, request: Request, thread_id: str, run_id: str) -> Response:
        query = PageQuery.of(request.query_params)
        include = include_of(request)
        run = Run.objects.of(self.tenant).filter(thread_id=thread_id).only("pk").fetch(run_id)
        steps = RunStep.objects.of(self.tenant).filter(run=run)
        return Response(page(steps, query, partial(step_object, include=include)))


class RunStepDetailView(WireView):
    resource = "runs"
    needs_beta = True
    operation_ids = {"GET": "getRunStep"}

    @extend_schema(parameters=[_INCLUDE], responses=RunStepObjectSerializer)
    def get(self, request: Request, thread_id: str, run_id: str, step_id: str) -> Response:
        include = include_of(request)
        steps = RunStep.objects.of(self.tenant).filter(run_id=run_id, thread_id=thread_id)
        return Response(step_object(steps.fetch(step_id), include))


class RunEventsView(WireView):
    resource = "runs"
    needs_beta = True
    operation_ids = {"GET": "streamRunEvents"}

    @extend_schema(
        description="An extension: the run's events from its beginning or behind a position, up to where it rests. "
        "For readers who come late, come back or are several.",
        parameters=[
            OpenApiParameter("after", int, description="Tell what comes behind this position."),
            OpenApiParameter(
                "Last-Event-ID", int, OpenApiParameter.HEADER, description="The same; it goes before `after`."
            ),
        ],
        responses={(200, "text/event-stream"): OpenApiTypes.STR},
    )
    def get(self, request: Request, thread_id: str, run_id: str) -> HttpResponseBase:
        after = whole_number(request.query_params, "after", default=0, low=0, high=MAX_POSITION)
        if last := request.headers.get("Last-Event-ID", "").strip():
            after = number_of(last, "Last-Event-ID", low=0, high=MAX_POSITION)
        run = Run.objects.fetch(self.tenant, run_id, thread_id=thread_id)
        return RunStream(run.pk, after=after, goal=Goal.of(run), keep_alive=True)


class RunTraceView(WireView):
    resource = "runs"
    needs_beta = True
    operation_ids = {"GET": "getRunTrace"}

    @extend_schema(
        description="An extension: when each turn of the model and each call of a tool happened, and what it cost. "
        "Times are seconds since 1970 with milliseconds; null is what is not known, or not yet so.",
        responses=RunTraceObjectSerializer,
    )
    def get(self, request: Request, thread_id: str, run_id: str) -> Response:
        run = Run.objects.fetch(self.tenant, run_id, thread_id=thread_id)
        return answer(run, RunTraceObjectSerializer.of(trace.of(run, trace.Turn)))
