from typing import Any

import pytest

from assistant_site.llm.chat import ChatRequest, Endpoint
from assistant_site.llm.errors import ProviderError
from assistant_site.llm.sending import Habits, as_json, body_of, refused_features

NONE: frozenset[str] = frozenset()


def body(request: ChatRequest, without: frozenset[str] = NONE, quirks: dict[str, str] | None = None) -> dict[str, Any]:
    return body_of(Endpoint("http://x/v1", "k", quirks or {}), request, without, stream=True)


def test_system_messages_become_one_at_the_front() -> None:
    sent = body(
        ChatRequest(
            "m",
            [
                {"role": "system", "content": "A"},
                {"role": "user", "content": "hi"},
                {"role": "developer", "content": [{"type": "text", "text": "B"}]},
            ],
        )
    )

    assert sent["messages"] == [{"role": "system", "content": "A\n\nB"}, {"role": "user", "content": "hi"}]


def test_a_developer_message_can_be_sent_as_system() -> None:
    request = ChatRequest("m", [{"role": "developer", "content": "A"}])

    assert body(request)["messages"][0]["role"] == "developer"
    assert body(request, frozenset({"developer"}))["messages"][0]["role"] == "system"


@pytest.mark.parametrize(
    ("quirk", "content"), [({}, ""), ({"tool_call_content": "null"}, None), ({"tool_call_content": "text"}, "…")]
)
def test_the_content_beside_tool_calls_follows_the_profile(quirk: dict[str, str], content: str | None) -> None:
    request = ChatRequest("m", [{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}])

    assert body(request, quirks=quirk)["messages"][0]["content"] == content


def test_the_content_beside_tool_calls_can_be_left_out_but_real_text_never() -> None:
    calls = [{"id": "1"}]
    request = ChatRequest(
        "m",
        [
            {"role": "assistant", "content": "", "tool_calls": calls},
            {"role": "assistant", "content": "said", "tool_calls": calls},
        ],
    )

    sent = body(request, quirks={"tool_call_content": "omit"})["messages"]

    assert "content" not in sent[0]
    assert sent[1]["content"] == "said"


def test_tool_results_are_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    sent = body(ChatRequest("m", [{"role": "tool", "tool_call_id": "1", "content": parts}]))

    assert sent["messages"][0]["content"] == "a\nb"


@pytest.mark.parametrize("parameters", [{}, {"parameters": None}, {"parameters": {}}])
def test_every_function_has_parameters(parameters: dict[str, Any]) -> None:
    tool = {"type": "function", "function": {"name": "f", **parameters}}

    assert body(ChatRequest("m", [], [tool]))["tools"][0]["function"]["parameters"] == {
        "type": "object",
        "properties": {},
    }


def test_tool_options_are_not_sent_without_tools() -> None:
    sent = body(ChatRequest("m", [], options={"tool_choice": "auto", "parallel_tool_calls": True, "temperature": None}))

    assert set(sent) == {"model", "messages", "stream", "stream_options"}


def test_refused_features_are_left_out_or_renamed() -> None:
    tool = {"type": "function", "function": {"name": "f", "strict": True}}
    schema = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {}}}
    request = ChatRequest(
        "m", [], [tool], {"max_completion_tokens": 9, "parallel_tool_calls": False, "response_format": schema}
    )

    sent = body(request, frozenset({"max_completion_tokens", "strict", "stream_options", "parallel_tool_calls"}))

    assert sent["max_tokens"] == 9
    assert "strict" not in sent["tools"][0]["function"]
    assert "strict" not in sent["response_format"]["json_schema"]
    assert not {"max_completion_tokens", "stream_options", "parallel_tool_calls"} & sent.keys()


@pytest.mark.parametrize(
    ("message", "features"),
    [
        ("Unrecognized request argument supplied: stream_options", {"stream_options"}),
        ("[{'loc': ('body', 'parallel_tool_calls'), 'msg': 'Extra inputs'}]", {"parallel_tool_calls"}),
        ("Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.", {"max_tokens"}),
        ("max_tokens is too large: 50000", set()),
        ("Unsupported value: 'temperature' does not support 0.7 with this model.", {"temperature"}),
        ("Invalid 'temperature': decimal above maximum value.", set()),
        ("tools[0].function.strict is not permitted", {"strict"}),
        ("role 'developer' is not supported", set()),
        ("reasoning_effort: nope", set()),
    ],
)
def test_a_400_that_names_a_feature_of_the_request_is_read(message: str, features: set[str]) -> None:
    request = ChatRequest(
        "m",
        [{"role": "user", "content": "hi"}],
        [{"type": "function", "function": {"name": "f", "strict": False}}],
        {"max_tokens": 5, "temperature": 0.7, "parallel_tool_calls": True},
    )

    assert refused_features(ProviderError(message=message), body(request)) == features


@pytest.mark.parametrize(
    ("message", "feature"),
    [
        ("property 'stream_options' is unsupported", "stream_options"),  # Groq
        ("'messages.1' : property 'reasoning' is unsupported", "reasoning"),
        ("Unknown name \"reasoning_content\" at 'messages[1]': Cannot find field.", "reasoning"),
        ("messages[0].role: 'developer' is not supported, expected one of: system, user", "developer"),
        ("Unsupported parameter: 'max_completion_tokens'. Use 'max_tokens' instead.", "max_completion_tokens"),
    ],
)
def test_what_a_gateway_does_not_know_is_left_out(message: str, feature: str) -> None:
    thought = {"role": "assistant", "content": "", "reasoning": "hm", "reasoning_content": "hm"}
    messages = [{"role": "developer", "content": "A"}, thought]
    sent = body(ChatRequest("m", messages, options={"max_completion_tokens": 5}))

    refused = refused_features(ProviderError(message=message), sent)

    assert feature in refused
    again = body(ChatRequest("m", messages, options={"max_completion_tokens": 5}), refused)
    assert again != sent
    assert refused_features(ProviderError(message=message), again).isdisjoint(refused)


def test_thoughts_are_sent_back_unless_they_are_refused() -> None:
    thought = {"role": "assistant", "content": "x", "reasoning_content": "hm", "reasoning_details": [{"text": "hm"}]}
    request = ChatRequest("m", [thought])

    assert body(request)["messages"] == [thought]
    assert body(request, frozenset({"reasoning"}))["messages"] == [{"role": "assistant", "content": "x"}]


def test_a_provider_that_misses_thoughts_is_no_provider_that_refuses_them() -> None:
    sent = body(ChatRequest("m", [{"role": "assistant", "content": "x", "reasoning_content": "hm"}]))
    missed = "The `reasoning_content` in the thinking mode must be passed back to the API."

    assert refused_features(ProviderError(message=missed), sent) == NONE


def test_habits_are_remembered_by_endpoint_and_model() -> None:
    habits = Habits()
    here, there = Endpoint("http://a/v1", "k"), Endpoint("http://b/v1", "k", {"without": "strict, top_p"})
    habits.remember(here, "m", frozenset({"stream_options"}))

    assert habits.of(here, "m") == {"stream_options"}
    assert habits.of(here, "other") == NONE
    assert habits.of(there, "m") == {"strict", "top_p"}


def test_what_orjson_refuses_is_sent_all_the_same() -> None:
    assert as_json({"seed": 2**70, "x": "\ud83d"}) == b'{"seed": 1180591620717411303424, "x": "\\ud83d"}'


@pytest.mark.parametrize("arguments", ['{"x": "br', "", "[1]", '{"x": NaN}', "[" * 100_000, None])
def test_arguments_that_are_no_object_are_not_sent_back(arguments: str | None) -> None:
    calls = [
        {"id": "1", "function": {"name": "f", "arguments": arguments}, "extra_content": {"a": 1}},
        {"id": "2", "function": {"name": "g", "arguments": '{"x": 1}'}},
    ]
    sent = body(ChatRequest("m", [{"role": "assistant", "content": "", "tool_calls": calls}]))

    first, second = sent["messages"][0]["tool_calls"]
    assert first == {"id": "1", "function": {"name": "f", "arguments": "{}"}, "extra_content": {"a": 1}}
    assert second["function"]["arguments"] == '{"x": 1}'
