"""The OpenAPI description: how our fields look in it, and that each path stands in it once."""

import re
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

from assistant_site.wire.headers import IDEMPOTENCY_KEY


class WireSchema(AutoSchema):
    """drf-spectacular's reading of our views."""

    def get_operation_id(self) -> str:
        """OpenAI's own operation id, when the view names it."""
        named = getattr(self.view, "operation_ids", {})
        return str(named.get(self.method, super().get_operation_id()))

    def get_summary(self) -> str:
        """The operation id as words: `createThreadAndRun` becomes "Create thread and run"."""
        words = re.sub(r"(?<!^)(?=[A-Z])", " ", self.get_operation_id()).lower()
        return words.replace("ouputs", "outputs").capitalize()  # OpenAI's own id has the slip

    def get_response_serializers(self) -> Any:
        """A DELETE answers 200 with the id of what is gone; by default it would be described as an empty 204."""
        declared = super().get_response_serializers()
        return {200: declared} if self.method == "DELETE" and not isinstance(declared, dict) else declared

    def get_override_parameters(self) -> list[Any]:
        """Beside the view's own: the header that every POST takes, but those which make nothing here."""
        if self.method != "POST" or not getattr(self.view, "keeps_answers", True):
            return []
        return [
            OpenApiParameter(
                IDEMPOTENCY_KEY,
                str,
                OpenApiParameter.HEADER,
                description="An extension: a repetition of the request with the same key gets the same answer.",
            )
        ]

    def get_tags(self) -> list[str]:
        return [self.path.removeprefix("/v1/").split("/")[0].replace("_", " ").capitalize()]


class ByTypeExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "assistant_site.wire.fields.ByType"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        shapes = []
        for name, serializer in self.target.shapes.items():
            shape = auto_schema._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
            shape["properties"]["type"] = {"type": "string", "enum": [name]}
            shapes.append(shape)
        return {"oneOf": shapes}


class UnionExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "assistant_site.wire.fields.Union"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        shapes = [auto_schema._map_serializer_field(shape, direction) for shape in self.target.shapes]  # type: ignore[no-untyped-call]
        return {"oneOf": shapes}


class BearerExtension(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tenants.auth.BearerAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


def one_prefix(endpoints: list[Any]) -> list[Any]:
    """Keeps `/v1/…`: `/api/v1/…` is the same, and what lies elsewhere is not part of the API."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/v1/")]


_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": "string", "nullable": True},
                "code": {"type": "string", "nullable": True},
            },
        }
    },
}


def with_errors(result: dict[str, Any], **generation: Any) -> dict[str, Any]:
    """Adds the error envelope to every operation: it is the same everywhere."""
    result["components"]["schemas"]["ErrorResponse"] = _ERROR
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}}
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"]["default"] = {"description": "Every failure.", "content": content}
    return result


def classes_without_documentation() -> list[type]:
    """Base classes whose docstrings are for us, not for callers."""
    from drf_spectacular.plumbing import get_lib_doc_excludes

    from assistant_site.wire.fields import ObjectSerializer, RequestSerializer
    from assistant_site.wire.rest import WireView

    ours: list[type] = [WireView, RequestSerializer, ObjectSerializer]
    return [*get_lib_doc_excludes(), *ours]  # type: ignore[no-untyped-call]
