"""Small documents for tests."""

from typing import Any

from tools.openapi import Document, Operation, read_document

SERVER = "https://api.example.com/v1"


def described(
    *parameters: dict[str, Any],
    path: str = "/things",
    method: str = "get",
    version: str = "3.0.3",
    components: dict[str, Any] | None = None,
    **operation: Any,
) -> dict[str, Any]:
    """A document of one operation."""
    given = {"responses": {"200": {"description": "Fine."}}} | operation
    if parameters:
        given["parameters"] = list(parameters)
    return {
        "openapi": version,
        "info": {"title": "Things", "version": "1"},
        "servers": [{"url": SERVER}],
        "paths": {path: {method: given}},
        "components": components or {},
    }


def operation(*parameters: dict[str, Any], **more: Any) -> Operation:
    return read_document(described(*parameters, **more)).operations[0]


def posting(schema: dict[str, Any], media_type: str = "application/json", **more: Any) -> Operation:
    """An operation with a body; `required`, `encoding` and what `described` takes."""
    media = {"schema": schema} | ({"encoding": more.pop("encoding")} if "encoding" in more else {})
    body = {"content": {media_type: media}, "required": more.pop("required", True)}
    return operation(method="post", requestBody=body, **more)


def parameter(name: str, where: str, schema: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    required = {"required": True} if where == "path" else {}
    return {"name": name, "in": where, "schema": schema or {"type": "string"}} | required | more


def swagger(*parameters: dict[str, Any], **more: Any) -> Document:
    """A Swagger 2.0 document of one operation."""
    given = {"parameters": list(parameters), "responses": {"200": {"description": "Fine."}}}
    return read_document(
        {
            "swagger": "2.0",
            "info": {"title": "Things", "version": "1"},
            "host": "api.example.com",
            "basePath": "/v1",
            "schemes": ["https"],
            "paths": {"/things": {"post": given}},
        }
        | more
    )
