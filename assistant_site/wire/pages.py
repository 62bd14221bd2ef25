"""How list pages and deletions look in the OpenAPI description."""

from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers

from assistant_site.wire.fields import ObjectSerializer


class DeletedSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.CharField()
    object = serializers.CharField()
    deleted = serializers.BooleanField()


def list_of(item: type[ObjectSerializer]) -> serializers.Serializer:  # type: ignore[type-arg]
    noun = item.__name__.removesuffix("Serializer").removesuffix("Object")
    return inline_serializer(
        f"List{noun}sResponse",
        {
            "object": serializers.CharField(),
            "data": item(many=True),
            "first_id": serializers.CharField(allow_null=True),
            "last_id": serializers.CharField(allow_null=True),
            "has_more": serializers.BooleanField(),
        },
    )


def page_parameters(*more: OpenApiParameter) -> list[OpenApiParameter]:
    return [
        OpenApiParameter("limit", int, description="1 to 100."),
        OpenApiParameter("order", str, enum=["asc", "desc"]),
        OpenApiParameter("after", str, description="An object's id: what follows it in the order asked for."),
        OpenApiParameter("before", str, description="An object's id: what precedes it in the order asked for."),
        *more,
    ]
