"""How an `mcp` tool is written in requests: as OpenAI's hosted API has it elsewhere. Credentials are sealed at once."""

import re
from typing import Any
from urllib.parse import urlsplit

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from assistant_site.wire import grammar
from assistant_site.wire.fields import (
    Boolean,
    ListOf,
    OneOf,
    RequestField,
    RequestSerializer,
    Text,
    Union,
    storable,
)
from assistant_site.wire.tool_types import SEALED
from tools.mcp import headers
from tools.mcp.models import LABEL, MOST_LABEL, MOST_URL, URL

MOST_NAMES = 128
MOST_TOKEN = headers.MOST_VALUE - len("Bearer ")


class McpToolFilterSerializer(RequestSerializer):
    tool_names = ListOf(Text(least=1, most=256, required=True), most=MOST_NAMES)
    read_only = Boolean()  # type: ignore[assignment]  # the API's name for it

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in checked.items() if value is not None}


class AllowedTools(Union):
    """A list of names, or a filter."""

    shapes = (ListOf(Text(least=1, most=256, required=True), most=MOST_NAMES), McpToolFilterSerializer())

    def shape_of(self, value: Any) -> RequestField:
        return self.shapes[0 if isinstance(value, list) else 1]


class McpApprovalFilterSerializer(RequestSerializer):
    always = McpToolFilterSerializer()
    never = McpToolFilterSerializer()

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in checked.items() if value is not None}


class RequireApproval(Union):
    """One word for all tools, or a filter for each word."""

    shapes = (OneOf("always", "never"), McpApprovalFilterSerializer())

    def shape_of(self, value: Any) -> RequestField:
        return self.shapes[0 if isinstance(value, str) else 1]


@extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
class Headers(RequestField, serializers.JSONField):
    """Names and values, of which none is shown again."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, allow_null=True, write_only=True, **options)

    def check(self, value: Any) -> dict[str, str]:
        if not isinstance(value, dict):
            raise grammar.wrong_type("an object", value)
        for name, given in value.items():
            if not isinstance(given, str):
                raise grammar.wrong_type("a string", given).under(name)
        return checked_headers(value)


def checked_headers(given: dict[str, str]) -> dict[str, str]:
    try:
        return headers.checked(given)
    except headers.WrongHeader as problem:
        message = problem.message
    raise grammar.invalid_value(lambda path: f"Invalid '{path}': {message}")


class McpToolSerializer(RequestSerializer):
    """Without `server_url` it means the server that the operator has registered under its label."""

    # Stored is one encrypted text, `sealed`, in the place of `headers` and `authorization`: empty if the request says
    # that there are none, missing if it does not say.

    type = Text(required=True)
    server_label = Text(most=MOST_LABEL, least=1, pattern=LABEL, required=True)
    server_url = Text(most=MOST_URL, least=1)
    server_description = Text(most=1_024)
    headers = Headers()
    authorization = Text(most=MOST_TOKEN, write_only=True)
    allowed_tools = AllowedTools()
    require_approval = RequireApproval()
    connector_id = Text(write_only=True)
    tunnel_id = Text(write_only=True)

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        for hosted in ("connector_id", "tunnel_id"):
            if checked.pop(hosted, None) is not None:
                raise grammar.invalid_value(
                    lambda path: (
                        f"Invalid '{path}': only the hosted API reaches servers by it. Give the server's 'server_url', "
                        "or the 'server_label' of a server that is registered here."
                    )
                ).under(hosted)
        sealed = self._sealed(checked)
        kept = {name: value for name, value in checked.items() if value is not None}
        if "server_url" in kept:
            check_url(kept["server_url"])
            kept.setdefault("require_approval", "always")
        return kept | sealed

    def _sealed(self, checked: dict[str, Any]) -> dict[str, str]:
        given, token = checked.pop("headers", None), checked.pop("authorization", None)
        if given is None and token is None:
            return {}
        if checked.get("server_url") is None:
            raise grammar.invalid_value(
                lambda path: f"Invalid '{path}': a registered server has its own; give them with a 'server_url' only."
            ).under("headers" if given is not None else "authorization")
        given = dict(given or {})
        if token:
            if "authorization" in map(str.lower, given):
                raise grammar.invalid_value(
                    lambda path: f"Invalid '{path}': give either this or a header 'Authorization', not both."
                ).under("authorization")
            bearer = token if token.lower().startswith("bearer ") else f"Bearer {token}"
            given |= checked_token(bearer)
        return {SEALED: headers.sealed(given)}


def checked_token(value: str) -> dict[str, str]:
    try:
        return checked_headers({"Authorization": value})
    except grammar.Fault as fault:
        raise fault.under("authorization") from None


def check_url(url: str) -> None:
    """Refuses what can be no server's address. Where it leads is judged when it is connected to."""

    def refuse(what: str) -> grammar.Fault:
        return grammar.invalid_value(lambda path: f"Invalid '{path}': {what}").under("server_url")

    if not re.fullmatch(r"https?://.*", storable(url), re.S | re.I):
        raise refuse("an address that begins with http:// or https:// is expected.")
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        has_host = False
    if not has_host or not re.fullmatch(URL, url.replace(parts.scheme, parts.scheme.lower(), 1)):
        raise refuse("the address is not valid; it can have no user name, password or fragment in it.")
