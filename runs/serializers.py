"""Runs and steps on the wire."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from rest_framework import serializers

from assistant_site.wire import grammar
from assistant_site.wire.fields import (
    Boolean,
    ByType,
    Constant,
    Decimal,
    Integer,
    ListOf,
    Metadata,
    ObjectSerializer,
    OneOf,
    OneUnlessSet,
    Plain,
    PlainList,
    PlainObject,
    RequestField,
    RequestSerializer,
    Text,
    Union,
    UnixTime,
)
from assistant_site.wire.tools import (
    NAME_PATTERN,
    REASONING_EFFORTS,
    NewToolResourcesSerializer,
    ResponseFormat,
    tools_field,
)
from threads.serializers import CreateMessageRequestSerializer, CreateThreadRequestSerializer
from tools.file_search import without_content

if TYPE_CHECKING:
    from runs.models import RunStep

INCLUDABLE = ("step_details.tool_calls[*].file_search.results[*].content",)


class TruncationObjectSerializer(RequestSerializer):
    type = OneOf("auto", "last_messages", required=True)
    last_messages = Integer(low=1)

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        if checked["type"] == "last_messages" and checked["last_messages"] is None:
            raise grammar.missing("last_messages")
        return checked


class NamedToolSerializer(RequestSerializer):
    type = Text(required=True)


class NamedFunctionSerializer(RequestSerializer):
    name = Text(most=64, least=1, pattern=NAME_PATTERN, required=True)


class NamedToolChoiceFunctionSerializer(RequestSerializer):
    type = Text(required=True)
    function = NamedFunctionSerializer(required=True)


class ToolChoice(Union):
    """`none`, `auto`, `required`, or one tool by name."""

    shapes = (
        OneOf("none", "auto", "required"),
        ByType(
            {
                "function": NamedToolChoiceFunctionSerializer,
                "file_search": NamedToolSerializer,
                "code_interpreter": NamedToolSerializer,
            }
        ),
    )

    def shape_of(self, value: Any) -> RequestField:
        return self.shapes[0 if isinstance(value, str) else 1]


def automatic_truncation() -> dict[str, Any]:
    return {"type": "auto", "last_messages": None}


class RunSettingsSerializer(RequestSerializer):
    """What both ways of creating a run take."""

    assistant_id = Text(id_word="asst", required=True)
    model = Text(most=256, least=1)
    instructions = Text(most=256_000)
    tools: ListOf = tools_field()
    metadata = Metadata()
    temperature = Decimal(low=0, high=2)
    top_p = Decimal(low=0, high=1)
    stream = Boolean(default=False)
    max_prompt_tokens = Integer(low=256)
    max_completion_tokens = Integer(low=256)
    truncation_strategy = TruncationObjectSerializer(default=automatic_truncation)
    tool_choice = ToolChoice(default="auto")
    parallel_tool_calls = Boolean(default=True)
    response_format = ResponseFormat()


class CreateRunRequestSerializer(RunSettingsSerializer):
    additional_instructions = Text(most=256_000)
    reasoning_effort = OneOf(*REASONING_EFFORTS)
    additional_messages = ListOf(CreateMessageRequestSerializer(required=True), default=list)


class CreateThreadAndRunRequestSerializer(RunSettingsSerializer):
    thread = CreateThreadRequestSerializer()
    tool_resources = NewToolResourcesSerializer(default=dict)


class ModifyRunRequestSerializer(RequestSerializer):
    metadata = Metadata()


class ToolOutputSerializer(RequestSerializer):
    tool_call_id = Text(required=True)
    output = Text(default="")


class SubmitToolOutputsRunRequestSerializer(RequestSerializer):
    tool_outputs = ListOf(ToolOutputSerializer(required=True), required=True)
    stream = Boolean(default=False)


class RunObjectSerializer(ObjectSerializer):
    id = Plain()
    object = Constant("thread.run")
    created_at = UnixTime()
    assistant_id = Plain()
    thread_id = Plain()
    status = Plain()
    started_at = UnixTime(allow_null=True)
    expires_at = UnixTime(allow_null=True, source="wire_expires_at")
    cancelled_at = UnixTime(allow_null=True)
    failed_at = UnixTime(allow_null=True)
    completed_at = UnixTime(allow_null=True)
    required_action = PlainObject(allow_null=True)
    last_error = PlainObject(allow_null=True)
    model = Plain()
    instructions = Plain(allow_null=True)
    tools = PlainList()
    tool_resources = PlainObject()
    metadata = PlainObject()
    temperature = OneUnlessSet()
    top_p = OneUnlessSet()
    reasoning_effort = Plain(allow_null=True)
    max_completion_tokens = serializers.IntegerField(allow_null=True)
    max_prompt_tokens = serializers.IntegerField(allow_null=True)
    truncation_strategy = PlainObject()
    incomplete_details = PlainObject(allow_null=True)
    usage = PlainObject(allow_null=True)
    response_format = PlainObject()
    tool_choice = PlainObject()
    parallel_tool_calls = serializers.BooleanField()


class RunStepObjectSerializer(ObjectSerializer):
    id = Plain()
    object = Constant("thread.run.step")
    created_at = UnixTime()
    run_id = Plain()
    assistant_id = Plain()
    thread_id = Plain()
    type = Plain()
    status = Plain()
    cancelled_at = UnixTime(allow_null=True)
    completed_at = UnixTime(allow_null=True)
    expired_at = UnixTime(allow_null=True)
    expires_at = UnixTime(allow_null=True)
    failed_at = UnixTime(allow_null=True)
    last_error = PlainObject(allow_null=True)
    step_details = PlainObject()
    metadata = PlainObject()
    usage = PlainObject(allow_null=True)


def step_object(step: "RunStep", include: Collection[str]) -> dict[str, Any]:
    """A step as it is answered and told. What a search found comes with its texts only if `include` asks for them."""
    told = RunStepObjectSerializer.of(step)
    if not include and step.type == "tool_calls":
        told["step_details"] = without_content(told["step_details"])
    return told
