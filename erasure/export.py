"""What a tenant has, or has of one of its end users, as JSON lines: to take along, or for who asks what is known.

The objects are those of the API, each with its `object`; the content of files is to be fetched by their ids.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from assistant_site.wire.rendering import dumps
from assistants.models import Assistant
from assistants.serializers import AssistantObjectSerializer
from erasure import used
from files.models import File
from files.serializers import OpenAIFileSerializer
from runs.models import Run, RunStep
from runs.serializers import RunObjectSerializer, step_object
from tenants.models import EndUser, Tenant, TenantQuerySet
from threads.models import Message, Thread
from threads.serializers import MessageObjectSerializer, ThreadObjectSerializer
from tools.openapi_actions.models import Action
from tools.openapi_actions.serializers import ActionObjectSerializer
from vector_stores.counts import counted, stores
from vector_stores.models import StoreFile, VectorStore
from vector_stores.serializers import VectorStoreFileObjectSerializer, VectorStoreObjectSerializer

BATCH = 100
_WITH_RESULTS = ["step_details.tool_calls[*].file_search.results[*].content"]


def lines(tenant: Tenant, name: str) -> Iterator[bytes]:
    """Each thread is followed by its messages, its runs with their steps, and its files."""
    for end_user in EndUser.objects.of(tenant).filter(name=name):
        yield _line(_end_user(end_user))
    for thread in _each(Thread.objects.of(tenant).filter(end_user=name)):
        yield from _thread(tenant, thread)
        for file in File.objects.of(tenant).filter(pk__in=_files_of(tenant, thread)).order_by("pk"):
            yield _line(OpenAIFileSerializer.of(file))
    elsewhere = Run.objects.of(tenant).filter(end_user=name).exclude(thread__end_user=name)
    yield from _runs(_each(elsewhere))


def everything(tenant: Tenant) -> Iterator[bytes]:
    """All objects of the tenant, so that what refers to another comes after it; each store is followed by its files."""
    for end_user in _each(EndUser.objects.of(tenant)):
        yield _line(_end_user(end_user))
    for file in _each(File.objects.of(tenant)):
        yield _line(OpenAIFileSerializer.of(file))
    for store in _each(stores(VectorStore.objects.of(tenant))):
        yield _line(VectorStoreObjectSerializer.of(counted([store])[0]))
        for store_file in _each(StoreFile.objects.of(tenant).filter(vector_store_id=store.pk)):
            yield _line(VectorStoreFileObjectSerializer.of(store_file))
    for action in _each(Action.objects.of(tenant)):
        yield _line(ActionObjectSerializer.of(action))
    for assistant in _each(Assistant.objects.of(tenant)):
        yield _line(AssistantObjectSerializer.of(assistant))
    for thread in _each(Thread.objects.of(tenant)):
        yield from _thread(tenant, thread)


def _thread(tenant: Tenant, thread: Thread) -> Iterator[bytes]:
    yield _line(ThreadObjectSerializer.of(thread))
    for message in _each(Message.objects.of(tenant).filter(thread_id=thread.pk)):
        yield _line(MessageObjectSerializer.of(message))
    yield from _runs(_each(Run.objects.of(tenant).filter(thread_id=thread.pk)))


def _end_user(end_user: EndUser) -> dict[str, Any]:
    created_at = int(end_user.created_at.timestamp())
    return {"id": end_user.pk, "object": "end_user", "name": end_user.name, "created_at": created_at}


def _files_of(tenant: Tenant, thread: Thread) -> list[str]:
    ids = [str(thread.pk)]
    return sorted(used.files_of(tenant, ids, used.own_stores(tenant, ids)))


def _runs(runs: Iterable[Run]) -> Iterator[bytes]:
    for run in runs:
        yield _line(RunObjectSerializer.of(run))
        for step in _each(RunStep.objects.across_tenants().filter(run=run)):
            yield _line(step_object(step, _WITH_RESULTS))


def _each(rows: "TenantQuerySet[Any]") -> Iterator[Any]:
    """The rows in the order of their ids, a batch in memory at once; no transaction is held open meanwhile."""
    last = ""
    while batch := list(rows.filter(pk__gt=last).order_by("pk")[:BATCH]):
        yield from batch
        last = batch[-1].pk


def _line(told: dict[str, Any]) -> bytes:
    return dumps(told) + b"\n"
