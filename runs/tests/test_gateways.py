"""Known gateways' recorded answers through the whole tool loop: what goes back to them, and what the caller sees."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from assistant_site.llm.tests.quirk_server import CUT, Answer, QuirkServer, Request, Script, answering, refusing, said
from assistant_site.llm.tests.streams import CALLS, STOP, USAGE, call, chunk, sse, text
from assistant_site.tests.callers import Event, LiveCaller
from assistant_site.tests.stack import Stack
from runs.tests.folding import Folded, shape
from tenants.models import Provider

FUNCTIONS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("a", "b")
]
TWO = [("a", '{"x": 1}'), ("b", '{"y": 2}')]
OUTPUTS = ["sunny", "12 degrees"]
ANSWER = "Sunny, 12 degrees."
SIGNED = {"extra_content": {"google": {"thought_signature": "c2lnbmVk"}}}
THOUGHT = "The user wants the weather."


def recorded(*chunks: object, **how: Any) -> Answer:
    return Answer((sse(*chunks, **how),))


def needing(missing: Callable[[dict[str, Any]], bool], message: str, answer: Answer) -> Script:
    """This answer, but a 400 if that is missing from the assistant's turn with calls in the history."""

    def script(request: Request) -> Answer:
        turns = [m for m in request.body["messages"] if m.get("tool_calls")]
        return refusing(400, message=message) if not turns or any(map(missing, turns)) else answer

    return script


@dataclass(frozen=True)
class Gateway:
    """`script`: its answers in order. `calls`: what the caller is to answer. `back`: of the turn that is sent back."""

    script: tuple[Script, ...]
    calls: list[tuple[str, str]] = field(default_factory=lambda: TWO)
    back: dict[str, Any] = field(default_factory=lambda: {"content": ""})
    call_back: dict[str, Any] = field(default_factory=dict)  # of its first call
    before: str = ""  # text before the calls
    quirks: dict[str, str] = field(default_factory=dict)


GATEWAYS = {
    "One API, Claude": Gateway(
        (
            recorded(
                chunk({"role": "assistant", "content": ""}, ""),
                chunk({"role": "assistant", "tool_calls": [{"id": "t1", "function": {"name": "a"}}]}, ""),
                chunk({"role": "assistant", "tool_calls": [{"function": {"arguments": '{"x": 1}'}}]}, ""),
                chunk({"role": "assistant", "tool_calls": [{"id": "t2", "function": {"name": "b"}}]}, ""),
                chunk({"role": "assistant", "tool_calls": [{"function": {"arguments": '{"y": 2}'}}]}, ""),
                chunk({"role": "assistant"}, "tool_calls"),
                chunk({"role": "assistant"}, ""),
            ),
            recorded(chunk({"role": "assistant", "content": ANSWER}, ""), STOP, chunk({"role": "assistant"}, "")),
        ),
        back={"content": "…"},
        quirks={"tool_call_content": "text"},
    ),
    "One API, Claude with a text": Gateway(
        (
            recorded(
                chunk({"role": "assistant", "content": "Let me look."}, ""),
                chunk({"tool_calls": [{"id": "t1", "function": {"name": "a", "arguments": '{"x": 1}'}}]}, ""),
                chunk({"role": "assistant"}, "tool_calls"),
                chunk({"role": "assistant"}, ""),
            ),
            said(ANSWER),
        ),
        calls=TWO[:1],
        back={"content": "Let me look."},
        before="Let me look.",
        quirks={"tool_call_content": "text"},
    ),
    "Ollama": Gateway(
        (
            recorded(
                chunk({"content": "", "tool_calls": [{"function": {"name": "a", "arguments": '{"x": 1}'}}]}),
                chunk({"content": "", "tool_calls": [{"function": {"name": "b", "arguments": '{"y": 2}'}}]}),
                chunk({"content": ""}, "stop"),
            ),
            recorded(*text(ANSWER), STOP),
        ),
    ),
    "Ollama, before it could stream calls": Gateway(
        (
            answering(
                {
                    "choices": [
                        {
                            "message": {
                                "content": "",
                                "tool_calls": [
                                    {"id": f"{name}1", "function": {"name": name, "arguments": arguments}}
                                    for name, arguments in TWO
                                ],
                            },
                            "finish_reason": "stop",
                        }
                    ],
                    "usage": USAGE,
                }
            ),
            answering({"choices": [{"message": {"content": ANSWER}, "finish_reason": "stop"}]}),
        ),
        quirks={"stream_tools": "false"},
    ),
    "DeepSeek": Gateway(
        (
            recorded(
                chunk({"role": "assistant", "content": None, "reasoning_content": "The user "}),
                chunk({"reasoning_content": "wants the weather."}),
                call("a", '{"x": 1}', index=0, id="call_00_a", type="function"),
                call("b", '{"y": 2}', index=1, id="call_01_b", type="function"),
                chunk({"content": ""}, "tool_calls", usage={**USAGE, "prompt_cache_hit_tokens": 4}),
            ),
            needing(
                lambda turn: turn.get("reasoning_content") != THOUGHT,
                "The `reasoning_content` in the thinking mode must be passed back to the API.",
                recorded(chunk({"reasoning_content": "Good."}), *text(ANSWER), STOP),
            ),
        ),
        back={"content": "", "reasoning_content": THOUGHT},
    ),
    "Gemini": Gateway(
        (
            recorded(
                chunk(
                    {
                        "tool_calls": [
                            {"id": "g1", "function": {"name": "a", "arguments": '{"x": 1}'}, **SIGNED},
                            {"id": "g2", "function": {"name": "b", "arguments": '{"y": 2}'}},
                        ]
                    }
                ),
                STOP,
            ),
            needing(
                lambda turn: turn["tool_calls"][0].get("extra_content") != SIGNED["extra_content"],
                "Function call is missing a thought_signature in functionCall parts.",
                recorded(*text(ANSWER), STOP),
            ),
        ),
        call_back=SIGNED,
    ),
    "Azure": Gateway(
        (
            recorded(
                {"choices": [], "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]},
                chunk({"role": "assistant", "content": None}, content_filter_results={}),
                call("a", '{"x": 1}', index=0, id="call_1", type="function"),
                call("b", '{"y": 2}', index=1, id="call_2", type="function"),
                CALLS,
                {"choices": [], "usage": USAGE},
            ),
            recorded(
                {"choices": [], "prompt_filter_results": []},
                *text(ANSWER),
                {"choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {"check_offset": 4}}]},
                {"choices": [{"index": 0, "delta": None, "finish_reason": "stop"}]},
            ),
        ),
    ),
    "Groq": Gateway(
        (
            refusing(400, message="property 'stream_options' is unsupported, did you mean 'stream'?"),
            answering(
                {
                    "error": {
                        "message": "Failed to call a function. Please adjust your prompt.",
                        "type": "invalid_request_error",
                        "code": "tool_use_failed",
                        "failed_generation": "<function=a{",
                    }
                },
                400,
            ),
            recorded(
                chunk({"role": "assistant", "content": None}, x_groq={"id": "req_1"}),
                call("a", '{"x": 1}', index=0, id="call_1", type="function"),
                call("b", '{"y": 2}', index=1, id="call_2", type="function"),
                chunk({}, "tool_calls", x_groq={"id": "req_1", "usage": USAGE}),
            ),
            recorded(*text(ANSWER), chunk({}, "stop", x_groq={"usage": USAGE})),
        ),
    ),
    "vLLM, cut arguments": Gateway(
        (
            recorded(call("a", '{"x": "br', index=0, id="cut", type="function"), CALLS),
            recorded(
                *text("\n\n"),
                call("a", '{"x": 1}', index=0, id="call_1", type="function"),
                call("b", '{"y"', index=1, id="call_2", type="function"),
                call(arguments=": 2}", index=1),
                chunk({}, "tool_calls", stop_reason=None),
            ),
            recorded(*text(ANSWER), STOP, {"choices": [], "usage": USAGE}),
        ),
    ),
    "LiteLLM, an error inside the stream": Gateway(
        (
            recorded(
                chunk({"role": "assistant", "content": ""}),
                {"error": {"message": "litellm.RateLimitError: slow down", "type": "throttling_error", "code": "429"}},
                done=False,
            ),
            recorded(call("a", '{"x": 1}{"y": 2}', index=0, id="1", type="function"), CALLS),
            recorded(
                *text(ANSWER),
                {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
                {"choices": [{"index": 0, "delta": {}}], "usage": USAGE},
            ),
        ),
        calls=[("a", '{"x": 1}'), ("a", '{"y": 2}')],
    ),
    "llama.cpp": Gateway(
        (
            recorded(
                chunk({"role": "assistant", "content": None}),
                call("a", '{"x"', index=0, id="Zk1", type="function"),
                call(arguments=": 1}", index=0),
                call("b", '{"y": 2}', index=1, id="Zk2", type="function"),
                CALLS,
                {"choices": [], "usage": USAGE, "timings": {"prompt_n": 9, "predicted_per_second": 40.5}},
            ),
            recorded(*text(ANSWER), chunk({}, "stop", timings={"prompt_n": 9}, usage=USAGE)),
        ),
    ),
    "GLM": Gateway(
        (
            recorded(call("a", {"x": 1}, index=-1, id="1"), call("b", {"y": 2}, index=-1, id="2"), CALLS),
            recorded(*text(ANSWER), chunk({}, "eos")),
        ),
        calls=[("a", '{"x":1}'), ("b", '{"y":2}')],
    ),
}


def told(events: list[Event]) -> str:
    return json.dumps([event.data for event in events], ensure_ascii=False)


@pytest.mark.parametrize("name", GATEWAYS)
def test_the_whole_tool_loop(lena: LiveCaller, name: str) -> None:
    gateway = GATEWAYS[name]
    with QuirkServer(*gateway.script) as server:
        Provider.objects.create(tenant=lena.tenant, name=name, base_url=server.base_url, quirks=gateway.quirks)
        thread = lena.thread("What is the weather?")
        body = {"assistant_id": lena.assistant(model="gateway-model", tools=FUNCTIONS)}
        first = lena.stream(f"threads/{thread}/runs", body)
        asked = Folded(first)
        waiting = asked.run
        assert shape(first)[-2:] == ["run.requires_action", "done"], waiting["last_error"]
        asked.equals_rest(lena)
        pending = waiting["required_action"]["submit_tool_outputs"]["tool_calls"]
        outputs = [{"tool_call_id": c["id"], "output": o} for c, o in zip(pending, OUTPUTS, strict=False)]
        path = f"threads/{thread}/runs/{waiting['id']}/submit_tool_outputs"
        second = lena.stream(path, {"tool_outputs": outputs})
        sent = [request.body for request in server.requests]

    # What the caller sees.
    assert [(c["function"]["name"], c["function"]["arguments"]) for c in pending] == gateway.calls
    assert len({c["id"] for c in pending}) == len(pending)
    assert all(c["id"] for c in pending)
    folded = Folded(second)
    folded.equals_rest(lena)
    assert folded.run["status"] == "completed"
    assert folded.run["usage"]["prompt_tokens"] > 0
    assert folded.run["usage"]["completion_tokens"] > 0
    said_to_caller = [message["content"][0]["text"]["value"] for message in lena.messages(thread)[1:]]
    assert said_to_caller == [text for text in (gateway.before, ANSWER) if text]
    seen = told(first) + told(second)
    assert not any(word in seen for word in (THOUGHT, "reasoning_content", "signature", "timings", "filter_results"))

    # What the gateway got: one request for each of its answers, and its own calls back with the outputs.
    assert len(sent) == len(gateway.script)
    start = max(at for at, message in enumerate(sent[-1]["messages"]) if message.get("tool_calls"))
    turn, *results = sent[-1]["messages"][start:]
    assert {key: value for key, value in turn.items() if key not in ("role", "tool_calls")} == gateway.back
    assert [back["id"] for back in turn["tool_calls"]] == [c["id"] for c in pending]
    assert [(back["function"]["name"], back["function"]["arguments"]) for back in turn["tool_calls"]] == gateway.calls
    assert {**turn["tool_calls"][0], **gateway.call_back} == turn["tool_calls"][0]
    assert [(r["role"], r["tool_call_id"], r["content"]) for r in results] == [
        ("tool", c["id"], o) for c, o in zip(pending, OUTPUTS, strict=False)
    ]


def test_what_groq_refuses_is_not_sent_again(lena: LiveCaller) -> None:
    with QuirkServer(*GATEWAYS["Groq"].script) as server:
        lena.provided_by(server.base_url)
        run = lena.run(lena.thread("Go"), lena.assistant(tools=FUNCTIONS))
        offered = ["stream_options" in request.body for request in server.requests]

    assert run["status"] == "requires_action"
    assert offered == [True, False, False]


def test_a_gateway_that_fails_in_the_tool_loop_fails_the_run(lena: LiveCaller) -> None:
    error = {"error": {"message": "litellm.APIConnectionError: http://10.0.0.1:8000 is down", "code": "500"}}
    broken = Answer((sse(*text("Sunny, "), done=False), 0.1, sse(error, done=False)))
    with QuirkServer(GATEWAYS["llama.cpp"].script[0], broken) as server:
        lena.provided_by(server.base_url)
        thread = lena.thread("Go")
        run = lena.run(thread, lena.assistant(tools=FUNCTIONS))
        pending = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        path = f"threads/{thread}/runs/{run['id']}/submit_tool_outputs"
        events = lena.stream(path, {"tool_outputs": [{"tool_call_id": c["id"], "output": ""} for c in pending]})
        assert len(server.requests) == 2  # something was shown: not asked again

    assert shape(events)[-4:] == ["message.incomplete", "run.step.failed", "run.failed", "done"]
    folded = Folded(events)
    folded.equals_rest(lena)
    assert folded.run["last_error"] == {"code": "server_error", "message": "Sorry, something went wrong."}
    assert lena.last_text(thread) == "Sunny, "
    assert "10.0.0.1" not in told(events)


@pytest.mark.parametrize(
    "hiccup",
    [
        refusing(429, message="当前分组上游负载已饱和，请稍后再试"),
        refusing(502, "bad_response_status_code", " (request id: 1)"),
        recorded(chunk({"role": "assistant", "content": ""})),
        Answer((CUT,)),
    ],
    ids=["One API, 429", "One API, 502", "One API, an error that vanished", "cut"],
)
def test_a_hiccup_in_the_tool_loop_passes_unseen(lena: LiveCaller, hiccup: Answer) -> None:
    with QuirkServer(GATEWAYS["llama.cpp"].script[0], hiccup, said(ANSWER)) as server:
        lena.provided_by(server.base_url)
        thread = lena.thread("Go")
        run = lena.run(thread, lena.assistant(tools=FUNCTIONS))
        pending = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        path = f"threads/{thread}/runs/{run['id']}/submit_tool_outputs"
        events = lena.stream(path, {"tool_outputs": [{"tool_call_id": c["id"], "output": ""} for c in pending]})
        assert len(server.requests) == 3

    folded = Folded(events)
    folded.equals_rest(lena)
    assert folded.run["status"] == "completed"
    assert len(folded.messages) == 1


@pytest.mark.slow
def test_a_provider_that_wants_more_time_than_the_run_has(lena: LiveCaller, tmp_path: Path) -> None:
    with (
        QuirkServer(refusing(429, retry_after="25")) as server,
        Stack(
            folder=tmp_path, env={"RUN_SECONDS": "8"}, workers=0, ingestions=0
        ) as short,  # the web decides on `expires_at`; long enough for a busy machine to ask once
    ):
        lena.provided_by(server.base_url)
        impatient = LiveCaller(lena.tenant, lena.token, short.url)
        thread = lena.thread("Hello")
        events = impatient.stream(f"threads/{thread}/runs", {"assistant_id": lena.assistant()})
        assert len(server.requests) == 1

    assert shape(events)[-2:] == ["run.expired", "done"]
    Folded(events).equals_rest(lena)
