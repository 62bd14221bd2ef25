"""Vector stores, their files and batches on the wire."""

from typing import Any

from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers

from assistant_site.wire import grammar
from assistant_site.wire.chunking import Attributes, Chunking, chunking_field
from assistant_site.wire.fields import (
    Boolean,
    Constant,
    Decimal,
    Integer,
    ListOf,
    Metadata,
    ObjectSerializer,
    OneOf,
    Plain,
    PlainObject,
    RequestField,
    RequestSerializer,
    Text,
    Union,
    UnixTime,
)
from assistant_site.wire.filters import AttributeFilter

MAX_FILES_AT_CREATION = 500
MAX_FILES_OF_BATCH = 2000
MAX_QUERIES = 50  # each is a search of its own, and holds up whoever searches next
RANKERS = ("none", "auto", "default-2024-11-15")

# --- Requests --------------------------------------------------------------------------------------------------------


class VectorStoreExpirationAfterSerializer(RequestSerializer):
    anchor = OneOf("last_active_at", required=True)
    days = Integer(low=1, high=365, required=True)


class UpdateVectorStoreRequestSerializer(RequestSerializer):
    name = Text(most=256)
    expires_after = VectorStoreExpirationAfterSerializer()
    metadata = Metadata()


class CreateVectorStoreRequestSerializer(UpdateVectorStoreRequestSerializer):
    description = Text()
    file_ids = ListOf(Text(least=1, required=True), most=MAX_FILES_AT_CREATION, default=list)
    chunking_strategy = chunking_field()


class CreateVectorStoreFileRequestSerializer(RequestSerializer):
    file_id = Text(least=1, required=True)
    chunking_strategy = chunking_field()
    attributes = Attributes()


class UpdateVectorStoreFileAttributesRequestSerializer(RequestSerializer):
    # Null empties them, as OpenAI's document allows for this field.
    attributes = Attributes(required=True)


class CreateVectorStoreFileBatchRequestSerializer(RequestSerializer):
    """Either `file_ids`, which share chunking and attributes, or `files`, each with its own."""

    file_ids = ListOf(Text(least=1, required=True), least=1, most=MAX_FILES_OF_BATCH)
    files = ListOf(CreateVectorStoreFileRequestSerializer(required=True), least=1, most=MAX_FILES_OF_BATCH)
    chunking_strategy = chunking_field()
    attributes = Attributes()

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        if checked["file_ids"] is not None and checked["files"] is not None:
            raise grammar.invalid_value(
                lambda path: "Invalid 'files': give either 'file_ids' or 'files', not both."
            ).under("files")
        if checked["files"] is None and checked["file_ids"] is None:
            raise grammar.missing("file_ids")
        return checked


class Query(Union):
    """A text or a list of texts; the result is a list."""

    shapes = (Text(least=1), ListOf(Text(least=1, required=True), least=1, most=MAX_QUERIES))

    def shape_of(self, value: Any) -> RequestField:
        if isinstance(value, str | list):
            return self.shapes[0 if isinstance(value, str) else 1]
        raise grammar.wrong_type("one of a string or array of strings", value)

    def check(self, value: Any) -> list[str]:
        checked = super().check(value)
        return [checked] if isinstance(checked, str) else checked


class VectorStoreRankingOptionsSerializer(RequestSerializer):
    ranker = OneOf(*RANKERS, default="auto")
    score_threshold = Decimal(low=0, high=1, default=0.0)


class VectorStoreSearchRequestSerializer(RequestSerializer):
    query = Query(required=True)
    rewrite_query = Boolean(default=False)
    max_num_results = Integer(low=1, high=50, default=10)
    filters = AttributeFilter()
    ranking_options = VectorStoreRankingOptionsSerializer()


# --- Objects ---------------------------------------------------------------------------------------------------------


@extend_schema_field(
    {
        "type": "object",
        "properties": {
            name: {"type": "integer"} for name in ("in_progress", "completed", "failed", "cancelled", "total")
        },
    }
)
class FileCounts(PlainObject):
    pass


class VectorStoreObjectSerializer(ObjectSerializer):
    """Made from a `counts.CountedStore`."""

    id = Plain(source="store.id")
    object = Constant("vector_store")
    created_at = UnixTime(source="store.created_at")
    name = Plain(source="store.name", allow_null=True)
    description = Plain(source="store.description", allow_null=True)
    usage_bytes = serializers.IntegerField(source="counts.usage_bytes")
    file_counts = FileCounts(source="counts.wire")
    status = Plain()
    expires_after = PlainObject(allow_null=True)
    expires_at = UnixTime(allow_null=True)
    last_active_at = UnixTime(source="store.last_active_at")
    metadata = PlainObject(source="store.metadata")
    ranking = Plain(help_text="An extension: `hybrid` if searches compare meanings too, `keyword` if only words.")


class ChunkingStrategyField(PlainObject):
    def get_attribute(self, instance: Any) -> dict[str, Any]:
        return Chunking(instance.max_chunk_size_tokens, instance.chunk_overlap_tokens).wire


class VectorStoreFileObjectSerializer(ObjectSerializer):
    """Made from a `StoreFile`, whose id on the wire is its file's."""

    id = Plain(source="file_id")
    object = Constant("vector_store.file")
    usage_bytes = serializers.IntegerField()
    created_at = UnixTime()
    vector_store_id = Plain()
    status = Plain()
    last_error = PlainObject(allow_null=True)
    chunking_strategy = ChunkingStrategyField()
    attributes = PlainObject()


class VectorStoreFileBatchObjectSerializer(ObjectSerializer):
    """Made from a `counts.CountedBatch`."""

    id = Plain(source="batch.id")
    object = Constant("vector_store.files_batch")
    created_at = UnixTime(source="batch.created_at")
    vector_store_id = Plain(source="batch.vector_store_id")
    status = Plain()
    file_counts = FileCounts(source="counts.wire")


class TextPartSerializer(serializers.Serializer):  # type: ignore[type-arg]
    type = serializers.CharField()
    text = serializers.CharField()


def _page_of(name: str, data: serializers.Serializer, **more: serializers.Field) -> serializers.Serializer:  # type: ignore[type-arg]
    """A description of pages that are no lists of objects."""
    return inline_serializer(
        name,
        {
            "object": serializers.CharField(),
            **more,
            "data": data,
            "has_more": serializers.BooleanField(),
            "next_page": serializers.CharField(allow_null=True),
        },
    )


class VectorStoreSearchResultItemSerializer(serializers.Serializer):  # type: ignore[type-arg]
    file_id = serializers.CharField()
    filename = serializers.CharField()
    score = serializers.FloatField()
    attributes = PlainObject()
    content = TextPartSerializer(many=True)


CONTENT_PAGE = _page_of("VectorStoreFileContentResponse", TextPartSerializer(many=True))
SEARCH_PAGE = _page_of(
    "VectorStoreSearchResultsPage",
    VectorStoreSearchResultItemSerializer(many=True),
    search_query=serializers.ListField(child=serializers.CharField()),
)
