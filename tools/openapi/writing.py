"""An operation as an OpenAPI document of its own, with its schemas in place and of bounded size."""

from typing import Any

from tools.openapi.operation import Body, Operation, Parameter, SecurityScheme


def openapi_of(operation: Operation, title: str = "", version: str = "") -> dict[str, Any]:
    """A document of this one operation; `read_document` makes the same operation of it.

    What answers look like is not in it.
    """
    described: dict[str, Any] = {"operationId": operation.operation_id, "description": operation.description}
    if operation.is_deprecated:
        described["deprecated"] = True
    if operation.parameters:
        described["parameters"] = [_parameter(each) for each in operation.parameters]
    if operation.body is not None:
        described["requestBody"] = _body(operation.body)
    described["responses"] = {"default": {"description": "Whatever the server answers."}}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": title or operation.operation_id, "version": version or "1"},
        "servers": [{"url": operation.server}],
        "paths": {operation.path: {operation.method.lower(): described}},
    }
    if operation.security:
        described["security"] = [{each.name: list(each.scopes) for each in way} for way in operation.security]
        schemes = {each.name: _scheme(each) for way in operation.security for each in way}
        document["components"] = {"securitySchemes": schemes}
    return document


def _parameter(parameter: Parameter) -> dict[str, Any]:
    written: dict[str, Any] = {"name": parameter.name, "in": parameter.where}
    if parameter.required:
        written["required"] = True
    if parameter.is_json:
        return written | {"content": {"application/json": {"schema": parameter.schema}}}
    written |= {"style": parameter.style, "explode": parameter.explode}
    if parameter.allow_reserved:
        written["allowReserved"] = True
    return written | {"schema": parameter.schema}


def _body(body: Body) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": body.schema}
    encoding: dict[str, dict[str, Any]] = {}
    for each in body.fields:
        how: dict[str, Any] = {}
        if each.style:
            how = {"style": each.style, "explode": each.explode}
        if each.allow_reserved:
            how["allowReserved"] = True
        if each.content_type:
            how["contentType"] = each.content_type
        if how:
            encoding[each.name] = how
    if encoding:
        media["encoding"] = encoding
    return {"required": body.required, "content": {body.media_type: media}}


def _scheme(scheme: SecurityScheme) -> dict[str, Any]:
    written: dict[str, Any] = {"type": scheme.type}
    if scheme.type == "http":
        written["scheme"] = scheme.scheme
    elif scheme.type == "apiKey":
        written |= {"in": scheme.where, "name": scheme.key}
    elif scheme.type == "oauth2":
        flow = {"tokenUrl": scheme.token_url, "scopes": dict.fromkeys(scheme.scopes, "")}
        written["flows"] = {"clientCredentials": flow} if scheme.token_url else {}
    elif scheme.type == "openIdConnect":
        written["openIdConnectUrl"] = scheme.token_url or "https://unknown.invalid/"
    return written
