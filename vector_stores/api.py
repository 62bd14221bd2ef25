"""`/vector_stores`: stores, their files, batches of files, search."""

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import transaction
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from assistant_site.wire.chunking import Chunking
from assistant_site.wire.errors import InvalidRequest
from assistant_site.wire.late import LateResponse
from assistant_site.wire.lists import PageQuery, one_of, page
from assistant_site.wire.pages import DeletedSerializer, list_of, page_parameters
from assistant_site.wire.rest import WireView
from audit import log
from tenants.models import TenantQuerySet
from vector_stores import actions, counts, querying
from vector_stores.actions import Entry
from vector_stores.counts import CountedBatch
from vector_stores.models import FileBatch, ParsedText, StoreFile, StoreFileStatus, VectorStore
from vector_stores.serializers import (
    CONTENT_PAGE,
    SEARCH_PAGE,
    CreateVectorStoreFileBatchRequestSerializer,
    CreateVectorStoreFileRequestSerializer,
    CreateVectorStoreRequestSerializer,
    UpdateVectorStoreFileAttributesRequestSerializer,
    UpdateVectorStoreRequestSerializer,
    VectorStoreFileBatchObjectSerializer,
    VectorStoreFileObjectSerializer,
    VectorStoreObjectSerializer,
    VectorStoreSearchRequestSerializer,
)

_FILTER = OpenApiParameter("filter", str, enum=StoreFileStatus.values, description="Only files in this state.")

_FILES = list_of(VectorStoreFileObjectSerializer)  # of a store and of a batch


def store_objects(stores: Iterable[VectorStore]) -> list[dict[str, Any]]:
    return [VectorStoreObjectSerializer.of(each) for each in counts.counted(stores)]


def entry_of(body: dict[str, Any]) -> Entry:
    return Entry(body["file_id"], body["chunking_strategy"] or Chunking(), body["attributes"])


def polled(answer: dict[str, Any]) -> Response:
    """An object that clients poll, with the word on when to look again while it is under way."""
    response = Response(answer)
    if answer["status"] == StoreFileStatus.IN_PROGRESS:
        response.headers["openai-poll-after-ms"] = str(settings.POLL_AFTER_MS)
    return response


def days_of(body: dict[str, Any]) -> int | None:
    expires_after = body["expires_after"]
    return None if expires_after is None else int(expires_after["days"])


class VectorStoreListView(WireView):
    resource = "vector_stores"
    operation_ids = {"GET": "listVectorStores", "POST": "createVectorStore"}

    @extend_schema(parameters=page_parameters(), responses=list_of(VectorStoreObjectSerializer))
    def get(self, request: Request) -> Response:
        query = PageQuery.of(request.query_params)
        found = page(actions.stores_of(self.tenant), query, lambda store: {"id": store.pk, "store": store})
        found["data"] = store_objects(each["store"] for each in found["data"])
        return Response(found)

    @extend_schema(request=CreateVectorStoreRequestSerializer, responses=VectorStoreObjectSerializer)
    def post(self, request: Request) -> Response:
        body = self.parse(CreateVectorStoreRequestSerializer)
        with transaction.atomic():
            store = actions.create_store(
                tenant=self.tenant,
                name=body["name"],
                description=body["description"],
                file_ids=body["file_ids"],
                expires_after_days=days_of(body),
                chunking=body["chunking_strategy"],
                metadata=body["metadata"],
            )
            log.record_row(store, "created", after={"name": store.name, "files": len(body["file_ids"])})
        return Response(store_objects([store])[0])


class VectorStoreDetailView(WireView):
    resource = "vector_stores"
    operation_ids = {"GET": "getVectorStore", "POST": "modifyVectorStore", "DELETE": "deleteVectorStore"}

    @extend_schema(responses=VectorStoreObjectSerializer)
    def get(self, request: Request, vector_store_id: str) -> Response:
        return Response(store_objects([actions.stores_of(self.tenant).fetch(vector_store_id)])[0])

    @extend_schema(request=UpdateVectorStoreRequestSerializer, responses=VectorStoreObjectSerializer)
    def post(self, request: Request, vector_store_id: str) -> Response:
        actions.fetch_usable(self.tenant, vector_store_id)  # before the body is judged
        changes = self.parse(UpdateVectorStoreRequestSerializer, partial=True)
        if "expires_after" in changes:
            changes["expires_after_days"] = days_of(changes)
            del changes["expires_after"]
        store = actions.modify_store(tenant=self.tenant, store_id=vector_store_id, changes=changes)
        return Response(store_objects([store])[0])

    @extend_schema(request=None, responses=DeletedSerializer)
    def delete(self, request: Request, vector_store_id: str) -> Response:
        actions.delete_store(tenant=self.tenant, store_id=vector_store_id)
        return Response({"id": vector_store_id, "object": "vector_store.deleted", "deleted": True})


class SearchView(WireView):
    resource = "vector_stores"
    deeds = {"POST": "read"}
    operation_ids = {"POST": "searchVectorStore"}
    keeps_answers = False

    @extend_schema(request=VectorStoreSearchRequestSerializer, responses=SEARCH_PAGE)
    def post(self, request: Request, vector_store_id: str) -> HttpResponseBase:
        store = actions.fetch_usable(self.tenant, vector_store_id)
        body = self.parse(VectorStoreSearchRequestSerializer)
        actions.touch([store])
        return LateResponse(querying.answering(store, body, request._request))


# --- Files -----------------------------------------------------------------------------------------------------------


class StoreFileListView(WireView):
    resource = "vector_stores"
    operation_ids = {"GET": "listVectorStoreFiles", "POST": "createVectorStoreFile"}

    @extend_schema(parameters=page_parameters(_FILTER), responses=_FILES)
    def get(self, request: Request, vector_store_id: str) -> Response:
        VectorStore.objects.of(self.tenant).only("pk").fetch(vector_store_id)
        rows = StoreFile.objects.of(self.tenant).filter(vector_store_id=vector_store_id)
        return Response(file_page(rows, request, vector_store_id))

    @extend_schema(request=CreateVectorStoreFileRequestSerializer, responses=VectorStoreFileObjectSerializer)
    def post(self, request: Request, vector_store_id: str) -> Response:
        store = actions.fetch_usable(self.tenant, vector_store_id)
        entry = entry_of(self.parse(CreateVectorStoreFileRequestSerializer))
        [row] = actions.add_files(store=store, entries=[entry])
        return polled(VectorStoreFileObjectSerializer.of(row))


class StoreFileDetailView(WireView):
    resource = "vector_stores"
    operation_ids = {
        "GET": "getVectorStoreFile",
        "POST": "updateVectorStoreFileAttributes",
        "DELETE": "deleteVectorStoreFile",
    }

    @extend_schema(responses=VectorStoreFileObjectSerializer)
    def get(self, request: Request, vector_store_id: str, file_id: str) -> Response:
        return polled(VectorStoreFileObjectSerializer.of(actions.fetch_file(self.tenant, vector_store_id, file_id)))

    @extend_schema(request=UpdateVectorStoreFileAttributesRequestSerializer, responses=VectorStoreFileObjectSerializer)
    def post(self, request: Request, vector_store_id: str, file_id: str) -> Response:
        actions.fetch_usable(self.tenant, vector_store_id)
        row = actions.fetch_file(self.tenant, vector_store_id, file_id)
        row.change(**self.parse(UpdateVectorStoreFileAttributesRequestSerializer))
        return polled(VectorStoreFileObjectSerializer.of(row))

    @extend_schema(request=None, responses=DeletedSerializer)
    def delete(self, request: Request, vector_store_id: str, file_id: str) -> Response:
        actions.remove_file(tenant=self.tenant, store_id=vector_store_id, file_id=file_id)
        return Response({"id": file_id, "object": "vector_store.file.deleted", "deleted": True})


class StoreFileContentView(WireView):
    resource = "vector_stores"
    operation_ids = {"GET": "retrieveVectorStoreFileContent"}

    @extend_schema(responses=CONTENT_PAGE)
    def get(self, request: Request, vector_store_id: str, file_id: str) -> Response:
        row = actions.fetch_file(self.tenant, vector_store_id, file_id)
        text = ParsedText.objects.of(self.tenant).filter(store_file=row).values_list("text", flat=True).first()
        if text is None or row.status != StoreFileStatus.COMPLETED:
            raise InvalidRequest(
                f"File '{file_id}' in vector store '{vector_store_id}' has no content: its status is '{row.status}'."
            )
        return Response(
            {
                "object": "vector_store.file_content.page",
                "data": [{"type": "text", "text": text}],
                "has_more": False,
                "next_page": None,
            }
        )


def file_page(rows: TenantQuerySet[StoreFile], request: Request, store_id: str) -> dict[str, Any]:
    """A page of a store's or batch's files; its cursors are the ids of files."""
    query = PageQuery.of(request.query_params)
    status = one_of(request.query_params, "filter", *StoreFileStatus.values)
    cursors = {file_id for file_id in (query.after, query.before) if file_id}
    places = dict(rows.filter(file_id__in=cursors).values_list("file_id", "pk")) if cursors else {}
    for file_id in cursors - places.keys():
        raise actions.not_in_store(file_id, store_id)
    translated = PageQuery(
        limit=query.limit,
        descending=query.descending,
        after=places[query.after] if query.after else None,
        before=places[query.before] if query.before else None,
    )
    return page(rows.filter(status=status) if status else rows, translated, VectorStoreFileObjectSerializer.of)


# --- Batches ---------------------------------------------------------------------------------------------------------


def batch_answer(batch: FileBatch) -> Response:
    return polled(VectorStoreFileBatchObjectSerializer.of(CountedBatch(batch, counts.of_batch(batch))))


class FileBatchListView(WireView):
    resource = "vector_stores"
    operation_ids = {"POST": "createVectorStoreFileBatch"}

    @extend_schema(request=CreateVectorStoreFileBatchRequestSerializer, responses=VectorStoreFileBatchObjectSerializer)
    def post(self, request: Request, vector_store_id: str) -> Response:
        actions.fetch_usable(self.tenant, vector_store_id)
        body = self.parse(CreateVectorStoreFileBatchRequestSerializer)
        shared = {name: body[name] for name in ("chunking_strategy", "attributes")}
        each = body["files"] or [{"file_id": file_id, **shared} for file_id in body["file_ids"]]
        batch = actions.create_batch(
            tenant=self.tenant, store_id=vector_store_id, entries=[entry_of(item) for item in each]
        )
        return batch_answer(batch)


class FileBatchDetailView(WireView):
    resource = "vector_stores"
    operation_ids = {"GET": "getVectorStoreFileBatch"}

    @extend_schema(responses=VectorStoreFileBatchObjectSerializer)
    def get(self, request: Request, vector_store_id: str, batch_id: str) -> Response:
        return batch_answer(actions.fetch_batch(self.tenant, vector_store_id, batch_id))


class CancelFileBatchView(WireView):
    resource = "vector_stores"
    operation_ids = {"POST": "cancelVectorStoreFileBatch"}

    @extend_schema(request=None, responses=VectorStoreFileBatchObjectSerializer)
    def post(self, request: Request, vector_store_id: str, batch_id: str) -> Response:
        batch = actions.cancel_batch(tenant=self.tenant, store_id=vector_store_id, batch_id=batch_id)
        return batch_answer(batch)


class FileBatchFilesView(WireView):
    resource = "vector_stores"
    operation_ids = {"GET": "listFilesInVectorStoreBatch"}

    @extend_schema(parameters=page_parameters(_FILTER), responses=_FILES)
    def get(self, request: Request, vector_store_id: str, batch_id: str) -> Response:
        batch = actions.fetch_batch(self.tenant, vector_store_id, batch_id)
        return Response(file_page(StoreFile.objects.of(self.tenant).filter(batches=batch), request, vector_store_id))
