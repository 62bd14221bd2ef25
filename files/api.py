"""`/files` and `/uploads`."""

from django.conf import settings
from django.http import HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from assistant_site.wire.errors import InvalidRequest
from assistant_site.wire.grammar import Fault
from assistant_site.wire.lists import PageQuery, one_of, page, single, whole_number
from assistant_site.wire.pages import DeletedSerializer, list_of
from assistant_site.wire.rest import WireView
from files import actions, forms, storage, uploads
from files.models import Purpose, Upload
from files.serializers import (
    AddUploadPartRequestSerializer,
    CompleteUploadRequestSerializer,
    CreateFileRequestSerializer,
    CreateUploadRequestSerializer,
    OpenAIFileSerializer,
    UploadPartSerializer,
    UploadSerializer,
    file_fields,
)

MOST_LISTED = 10_000
PASSING = "X-Holdfast-Download"
# What the hosted API did not give back to those who had sent it; files of all other purposes it did.
NOT_GIVEN_BACK = (Purpose.ASSISTANTS, Purpose.USER_DATA, Purpose.VISION)


def file_page(request: Request) -> PageQuery:
    query = request.query_params
    try:
        limit = whole_number(query, "limit", default=MOST_LISTED, low=1, high=MOST_LISTED)
    except Fault as fault:
        if fault.code not in ("integer_above_max_value", "integer_below_min_value"):
            raise
        raise InvalidRequest(f"limit must be between 1 and {MOST_LISTED}.", param="limit") from None
    return PageQuery(limit, one_of(query, "order", "asc", "desc") != "asc", single(query, "after"))


class FileListView(WireView):
    resource = "files"
    operation_ids = {"GET": "listFiles", "POST": "createFile"}

    @extend_schema(
        parameters=[
            OpenApiParameter("purpose", str, description="Only files of this purpose."),
            OpenApiParameter("limit", int, description="1 to 10,000, which is the default."),
            OpenApiParameter("order", str, enum=["asc", "desc"]),
            OpenApiParameter("after", str, description="A file's id: what follows it in the order asked for."),
        ],
        responses=list_of(OpenAIFileSerializer),
    )
    def get(self, request: Request) -> Response:
        query, purpose = file_page(request), single(request.query_params, "purpose")
        files = actions.files_of(self.tenant)
        if purpose:
            files = files.filter(purpose=purpose)
        return Response(page(files, query, OpenAIFileSerializer.of))

    @extend_schema(request={"multipart/form-data": CreateFileRequestSerializer}, responses=OpenAIFileSerializer)
    def post(self, request: Request) -> Response:
        with forms.received(request._request, field="file", most=settings.MAX_FILE_BYTES) as form:
            fields = file_fields(form.texts, timezone.now())
        file = actions.keep_file(tenant=self.tenant, filename=form.filename, stored=form.stored, **fields)
        return Response(OpenAIFileSerializer.of(file))


class FileDetailView(WireView):
    resource = "files"
    operation_ids = {"GET": "retrieveFile", "DELETE": "deleteFile"}

    @extend_schema(responses=OpenAIFileSerializer)
    def get(self, request: Request, file_id: str) -> Response:
        return Response(OpenAIFileSerializer.of(actions.fetch_file(self.tenant, file_id)))

    @extend_schema(request=None, responses=DeletedSerializer)
    def delete(self, request: Request, file_id: str) -> Response:
        actions.delete_file(tenant=self.tenant, file_id=file_id)
        return Response({"id": file_id, "object": "file", "deleted": True})


class FileContentView(WireView):
    resource = "files"
    operation_ids = {"GET": "downloadFile"}

    @extend_schema(
        parameters=[
            OpenApiParameter(
                PASSING,
                str,
                OpenApiParameter.HEADER,
                enum=["through"],
                description="Have the bytes from this server, where it would answer with a redirect to its bucket.",
            )
        ],
        responses={
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
            302: OpenApiResponse(description="Where the operator wants it: the bytes are at `Location` for a while."),
        },
    )
    def get(self, request: Request, file_id: str) -> HttpResponseBase:
        file = actions.fetch_file(self.tenant, file_id)
        if not settings.FILES_DOWNLOAD and file.purpose in NOT_GIVEN_BACK:
            raise InvalidRequest(f"Not allowed to download files of purpose: {file.purpose}")
        seconds = settings.S3_SIGNED_DOWNLOADS_SECONDS
        is_through = not seconds or request.headers.get(PASSING, "").lower() == "through"
        if not is_through and (address := storage.link(file, seconds)):
            return HttpResponseRedirect(address, headers={"Cache-Control": "no-store"})
        response = StreamingHttpResponse(
            storage.Streamed(file.blob, file.bytes), content_type="application/octet-stream"
        )
        response.headers["Content-Length"] = str(file.bytes)
        response.headers["Content-Disposition"] = content_disposition_header(True, file.filename) or "attachment"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


class UploadListView(WireView):
    resource = "files"
    operation_ids = {"POST": "createUpload"}

    @extend_schema(request=CreateUploadRequestSerializer, responses=UploadSerializer)
    def post(self, request: Request) -> Response:
        body = self.parse(CreateUploadRequestSerializer)
        expiry = body.pop("expires_after")
        upload = uploads.create_upload(
            tenant=self.tenant, file_expires_after=expiry["seconds"] if expiry else None, **body
        )
        return Response(UploadSerializer.of(upload))


class UploadPartListView(WireView):
    resource = "files"
    operation_ids = {"POST": "addUploadPart"}

    @extend_schema(request={"multipart/form-data": AddUploadPartRequestSerializer}, responses=UploadPartSerializer)
    def post(self, request: Request, upload_id: str) -> Response:
        uploads.refuse_unless_pending(Upload.objects.of(self.tenant).fetch(upload_id), "add parts to")
        with forms.received(request._request, field="data", most=settings.MAX_PART_BYTES) as form:
            form.refuse_texts()
        part = uploads.add_part(tenant=self.tenant, upload_id=upload_id, stored=form.stored)
        return Response(UploadPartSerializer.of(part))


class CompleteUploadView(WireView):
    resource = "files"
    operation_ids = {"POST": "completeUpload"}

    @extend_schema(request=CompleteUploadRequestSerializer, responses=UploadSerializer)
    def post(self, request: Request, upload_id: str) -> Response:
        body = self.parse(CompleteUploadRequestSerializer)
        upload = uploads.complete_upload(tenant=self.tenant, upload_id=upload_id, **body)
        return Response(UploadSerializer.of(upload))


class CancelUploadView(WireView):
    resource = "files"
    operation_ids = {"POST": "cancelUpload"}

    @extend_schema(request=None, responses=UploadSerializer)
    def post(self, request: Request, upload_id: str) -> Response:
        return Response(UploadSerializer.of(uploads.cancel_upload(tenant=self.tenant, upload_id=upload_id)))
