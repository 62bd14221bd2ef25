"""Actions on the wire, in the shapes of Open Assistant API; and how tools name them."""

from typing import Any

from assistant_site.wire import grammar
from assistant_site.wire.fields import (
    Boolean,
    Constant,
    FreeObject,
    Metadata,
    ObjectSerializer,
    Plain,
    PlainObject,
    RequestField,
    RequestSerializer,
    Text,
    Union,
    UnixTime,
)


class DocumentSource(Union):
    """An OpenAPI document: an object, its text as JSON or YAML, or the address where it is."""

    shapes = (FreeObject(required=True), Text(least=1, required=True))

    def shape_of(self, value: Any) -> RequestField:
        if isinstance(value, str | dict):
            return self.shapes[1 if isinstance(value, str) else 0]
        raise grammar.wrong_type("an object or a string", value)


class ModifyActionRequestSerializer(RequestSerializer):
    openapi_schema = DocumentSource()
    authentication = FreeObject()
    use_for_everyone = Boolean(default=False)
    metadata = Metadata()


class CreateActionRequestSerializer(ModifyActionRequestSerializer):
    """`openapi_schema` is an OpenAPI document (3.0, 3.1 or Swagger 2.0), its text as JSON or YAML, or its address.

    `authentication` is `{"type": "none"}`, `{"type": "bearer", "secret"}`, `{"type": "basic", "secret"}`,
    `{"type": "custom", "content": {header: value}}`, `{"type": "api_key", "secret", "in", "name"}` or
    `{"type": "oauth2", "client_id", "client_secret", "token_url", "scope"}`.
    """

    openapi_schema = DocumentSource(required=True)


EXAMPLE = {  # what Swagger UI begins with
    "openapi_schema": {
        "openapi": "3.0.3",
        "info": {"title": "Weather", "version": "1"},
        "servers": [{"url": "https://weather.example.com"}],
        "paths": {
            "/cities/{city}": {
                "get": {
                    "operationId": "get_weather",
                    "summary": "The weather in a city.",
                    "parameters": [{"name": "city", "in": "path", "required": True, "schema": {"type": "string"}}],
                    "responses": {"200": {"description": "The weather."}},
                }
            }
        },
    },
    "authentication": {"type": "bearer", "secret": "the service's token"},
}


class RunActionRequestSerializer(RequestSerializer):
    parameters = FreeObject(default=dict)
    headers = FreeObject(default=dict)

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        for name, value in checked["headers"].items():
            if not isinstance(value, str):
                raise grammar.wrong_type("a string", value).under(name).under("headers")
        return checked


class ActionToolSerializer(RequestSerializer):
    type = Text(required=True)
    id = Text(required=True)


class ActionObjectSerializer(ObjectSerializer):
    id = Plain()
    object = Constant("action")
    name = Plain()
    description = Plain()
    operation_id = Plain()
    url = Plain()
    method = Plain()
    path_param_schema = PlainObject(allow_null=True)
    query_param_schema = PlainObject(allow_null=True)
    body_param_schema = PlainObject(allow_null=True)
    body_type = Plain()
    function_def = PlainObject()
    openapi_schema = PlainObject()
    authentication = PlainObject(source="shown_authentication")
    use_for_everyone = Boolean()
    extra = PlainObject()
    metadata = PlainObject()
    created_at = UnixTime()
    updated_at = UnixTime()
