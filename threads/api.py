"""`/threads` and `/threads/{id}/messages`."""

from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from assistant_site import valkey
from assistant_site.wire import grammar
from assistant_site.wire.lists import PageQuery, body_of, one_of, rows_of_page, single
from assistant_site.wire.pages import DeletedSerializer, list_of, page_parameters
from assistant_site.wire.rest import WireView
from tenants import end_users
from threads import actions, titles, waiting
from threads.models import Message, Thread
from threads.serializers import (
    CreateMessageRequestSerializer,
    CreateThreadRequestSerializer,
    ListedThreadObjectSerializer,
    MessageObjectSerializer,
    ModifyMessageRequestSerializer,
    ModifyThreadRequestSerializer,
    ThreadObjectSerializer,
)
from threads.titles import MAX_SEARCH


class ThreadListView(WireView):
    resource = "threads"
    needs_beta = True
    operation_ids = {"GET": "listThreads", "POST": "createThread"}

    @extend_schema(
        description="An extension: the hosted API had no list of threads.",
        parameters=page_parameters(
            OpenApiParameter("user", str, description="Only threads for this end user."),
            OpenApiParameter("archived", str, enum=["true", "false"], description="Only those that are, or are not."),
            OpenApiParameter(
                "search",
                str,
                description=f"Only threads with these words, up to {MAX_SEARCH} characters, in their title or their "
                "first messages. While `has_more` is true, go on with `after` from `last_id`, also where a page "
                "has no threads.",
            ),
        ),
        responses=list_of(ListedThreadObjectSerializer),
    )
    def get(self, request: Request) -> Response:
        query = PageQuery.of(request.query_params)
        threads = Thread.objects.of(self.tenant)
        if user := single(request.query_params, "user"):
            threads = threads.filter(end_user=user)
        wanted = one_of(request.query_params, "archived", "true", "false")
        archived = None if wanted is None else wanted == "true"
        words = single(request.query_params, "search")
        if words is None:
            found, has_more = rows_of_page(titles.narrowed(threads, archived), query)
            return Response(self._body(found, has_more))
        if len(words) > MAX_SEARCH:
            raise grammar.too_long(words, MAX_SEARCH).under("search")
        found, goes_on = titles.search(threads, query, words, archived=archived)
        body = self._body(found, goes_on is not None)
        if goes_on:
            body["first_id" if query.is_backwards else "last_id"] = goes_on
        return Response(body)

    def _body(self, threads: list[Thread], has_more: bool) -> dict[str, Any]:
        titles.entitle(self.tenant, threads)
        return body_of([ListedThreadObjectSerializer.of(thread) for thread in threads], has_more)

    @extend_schema(
        parameters=[end_users.PARAMETER], request=CreateThreadRequestSerializer, responses=ThreadObjectSerializer
    )
    def post(self, request: Request) -> Response:
        draft = self.parse(CreateThreadRequestSerializer)
        draft["user"] = end_users.named(request, draft["user"])
        thread = actions.create_thread(tenant=self.tenant, **draft)
        return Response(ThreadObjectSerializer.of(thread))


class ThreadDetailView(WireView):
    resource = "threads"
    needs_beta = True
    operation_ids = {"GET": "getThread", "POST": "modifyThread", "DELETE": "deleteThread"}

    @extend_schema(responses=ThreadObjectSerializer)
    def get(self, request: Request, thread_id: str) -> Response:
        return Response(ThreadObjectSerializer.of(Thread.objects.fetch(self.tenant, thread_id)))

    @extend_schema(request=ModifyThreadRequestSerializer, responses=ThreadObjectSerializer)
    def post(self, request: Request, thread_id: str) -> Response:
        Thread.objects.fetch(self.tenant, thread_id)
        changes = self.parse(ModifyThreadRequestSerializer, partial=True)
        thread = actions.modify_thread(tenant=self.tenant, thread_id=thread_id, changes=changes)
        return Response(ThreadObjectSerializer.of(thread))

    @extend_schema(request=None, responses=DeletedSerializer)
    def delete(self, request: Request, thread_id: str) -> Response:
        thread = actions.delete_thread(tenant=self.tenant, thread_id=thread_id)
        if thread.active_run_id:
            valkey.tell_workers_to_stop(thread.active_run_id)
        return Response({"id": thread_id, "object": "thread.deleted", "deleted": True})


class MessageListView(WireView):
    resource = "threads"
    needs_beta = True
    operation_ids = {"GET": "listMessages", "POST": "createMessage"}

    @extend_schema(
        parameters=page_parameters(OpenApiParameter("run_id", str, description="Only messages this run wrote.")),
        responses=list_of(MessageObjectSerializer),
    )
    def get(self, request: Request, thread_id: str) -> Response:
        query = PageQuery.of(request.query_params)
        run_id = single(request.query_params, "run_id")
        of_run = {"run_id": run_id} if run_id else {}
        messages, has_more = Message.objects.page(self.tenant, query, thread_id=thread_id, **of_run)
        if not messages:
            Thread.objects.fetch(self.tenant, thread_id)
        return Response(body_of([MessageObjectSerializer.of(message) for message in messages], has_more))

    @extend_schema(
        parameters=[waiting.PARAMETER], request=CreateMessageRequestSerializer, responses=MessageObjectSerializer
    )
    def post(self, request: Request, thread_id: str) -> HttpResponseBase:
        draft = self.parse(CreateMessageRequestSerializer)
        if wait := waiting.behind_others(request, self.tenant, thread_id):
            return wait
        try:
            message = actions.add_message(tenant=self.tenant, thread_id=thread_id, message=draft)
        except actions.ThreadBusy as busy:
            return waiting.when_busy(request, self.tenant, busy)
        return Response(MessageObjectSerializer.of(message))


class MessageDetailView(WireView):
    resource = "threads"
    needs_beta = True
    operation_ids = {"GET": "getMessage", "POST": "modifyMessage", "DELETE": "deleteMessage"}

    def fetch(self, thread_id: str, message_id: str) -> Message:
        message: Message = Message.objects.fetch(self.tenant, message_id, thread_id=thread_id)
        return message

    @extend_schema(responses=MessageObjectSerializer)
    def get(self, request: Request, thread_id: str, message_id: str) -> Response:
        return Response(MessageObjectSerializer.of(self.fetch(thread_id, message_id)))

    @extend_schema(request=ModifyMessageRequestSerializer, responses=MessageObjectSerializer)
    def post(self, request: Request, thread_id: str, message_id: str) -> Response:
        message = self.fetch(thread_id, message_id)
        changes = self.parse(ModifyMessageRequestSerializer, partial=True)
        if changes:
            message.change(**changes)
        return Response(MessageObjectSerializer.of(message))

    @extend_schema(request=None, responses=DeletedSerializer)
    def delete(self, request: Request, thread_id: str, message_id: str) -> Response:
        actions.delete_message(tenant=self.tenant, thread_id=thread_id, message_id=message_id)
        return Response({"id": message_id, "object": "thread.message.deleted", "deleted": True})
