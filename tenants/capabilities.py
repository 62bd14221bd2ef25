"""What is refused because a model is known not to have it. What nobody has said of a model is allowed."""

from collections.abc import Collection
from typing import Any

from assistant_site.wire.errors import InvalidRequest
from tenants import routes

FIELDS = ("model", "tools", "response_format")


def judge_model(
    tenant_id: str, *, model: str, tools: list[dict[str, Any]], response_format: Any, given: Collection[str]
) -> None:
    """Raises `InvalidRequest` for tools or a JSON schema with a model whose profile says that it has none.

    `given` are the fields that the request names: what it does not name it cannot change, so then the model is at
    fault. Reads the database.
    """
    directory = routes.directory_of(tenant_id)
    profile = directory.profile(model)
    if profile.has_tools is False and tools:
        raise _refused(directory.upstream_name(model), model, "tools", "tools", given)
    is_schema = isinstance(response_format, dict) and response_format.get("type") == "json_schema"
    if profile.has_json_schema is False and is_schema:
        raise _refused(directory.upstream_name(model), model, "response_format", "answers by a JSON schema", given)


def _refused(theirs: str, model: str, field: str, what: str, given: Collection[str]) -> InvalidRequest:
    named = f"'{model}'" if theirs == model else f"'{model}' ('{theirs}')"
    if field in given:
        message = f"Unsupported parameter: '{field}' is not supported with this model: {named} has no {what}."
        return InvalidRequest(message, code="unsupported_parameter", param=field)
    message = f"Invalid 'model': {named} has no {what}, and '{field}' asks for them."
    return InvalidRequest(message, code="unsupported_model", param="model")
