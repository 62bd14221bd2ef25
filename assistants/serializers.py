"""Assistants on the wire."""

from typing import Any

from assistant_site.wire.fields import (
    Constant,
    Decimal,
    FreeObject,
    Integer,
    ListOf,
    Metadata,
    ObjectSerializer,
    OneOf,
    OneUnlessSet,
    Plain,
    PlainObject,
    RequestSerializer,
    Text,
    UnixTime,
)
from assistant_site.wire.grammar import Fault
from assistant_site.wire.rest import prepared
from assistant_site.wire.tool_types import Tools, tools_field
from assistant_site.wire.tools import (
    REASONING_EFFORTS,
    NewToolResourcesSerializer,
    ResponseFormat,
    ToolResourcesSerializer,
)


class MemorySerializer(RequestSerializer):
    type = OneOf("naive", "zero", "window", required=True)
    window_size = Integer(low=1)
    max_token_size = Integer(low=1)


class AssistantMetadata(Metadata):
    """Metadata, in which `memory` may be an object, as in Open Assistant API; it is kept as it was given."""

    def check(self, value: Any) -> dict[str, Any]:
        memory = value.get("memory") if isinstance(value, dict) else None
        if not isinstance(memory, dict):
            return super().check(value)
        super().check({**value, "memory": ""})
        try:
            prepared(MemorySerializer, False).run_validation(memory)
        except Fault as fault:
            raise fault.under("memory") from None
        return dict(value)


class ExtraBodySerializer(RequestSerializer):
    """What Open Assistant API takes beside OpenAI's fields: parameters that go to the model as they are."""

    model_params = FreeObject()

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in checked.items() if value is not None}


class ModifyAssistantRequestSerializer(RequestSerializer):
    model = Text(most=256, least=1)
    name = Text(most=256)
    description = Text(most=512)
    instructions = Text(most=256_000)
    tools: ListOf = tools_field(default=list)
    tool_resources = ToolResourcesSerializer(default=dict)
    metadata = AssistantMetadata()
    temperature = Decimal(low=0, high=2)
    top_p = Decimal(low=0, high=1)
    reasoning_effort = OneOf(*REASONING_EFFORTS)
    response_format = ResponseFormat(default="auto")
    extra_body = ExtraBodySerializer(default=dict)

    NOT_CLEARABLE = ("model", "tools")

    def run_validation(self, data: Any = None) -> Any:
        """Null for what cannot be empty means "not given"; litellm and others send such nulls."""
        if self.partial and isinstance(data, dict):
            data = {k: v for k, v in data.items() if v is not None or k not in self.NOT_CLEARABLE}
        return super().run_validation(data)


class CreateAssistantRequestSerializer(ModifyAssistantRequestSerializer):
    model = Text(most=256, least=1, required=True)
    tool_resources = NewToolResourcesSerializer(default=dict)


class AssistantObjectSerializer(ObjectSerializer):
    id = Plain()
    object = Constant("assistant")
    created_at = UnixTime()
    name = Plain(allow_null=True)
    description = Plain(allow_null=True)
    model = Plain()
    instructions = Plain(allow_null=True)
    tools = Tools()
    tool_resources = PlainObject(source="wire_tool_resources")
    metadata = PlainObject()
    temperature = OneUnlessSet()
    top_p = OneUnlessSet()
    reasoning_effort = Plain(allow_null=True)
    response_format = PlainObject()

    @classmethod
    def of(cls, row: Any) -> dict[str, Any]:
        """Without `extra_body`, which OpenAI's assistants do not have, unless it was given."""
        wire = super().of(row)
        return wire | ({"extra_body": row.extra_body} if row.extra_body else {})
