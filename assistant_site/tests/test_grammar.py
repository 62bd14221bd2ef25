"""Every sentence of the grammar of wrong input, through HTTP: status, message, code and param."""

from typing import Any

import pytest

from assistant_site.tests.callers import LocalCaller

MODEL = {"model": "m"}
LONG_KEY = "k" * 65


def function(**fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", **fields}}


# method and path, body, message, code, param
WRONG: list[tuple[str, Any, str, str | None, str | None]] = [
    ("assistants", {}, "Missing required parameter: 'model'.", "missing_required_parameter", "model"),
    (
        "threads/{thread}/runs",
        {},
        "Missing required parameter: 'assistant_id'.",
        "missing_required_parameter",
        "assistant_id",
    ),
    ("threads/{thread}/messages", {"role": "user"}, "Missing required parameter: 'content'.",
     "missing_required_parameter", "content"),
    ("assistants", MODEL | {"file_ids": []}, "Unknown parameter: 'file_ids'.", "unknown_parameter", "file_ids"),
    ("threads/{thread}/messages/{message}", {"content": "x"}, "Unknown parameter: 'content'.", "unknown_parameter",
     "content"),
    # Required fields come first, then unknown keys, then values.
    ("assistants", {"file_ids": [], "name": 3}, "Missing required parameter: 'model'.", "missing_required_parameter",
     "model"),
    ("assistants", MODEL | {"name": 3, "x": 1}, "Unknown parameter: 'x'.", "unknown_parameter", "x"),
    (
        "threads",
        {"metadata": {"modified": True}},
        "Invalid type for 'metadata.modified': expected a string, but got a boolean instead.",
        "invalid_type",
        "metadata.modified",
    ),
    ("assistants", {"model": 3}, "Invalid type for 'model': expected a string, but got an integer instead.",
     "invalid_type", "model"),
    ("assistants", {"model": None}, "Invalid type for 'model': expected a string, but got null instead.",
     "invalid_type", "model"),
    ("assistants", MODEL | {"temperature": "hot"},
     "Invalid type for 'temperature': expected a decimal number, but got a string instead.", "invalid_type",
     "temperature"),
    ("assistants", MODEL | {"tools": {}}, "Invalid type for 'tools': expected an array, but got an object instead.",
     "invalid_type", "tools"),
    ("threads", {"messages": [{"role": "user", "content": "x"}, 3]},
     "Invalid type for 'messages[1]': expected an object, but got an integer instead.", "invalid_type", "messages[1]"),
    ("threads/{thread}/messages", {"role": "system", "content": "x"},
     "Invalid value: 'system'. Supported values are: 'user' and 'assistant'.", "invalid_value", "role"),
    ("threads", {"messages": [{"role": "system", "content": "x"}]},
     "Invalid value: 'system'. Supported values are: 'user' and 'assistant'.", "invalid_value", "messages[0].role"),
    ("assistants", MODEL | {"tools": [{"type": "browser"}]},
     "Invalid value: 'browser'. Supported values are: 'code_interpreter', 'file_search', 'function', 'retrieval', "
     "'action', 'mcp', 'web_search', 'web_search_2025_08_26', 'web_search_preview', and "
     "'web_search_preview_2025_03_11'.",
     "invalid_value", "tools[0].type"),
    ("assistants", MODEL | {"instructions": "x" * 256_001},
     "Invalid 'instructions': string too long. Expected a string with maximum length 256000, but got a string with "
     "length 256001 instead.", "string_above_max_length", "instructions"),
    ("threads/{thread}/runs", {"assistant_id": "asst_x", "max_prompt_tokens": 255},
     "Invalid 'max_prompt_tokens': integer below minimum value. Expected a value >= 256, but got 255 instead.",
     "integer_below_min_value", "max_prompt_tokens"),
    ("assistants", MODEL | {"temperature": 2.1},
     "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 2.1 instead.",
     "decimal_above_max_value", "temperature"),
    ("assistants", MODEL | {"top_p": -1},
     "Invalid 'top_p': decimal below minimum value. Expected a value >= 0, but got -1 instead.",
     "decimal_below_min_value", "top_p"),
    ("assistants", MODEL | {"tools": [{"type": "code_interpreter"}] * 129},
     "Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length 129 "
     "instead.", "array_above_max_length", "tools"),
    ("threads", {"metadata": {str(n): "" for n in range(17)}},
     "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an object with "
     "17 properties instead.", "object_above_max_properties", "metadata"),
    ("threads", {"metadata": {LONG_KEY: ""}},
     "Invalid property name in 'metadata': 'kkk...kkk' is too long. Expected a string with maximum length 64, but got "
     "a string with length 65 instead.", "property_name_above_max_length", f"metadata.{LONG_KEY}"),
    ("threads", {"metadata": {"k": "v" * 513}},
     "Invalid 'metadata.k': string too long. Expected a string with maximum length 512, but got a string with length "
     "513 instead.", "string_above_max_length", "metadata.k"),
    ("assistants", MODEL | {"tools": [function(name="no blanks")]},
     "Invalid 'tools[0].function.name': string does not match pattern. Expected a string that matches the pattern "
     "'^[a-zA-Z0-9_-]+$'.", "invalid_value", "tools[0].function.name"),
    ("assistants", MODEL | {"tools": [function(strict=True, parameters={"type": "object", "properties": {}})]},
     "Invalid schema for function 'f': In context=(), 'additionalProperties' is required to be supplied and to be "
     "false.", "invalid_function_parameters", "tools[0].function.parameters"),
    ("threads/{thread}/messages", {"role": "user", "content": ""}, "Message content must be non-empty.", None,
     "content"),
    ("threads/{thread}/messages", {"role": "user", "content": []}, "Message content must be non-empty.", None,
     "content"),
    ("threads/{thread}/messages",
     {"role": "user", "content": [{"type": "text", "text": "look"},
                                  {"type": "image_url", "image_url": {"url": "https://example.com/a.pdf"}}]},
     "Invalid 'content[1].image_url.url'. Expected url to end in a supported format.", "invalid_value",
     "content[1].image_url.url"),
    ("threads", {"metadata": {"k": "a\x00b"}},
     "Invalid 'metadata.k': string contains the character U+0000, which is not allowed.", "invalid_value",
     "metadata.k"),
    ("threads/undefined/runs", {"assistant_id": "asst_x"},
     "Invalid 'thread_id': 'undefined'. Expected an ID that begins with 'thread'.", "invalid_value", "thread_id"),
    ("threads/{thread}/messages/x", {}, "Invalid 'message_id': 'x'. Expected an ID that begins with 'msg'.",
     "invalid_value", "message_id"),
    ("threads/{thread}/runs", {"assistant_id": "gpt"},
     "Invalid 'assistant_id': 'gpt'. Expected an ID that begins with 'asst'.", "invalid_value", "assistant_id"),
    ("threads/{thread}/runs", {"assistant_id": "asst_x", "tool_choice": "maybe"},
     "Invalid value: 'maybe'. Supported values are: 'none', 'auto', and 'required'.", "invalid_value", "tool_choice"),
    ("threads/{thread}/runs", {"assistant_id": "asst_x", "truncation_strategy": {"type": "last_messages"}},
     "Missing required parameter: 'truncation_strategy.last_messages'.", "missing_required_parameter",
     "truncation_strategy.last_messages"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "message", "code", "param"), WRONG, ids=[row[2][:60] for row in WRONG])
def test_wrong_input_gets_the_documented_error(
    alice: LocalCaller, path: str, body: Any, message: str, code: str | None, param: str | None
) -> None:
    thread = alice.thread("hello")
    first = alice.get(f"threads/{thread}/messages")["data"][0]["id"]

    refused = alice.post(path.format(thread=thread, message=first), body)

    assert refused.status == 400
    assert refused.error == {"message": message, "type": "invalid_request_error", "param": param, "code": code}


@pytest.mark.parametrize(
    ("query", "message", "code", "param"),
    [
        (
            "limit=101",
            "Invalid 'limit': integer above maximum value. Expected a value <= 100, but got 101 instead.",
            "integer_above_max_value",
            "limit",
        ),
        (
            "limit=0",
            "Invalid 'limit': integer below minimum value. Expected a value >= 1, but got 0 instead.",
            "integer_below_min_value",
            "limit",
        ),
        (
            "limit=ten",
            "Invalid type for 'limit': expected an integer, but got a string instead.",
            "invalid_type",
            "limit",
        ),
        ("order=up", "Invalid value: 'up'. Supported values are: 'asc' and 'desc'.", "invalid_value", "order"),
        (
            "limit=1&limit=2",
            "Duplicate parameter: 'limit'. You provided multiple values for this parameter, whereas only one is "
            "allowed. If you are trying to provide a list of values, use the array syntax instead e.g. "
            "'limit[]=<value>'.",
            "duplicate_parameter",
            "limit",
        ),
    ],
)
def test_wrong_list_query(alice: LocalCaller, query: str, message: str, code: str, param: str) -> None:
    refused = alice.get(f"assistants?{query}")

    assert refused.status == 400
    assert refused.error == {"message": message, "type": "invalid_request_error", "param": param, "code": code}


def test_nulls_of_optional_fields_mean_not_given(alice: LocalCaller) -> None:
    names = ("name", "description", "instructions", "tools", "tool_resources", "metadata", "temperature", "top_p")
    made = alice.post(
        "assistants", {"model": "m", "response_format": None, "reasoning_effort": None} | dict.fromkeys(names)
    )

    assert (made["tools"], made["tool_resources"], made["metadata"]) == ([], {}, {})
    assert (made["temperature"], made["response_format"]) == (1.0, "auto")

    resources: dict[str, Any] = {"code_interpreter": {"file_ids": []}, "file_search": None}
    made = alice.post("threads", {"messages": None, "tool_resources": resources})
    assert made["tool_resources"] == {"code_interpreter": {"file_ids": []}}
