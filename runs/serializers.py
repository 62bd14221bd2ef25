"""Runs and steps on the wire."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from rest_framework import serializers

from assistant_site.wire import grammar
from assistant_site.wire.fields import (
    Boolean,
    Constant,
    Decimal,
    FineTime,
    FreeObject,
    Integer,
    ListOf,
    Metadata,
    ObjectSerializer,
    OneOf,
    OneUnlessSet,
    Plain,
    PlainObject,
    RequestField,
    RequestSerializer,
    Text,
    Union,
    UnixTime,
)
from assistant_site.wire.tool_types import Tools, choice_shape, tools_field
from assistant_site.wire.tools import REASONING_EFFORTS, NewToolResourcesSerializer, ResponseFormat
from tenants.end_users import EndUserName
from threads.serializers import CreateMessageRequestSerializer, CreateThreadRequestSerializer
from tools.file_search import without_content
from tools.openapi import BadAuthentication, check_authentication

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


class ToolChoice(Union):
    """`none`, `auto`, `required`, or one tool by name."""

    def __init__(self, **options: Any) -> None:
        self.shapes = (OneOf("none", "auto", "required"), choice_shape())
        super().__init__(**options)

    def shape_of(self, value: Any) -> RequestField:
        return self.shapes[0 if isinstance(value, str) else 1]


class RunExtraBodySerializer(RequestSerializer):
    """What Open Assistant API takes beside OpenAI's fields: parameters that go to the model as they are, and the
    credentials with which this run's actions speak to their services, by the actions' ids.
    """

    model_params = FreeObject()
    action_authentications = FreeObject()

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        for action, given in (checked["action_authentications"] or {}).items():
            check_credentials(action, given)
        return checked


def check_credentials(action: str, given: Any) -> None:
    try:
        check_authentication(given)
    except BadAuthentication as problem:
        sentence, place = problem.message, problem.place.removeprefix("authentication").removeprefix(".")
    else:
        return
    fault = grammar.invalid_value(lambda path: f"Invalid '{path}': {sentence}")
    for name in filter(None, (place, action, "action_authentications")):
        fault = fault.under(name)
    raise fault


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
    extra_body = RunExtraBodySerializer()
    user = EndUserName()


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


class ToolApprovalSerializer(RequestSerializer):
    tool_call_id = Text(required=True)
    approve = Boolean(required=True)


class SubmitToolOutputsRunRequestSerializer(RequestSerializer):
    tool_outputs = ListOf(ToolOutputSerializer(required=True), required=True)
    tool_approvals = ListOf(ToolApprovalSerializer(required=True), default=list)
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
    tools = Tools()
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

    @classmethod
    def of(cls, row: Any) -> dict[str, Any]:
        """With `user`, which OpenAI's runs do not have, only if one was named."""
        wire = super().of(row)
        return wire | {"user": row.end_user} if row.end_user else wire


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


class TokensSerializer(ObjectSerializer):
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()


class CostSerializer(ObjectSerializer):
    amount = Plain()
    currency = Plain()


class TracedCallSerializer(ObjectSerializer):
    id = Plain()
    type = Plain()
    name = Plain()
    arguments = Plain()
    output = Plain(allow_null=True)
    began_at = FineTime(source="began", allow_null=True)
    ended_at = FineTime(source="ended", allow_null=True)


class TracedTurnSerializer(ObjectSerializer):
    number = serializers.IntegerField()
    status = Plain()
    model = Plain()
    began_at = FineTime(source="began", allow_null=True)
    spoke_at = FineTime(source="spoke", allow_null=True)
    settled_at = FineTime(source="settled", allow_null=True)
    ended_at = FineTime(source="ended", allow_null=True)
    step_ids = serializers.ListField(child=serializers.CharField())
    message_id = Plain(allow_null=True)
    usage = TokensSerializer(allow_null=True)
    costs = CostSerializer(many=True)
    error = Plain(allow_null=True)
    calls = TracedCallSerializer(many=True)


class RunTraceObjectSerializer(ObjectSerializer):
    """A `trace.Trace`."""

    object = Constant("thread.run.trace")
    run_id = Plain(source="run.id")
    thread_id = Plain(source="run.thread_id")
    status = Plain(source="run.status")
    created_at = FineTime(source="run.created_at")
    started_at = FineTime(source="run.started_at", allow_null=True)
    first_word_at = FineTime(source="first_word", allow_null=True)
    ended_at = FineTime(source="ended", allow_null=True)
    attempts = serializers.IntegerField(source="run.attempt")
    usage = TokensSerializer(allow_null=True)
    costs = CostSerializer(many=True)
    turns = TracedTurnSerializer(many=True)


def step_object(step: "RunStep", include: Collection[str]) -> dict[str, Any]:
    """A step as it is answered and told. What a search found comes with its texts only if `include` asks for them."""
    told = RunStepObjectSerializer.of(step)
    if not include and step.type == "tool_calls":
        told["step_details"] = without_content(told["step_details"])
    return told
