"""Answers of known servers as bytes, each with its peculiarity, and what they mean.

Written down from the observations and reports about One API, LiteLLM, Ollama, vLLM and the others; the names say whose
habit it is. `test_assembler` reads each of them, whole, cut into any pieces, and broken off anywhere.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from assistant_site.llm.chat import JSONObject


@dataclass(frozen=True)
class Told:
    """What an answer means. `calls`: (id, or "" for one of ours, name, arguments)."""

    text: str = ""
    calls: tuple[tuple[str, str, str], ...] = ()
    reason: str = "stop"
    usage: tuple[int, int] | None = None  # None: estimated
    refusal: str = ""
    carry: JSONObject = field(default_factory=dict)
    extras: dict[int, JSONObject] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    code: str = "server_error"
    message: str = ""  # a part of it
    retry: bool = True


def sse(*chunks: object, done: bool = True, end: str = "\n\n", prefix: str = "data: ") -> bytes:
    lines = [chunk if isinstance(chunk, str) else prefix + json.dumps(chunk, ensure_ascii=False) for chunk in chunks]
    return (end.join([*lines, *([prefix + "[DONE]"] if done else [])]) + end).encode()


def chunk(delta: Any = None, finish: Any = None, **more: Any) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice], **more}


def text(*pieces: str) -> list[dict[str, Any]]:
    return [chunk({"content": piece}) for piece in pieces]


def call(name: str | None = None, arguments: Any = None, **labels: Any) -> dict[str, Any]:
    """A chunk with one piece of a call; `index` and `id` only if given."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return chunk({"tool_calls": [{**labels, "function": function}]})


USAGE = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
STOP = chunk({}, "stop")
CALLS = chunk({}, "tool_calls")
HELLO = text("Hel", "lo")
TWO = (("", "a", '{"x": 1}'), ("", "b", '{"y": 2}'))

STREAMS: dict[str, tuple[bytes, Told | Failed]] = {
    "OpenAI: text and usage": (
        sse(
            chunk({"role": "assistant", "content": "", "refusal": None}), *HELLO, STOP, {"choices": [], "usage": USAGE}
        ),
        Told("Hello", usage=(11, 5)),
    ),
    "OpenAI: parallel calls": (
        sse(
            call("a", "", index=0, id="call_1", type="function"),
            call(arguments='{"x"', index=0),
            call(arguments=": 1}", index=0),
            call("b", "", index=1, id="call_2", type="function"),
            call(arguments='{"y": 2}', index=1),
            CALLS,
        ),
        Told(calls=(("call_1", "a", '{"x": 1}'), ("call_2", "b", '{"y": 2}')), reason="tool_calls"),
    ),
    "OpenAI: interleaved calls": (
        sse(
            call("a", '{"x"', index=0, id="1"),
            call("b", '{"y"', index=1, id="2"),
            call(arguments=": 1}", index=0),
            call(arguments=": 2}", index=1),
            CALLS,
        ),
        Told(calls=(("1", "a", '{"x": 1}'), ("2", "b", '{"y": 2}')), reason="tool_calls"),
    ),
    "OpenAI: stop for a named tool": (
        sse(call("a", '{"x": 1}', index=0, id="1"), STOP),
        Told(calls=(("1", "a", '{"x": 1}'),), reason="tool_calls"),
    ),
    "OpenAI: refusal": (
        sse(chunk({"refusal": "I'm "}), chunk({"refusal": "sorry."}), STOP),
        Told(refusal="I'm sorry."),
    ),
    "OpenAI: cached and reasoning tokens": (
        sse(*HELLO, STOP, {"choices": [], "usage": {**USAGE, "prompt_tokens_details": {"cached_tokens": 4}}}),
        Told("Hello", usage=(11, 5)),
    ),
    "OpenAI: content filter": (sse(*HELLO, chunk({}, "content_filter")), Told("Hello", reason="content_filter")),
    "OpenAI: the older function_call": (
        sse(
            chunk({"function_call": {"name": "a", "arguments": ""}}),
            chunk({"function_call": {"arguments": '{"x": 1}'}}),
            chunk({}, "function_call"),
        ),
        Told(calls=(("", "a", '{"x": 1}'),), reason="tool_calls"),
    ),
    "Empty, with a reason": (sse(STOP), Told("")),
    "Empty, without a reason": (sse(), Failed(message="ended early")),
    "Nothing at all": (b"", Failed(message="ended early")),
    "One API: error vanished, only [DONE]": (sse(*HELLO), Failed(message="ended early")),
    "One API: a line over 64 KiB, the rest lost": (
        sse(*HELLO, call("a", "", index=0, id="1"), call(arguments='{"x": "', index=0)),
        Failed(message="ended early"),
    ),
    "One API: data without the blank": (sse(*HELLO, STOP, prefix="data:"), Told("Hello")),
    "One API, Claude: finish_reason empty, then real, then empty": (
        sse(
            chunk({"role": "assistant", "content": "Hel"}, ""),
            chunk({"role": "assistant", "content": "lo"}, ""),
            chunk({"role": "assistant", "tool_calls": [{"id": "t1", "function": {"name": "a", "arguments": ""}}]}, ""),
            chunk({"role": "assistant", "tool_calls": [{"function": {"arguments": '{"x": 1}'}}]}, ""),
            chunk({"role": "assistant"}, "tool_calls"),
            chunk({"role": "assistant"}, ""),
        ),
        Told("Hello", (("t1", "a", '{"x": 1}'),), "tool_calls"),
    ),
    "One API, Gemini: no finish_reason ever": (
        sse(chunk({"content": "Hello"}, "", id="x1"), chunk({"content": " you"}, "", id="x2", model="gemini")),
        Failed(message="ended early"),
    ),
    "One API, Gemini: a streamed call is an empty text": (
        sse(chunk({"content": ""}, "", id="x1", model="gemini")),
        Failed(message="ended early"),
    ),
    "One API, Ollama: a new id for every chunk": (
        sse(
            chunk({"role": "assistant", "content": "Hel"}, "", id="chatcmpl-1"),
            chunk({"role": "assistant", "content": "lo"}, "", id="chatcmpl-2"),
            chunk({"role": "assistant", "content": ""}, "stop", id="chatcmpl-3"),
        ),
        Told("Hello"),
    ),
    "One API: usage of zeros": (
        sse(*HELLO, STOP, {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}),
        Told("Hello"),
    ),
    "One API: no usage": (sse(*HELLO, STOP), Told("Hello")),
    "LiteLLM: usage beside one empty choice, finish_reason left out": (
        sse(
            {"id": "1", "choices": [{"index": 0, "delta": {"content": "Hello"}}]},
            {"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {"id": "1", "choices": [{"index": 0, "delta": {}}], "usage": USAGE},
        ),
        Told("Hello", usage=(11, 5)),
    ),
    "LiteLLM: error inside the stream, no [DONE]": (
        sse({"error": {"message": "litellm.RateLimitError", "type": "throttling_error", "code": "429"}}, done=False),
        Failed("rate_limit_exceeded"),
    ),
    "LiteLLM: the provider's error behind text": (
        sse(
            *HELLO,
            {
                "error": {
                    "message": "litellm.APIConnectionError: OpenAIException - overloaded at 10.0.0.1",
                    "type": None,
                    "param": None,
                    "code": "500",
                }
            },
            done=False,
        ),
        Failed(message="went wrong"),
    ),
    "LiteLLM: a cut upstream dressed as stop": (sse(*text("Hel"), STOP), Told("Hel")),  # nothing shows that it was cut
    "LiteLLM, Ollama: arguments as an object": (
        sse(call("a", {"x": 1}, index=0, id="1", type="function"), STOP),
        Told(calls=(("1", "a", '{"x":1}'),), reason="tool_calls"),
    ),
    "LiteLLM: a thought signature under its own name": (
        sse(call("a", "{}", index=0, id="1", provider_specific_fields={"thought_signature": "abc"}), CALLS),
        Told(
            calls=(("1", "a", "{}"),),
            reason="tool_calls",
            extras={0: {"provider_specific_fields": {"thought_signature": "abc"}}},
        ),
    ),
    "LiteLLM: glued objects under one index": (
        sse(call("a", '{"x": 1}{"x"', index=0, id="1"), call(arguments=": 2}", index=0), CALLS),
        Told(calls=(("1", "a", '{"x": 1}'), ("", "a", '{"x": 2}')), reason="tool_calls"),
    ),
    "LiteLLM: shared index 0 with new ids": (
        sse(call("a", '{"x": 1}', index=0, id="1"), call("b", '{"y": 2}', index=0, id="2"), CALLS),
        Told(calls=(("1", "a", '{"x": 1}'), ("2", "b", '{"y": 2}')), reason="tool_calls"),
    ),
    "Shared index 0 without ids": (
        sse(call("a", '{"x": 1}', index=0), call("b", '{"y"', index=0), call(arguments=": 2}", index=0), CALLS),
        Told(calls=TWO, reason="tool_calls"),
    ),
    "Ollama: no index, whole calls, stop": (
        sse(
            chunk(
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"id": "1", "function": {"name": "a", "arguments": '{"x": 1}'}}],
                }
            ),
            chunk(
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"id": "2", "function": {"name": "b", "arguments": '{"y": 2}'}}],
                }
            ),
            chunk({"role": "assistant", "content": ""}, "stop"),
        ),
        Told(calls=(("1", "a", '{"x": 1}'), ("2", "b", '{"y": 2}')), reason="tool_calls"),
    ),
    "Ollama: no index, no id": (
        sse(call("a", '{"x": 1}'), call("b", '{"y": 2}'), STOP),
        Told(calls=TWO, reason="tool_calls"),
    ),
    "Ollama: tool calls lost": (sse(CALLS), Failed(message="went wrong")),
    "Gemini: two whole calls in one delta, no index": (
        sse(
            chunk(
                {
                    "tool_calls": [
                        {"id": "1", "function": {"name": "a", "arguments": '{"x": 1}'}},
                        {"id": "2", "function": {"name": "b", "arguments": '{"y": 2}'}},
                    ]
                }
            ),
            STOP,
        ),
        Told(calls=(("1", "a", '{"x": 1}'), ("2", "b", '{"y": 2}')), reason="tool_calls"),
    ),
    "Gemini: thought signature": (
        sse(
            call("a", "{}", index=0, id="1", extra_content={"google": {"thought_signature": "abc"}}),
            CALLS,
        ),
        Told(
            calls=(("1", "a", "{}"),),
            reason="tool_calls",
            extras={0: {"extra_content": {"google": {"thought_signature": "abc"}}}},
        ),
    ),
    "Gemini: error body in a list": (
        sse([{"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}]),
        Failed(message="went wrong"),
    ),
    "Bedrock gateway: index starts at 1": (
        sse(
            *HELLO,
            call("a", "", index=1, id="1"),
            call(arguments='{"x": 1}', index=1),
            call("b", '{"y": 2}', index=2, id="2"),
            CALLS,
        ),
        Told("Hello", (("1", "a", '{"x": 1}'), ("2", "b", '{"y": 2}')), "tool_calls"),
    ),
    "new-api: gaps in the index": (
        sse(call("a", '{"x": 1}', index=0, id="1"), call("b", '{"y": 2}', index=4, id="2"), CALLS),
        Told(calls=(("1", "a", '{"x": 1}'), ("2", "b", '{"y": 2}')), reason="tool_calls"),
    ),
    "GLM: index -1 and arguments as an object": (
        sse(call("a", {"x": 1}, index=-1, id="1"), call("b", {"y": 2}, index=-1, id="2"), CALLS),
        Told(calls=(("1", "a", '{"x":1}'), ("2", "b", '{"y":2}')), reason="tool_calls"),
    ),
    "Claude bridge: an empty object in front": (
        sse(call("a", "{}", index=0, id="1"), call(arguments='{"x"', index=0), call(arguments=": 1}", index=0), CALLS),
        Told(calls=(("1", "a", '{"x": 1}'),), reason="tool_calls"),
    ),
    "vLLM: a new id for every piece": (
        sse(
            call("a", "", index=0, id="t1"),
            call(arguments='{"x"', index=0, id="t2"),
            call(arguments=": 1}", index=0, id="t3"),
            CALLS,
        ),
        Told(calls=(("t1", "a", '{"x": 1}'),), reason="tool_calls"),
    ),
    "vLLM: the name in every piece": (
        sse(call("a", '{"x"', index=0, id="1"), call("a", ": 1}", index=0), call("a", "", index=0), CALLS),
        Told(calls=(("1", "a", '{"x": 1}'),), reason="tool_calls"),
    ),
    "vLLM: tool_calls although cut": (
        sse(call("a", '{"x": "br', index=0, id="1"), CALLS),
        Told(calls=(("1", "a", '{"x": "br'),), reason="tool_calls"),
    ),
    "vLLM: stop for a forced tool": (
        sse(
            chunk({"role": "assistant", "content": ""}),
            call("a", '{"x"', index=0, id="chatcmpl-tool-1", type="function"),
            call(arguments=": 1}", index=0),
            chunk({"content": ""}, "stop", stop_reason=None),
        ),
        Told(calls=(("chatcmpl-tool-1", "a", '{"x": 1}'),), reason="tool_calls"),
    ),
    "vLLM, Qwen: white space before a call": (
        sse(*text("\n", "\n"), call("a", '{"x": 1}', index=0, id="1"), CALLS),
        Told(calls=(("1", "a", '{"x": 1}'),), reason="tool_calls"),
    ),
    "White space before a text": (sse(*text("\n", "\n", "Hel", " ", "lo", "\n"), STOP), Told("\n\nHel lo\n")),
    "White space alone": (sse(*text("\n", "\n"), STOP), Told("\n\n")),
    "White space where calls were announced": (sse(*text("\n\n"), CALLS), Failed(message="went wrong")),
    "vLLM, Ollama: reasoning": (
        sse(chunk({"reasoning": "Let me "}), chunk({"reasoning": "think."}), *HELLO, STOP),
        Told("Hello", carry={"reasoning": "Let me think."}),
    ),
    "Without a reasoning parser: thoughts in the text": (
        sse(*text("<think>", "hm", "</think>", "Hello"), STOP),
        Told("<think>hm</think>Hello"),  # nothing says that they are thoughts: a server's option does
    ),
    "vLLM: error object of its own": (
        sse({"object": "error", "message": "boom", "type": "InternalServerError", "code": 500}),
        Failed(message="went wrong"),
    ),
    "vLLM: usage in every chunk": (
        sse(
            chunk({"content": "Hello"}, usage={"prompt_tokens": 11, "completion_tokens": 1}),
            chunk({}, "stop", usage=USAGE),
        ),
        Told("Hello", usage=(11, 5)),
    ),
    "No arguments at all": (
        sse(call("a", index=0, id="1"), call("b", "", index=1, id="2"), call("c", "null", index=2, id="3"), CALLS),
        Told(calls=(("1", "a", "{}"), ("2", "b", "{}"), ("3", "c", "{}")), reason="tool_calls"),
    ),
    "A number and a brace inside strings": (
        sse(call("a", '{"x": "}{\\"', index=0, id="1"), call(arguments='}{"} ', index=0), CALLS),
        Told(calls=(("1", "a", '{"x": "}{\\"}{"} '),), reason="tool_calls"),
    ),
    "The same id twice": (
        sse(call("a", '{"x": 1}', index=0, id="same"), call("b", '{"y": 2}', index=1, id="same"), CALLS),
        Told(calls=(("same", "a", '{"x": 1}'), ("", "b", '{"y": 2}')), reason="tool_calls"),
    ),
    "The name after the id": (
        sse(call(index=0, id="1"), call("a", '{"x"', index=0), call(arguments=": 1}", index=0), CALLS),
        Told(calls=(("1", "a", '{"x": 1}'),), reason="tool_calls"),
    ),
    "Flat call without `function`": (
        sse(chunk({"tool_calls": [{"index": 0, "id": "1", "name": "a", "arguments": '{"x": 1}'}]}), CALLS),
        Told(calls=(("1", "a", '{"x": 1}'),), reason="tool_calls"),
    ),
    "Length with a call": (
        sse(call("a", '{"x": "br', index=0, id="1"), chunk({}, "length")),
        Told(calls=(("1", "a", '{"x": "br'),), reason="length"),
    ),
    "Other names: end_turn": (sse(*HELLO, chunk({}, "end_turn")), Told("Hello")),
    "Other names: eos": (sse(*HELLO, chunk({}, "eos")), Told("Hello")),
    "Other names: max_tokens": (sse(*HELLO, chunk({}, "MAX_TOKENS")), Told("Hello", reason="length")),
    "Other names: tool_use": (
        sse(call("a", "{}", index=0, id="1"), chunk({}, "tool_use")),
        Told(calls=(("1", "a", "{}"),), reason="tool_calls"),
    ),
    "Azure: first chunk without choices, later one without delta": (
        sse(
            {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
            *HELLO,
            {"choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {}}]},
            {"choices": [{"index": 0, "delta": None, "finish_reason": "stop"}]},
        ),
        Told("Hello"),
    ),
    "Azure: parallel calls behind an empty chunk": (
        sse(
            {"choices": [], "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]},
            chunk({"role": "assistant", "content": None}, content_filter_results={}),
            call("a", '{"x": 1}', index=0, id="1", type="function"),
            call("b", '{"y": 2}', index=1, id="2", type="function"),
            CALLS,
            {"choices": [], "usage": USAGE},
        ),
        Told(calls=(("1", "a", '{"x": 1}'), ("2", "b", '{"y": 2}')), reason="tool_calls", usage=(11, 5)),
    ),
    "Choices null or missing": (sse({"choices": None}, {"id": "x"}, *HELLO, STOP), Told("Hello")),
    "An error of null in every chunk": (
        sse(chunk({"content": "Hello"}, error=None), chunk({}, "stop", error=None)),
        Told("Hello"),
    ),
    "Two reasons: the first counts": (
        sse(call("a", '{"x": 1}', index=0, id="1"), chunk({}, "length"), CALLS, STOP),
        Told(calls=(("1", "a", '{"x": 1}'),), reason="length"),
    ),
    "Content null, parts, text": (
        sse(
            chunk({"role": "assistant", "content": None}),
            chunk({"role": "assistant", "content": [{"type": "text", "text": "Hel"}, {"type": "image_url"}]}),
            chunk({"role": "assistant", "content": "lo"}),
            STOP,
        ),
        Told("Hello"),
    ),
    "OpenRouter: comments, event and id fields": (
        b": OPENROUTER PROCESSING\n\n:\n\nevent: message\nid: 7\nretry: 10\n" + sse(*HELLO, STOP),
        Told("Hello"),
    ),
    "OpenRouter: error beside choices": (
        sse(*HELLO, chunk({"content": ""}, "error", error={"code": 502, "message": "Provider at 10.0.0.3 died"})),
        Failed(message="went wrong"),
    ),
    "OpenRouter: error as a text": (sse({"error": "no luck"}), Failed(message="went wrong")),
    "OpenRouter: reasoning details": (
        sse(
            chunk({"reasoning": "hm", "reasoning_details": [{"text": "hm"}]}),
            chunk({"reasoning": "m", "reasoning_details": [{"text": "m"}]}),
            *HELLO,
            STOP,
        ),
        Told("Hello", carry={"reasoning": "hmm", "reasoning_details": [{"text": "hm"}, {"text": "m"}]}),
    ),
    "Groq: usage in x_groq": (
        sse(*HELLO, chunk({}, "stop", x_groq={"id": "req", "usage": USAGE})),
        Told("Hello", usage=(11, 5)),
    ),
    "Groq: tool_use_failed inside the stream": (
        b"event: error\n"
        + sse(
            {
                "error": {
                    "message": "Failed to call a function. Please adjust your prompt.",
                    "type": "invalid_request_error",
                    "code": "tool_use_failed",
                    "failed_generation": "<function=a{",
                    "status_code": 400,
                }
            },
            done=False,
        ),
        Failed(message="went wrong"),
    ),
    "Moonshot: usage in the choice": (
        sse(*HELLO, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}]}),
        Told("Hello", usage=(11, 5)),
    ),
    "DeepSeek: reasoning_content": (
        sse(
            chunk({"role": "assistant", "content": None, "reasoning_content": "Let me "}),
            chunk({"content": None, "reasoning_content": "think."}),
            chunk({"content": "Hello", "reasoning_content": None}),
            chunk({"content": ""}, "stop", usage={**USAGE, "prompt_cache_hit_tokens": 4}),
        ),
        Told("Hello", usage=(11, 5), carry={"reasoning_content": "Let me think."}),
    ),
    "DeepSeek: reasoning_content before a call": (
        sse(
            chunk({"role": "assistant", "content": None, "reasoning_content": "I need "}),
            chunk({"reasoning_content": "the weather."}),
            call("a", "", index=0, id="call_00_x", type="function"),
            call(arguments='{"x": 1}', index=0),
            chunk({"content": "", "reasoning_content": None}, "tool_calls", usage=USAGE),
        ),
        Told(
            calls=(("call_00_x", "a", '{"x": 1}'),),
            reason="tool_calls",
            usage=(11, 5),
            carry={"reasoning_content": "I need the weather."},
        ),
    ),
    "DeepSeek: insufficient system resource": (
        sse(*HELLO, chunk({}, "insufficient_system_resource")),
        Failed(message="went wrong"),
    ),
    "llama.cpp: timings": (
        sse(*HELLO, chunk({}, "stop", usage=USAGE, timings={"prompt_n": 9, "predicted_ms": 1.5})),
        Told("Hello", usage=(11, 5)),
    ),
    "llama.cpp: timings beside calls": (
        sse(
            chunk({"role": "assistant", "content": None}),
            call("a", '{"x"', index=0, id="Zk1", type="function"),
            call(arguments=": 1}", index=0),
            chunk({}, "tool_calls"),
            {"choices": [], "usage": USAGE, "timings": {"prompt_n": 9, "predicted_per_second": 40.5}},
        ),
        Told(calls=(("Zk1", "a", '{"x": 1}'),), reason="tool_calls", usage=(11, 5)),
    ),
    "MiniMax: the whole message once more": (
        sse(*HELLO, {"choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}]}),
        Told("Hello"),
    ),
    "DashScope: error without an envelope": (
        sse({"code": "InvalidParameter", "message": "bad", "request_id": "r"}),
        Failed(message="went wrong"),
    ),
    "Quota inside a 200": (
        sse({"error": {"message": "该令牌额度已用尽 (request id: 1)", "type": "one_api_error"}}),
        Failed("rate_limit_exceeded", "current quota", retry=False),
    ),
    "Context length inside a 200": (
        sse({"error": {"message": "This model's maximum context length is 4096 tokens.", "code": 400}}),
        Failed("invalid_prompt", "maximum context length", retry=False),
    ),
    "No [DONE]": (sse(*HELLO, STOP, done=False), Told("Hello")),
    "No end of the last line": (sse(*HELLO, STOP, done=False).rstrip(), Told("Hello")),
    "Lines end with \\r\\n": (sse(*HELLO, STOP, end="\r\n\r\n"), Told("Hello")),
    "Lines end with \\r": (sse(*HELLO, STOP, end="\r\r"), Told("Hello")),
    "No empty line between events": (sse(*HELLO, STOP, end="\n"), Told("Hello")),
    "A byte order mark": (b"\xef\xbb\xbf" + sse(*HELLO, STOP), Told("Hello")),
    "Every script": (sse(*text("你好", "，", "мир", " 🌍"), STOP), Told("你好，мир 🌍")),
    "data: without JSON": (sse("data: ping", "data:", *HELLO, STOP), Told("Hello")),
    "NaN": (sse(*HELLO, 'data: {"choices": [{"delta": {}, "finish_reason": "stop", "logprob": NaN}]}'), Told("Hello")),
    "Half of a surrogate pair": (
        sse('data: {"choices": [{"delta": {"content": "a\\ud83d"}}]}', STOP),
        Told("a\ufffd"),
    ),
    "A broken chunk": (sse(*HELLO, 'data: {"choices": [', STOP), Failed(message="could not be read")),
}
