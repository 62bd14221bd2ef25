"""The demo model through Django's handler, without a database."""

import asyncio
import base64
import json
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from django.http import StreamingHttpResponse
from django.test import RequestFactory, override_settings
from django.urls import resolve

from assistant_site.demo import completion, views
from assistant_site.llm.assembler import Assembler
from assistant_site.llm.chat import ChatEvent, ModelFailed, TextDelta, ToolCallStarted, TurnFinished
from assistant_site.llm.sse import DONE, PayloadReader

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}, "days": {"type": "integer"}},
            "required": ["city", "unit"],
        },
    },
}
MAIL = {"type": "function", "function": {"name": "send_mail"}}
TOOLS = [WEATHER, MAIL]


@pytest.fixture(autouse=True)
def demo_only() -> Iterator[None]:
    with override_settings(ROOT_URLCONF="assistant_site.demo.tests.urlconf"):
        yield


def post(path: str, body: object, **headers: str) -> Any:
    """The response of the view that the path leads to. Any: Django's responses, streaming or not."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = RequestFactory(headers=headers).post(f"/demo/v1/{path}", raw, content_type="application/json")
    match = resolve(request.path)
    return match.func(request, *match.args, **match.kwargs)


def get(path: str) -> Any:
    request = RequestFactory().get(f"/demo/v1/{path}")
    match = resolve(request.path)
    return json.loads(match.func(request, *match.args, **match.kwargs).content)


def user(text: str, *after: dict[str, Any], model: str = "demo-instant", **options: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}, *after], **options}


def whole(body: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(post("chat/completions", body).content)
    return answer


def said(body: dict[str, Any]) -> str:
    return str(whole(body)["choices"][0]["message"]["content"])


def calls(body: dict[str, Any]) -> list[tuple[str, str]]:
    message = whole(body)["choices"][0]["message"]
    return [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", [])]


async def _bytes(response: StreamingHttpResponse) -> list[bytes]:
    stream = response.streaming_content
    assert isinstance(stream, AsyncIterator)
    return [piece async for piece in stream]


def streamed(body: dict[str, Any]) -> bytes:
    return b"".join(asyncio.run(_bytes(post("chat/completions", {**body, "stream": True}))))


def events_of(body: dict[str, Any]) -> list[ChatEvent]:
    reader, assembler = PayloadReader(), Assembler()
    payloads = [payload for payload in reader.feed(streamed(body)) if payload != DONE]
    events = [event for payload in payloads for event in assembler.feed(json.loads(payload))]
    return events + assembler.finish()


def made(*names: str) -> dict[str, Any]:
    """An assistant's message with these calls."""
    functions = [
        {"id": f"c{at}", "type": "function", "function": {"name": n, "arguments": "{}"}} for at, n in enumerate(names)
    ]
    return {"role": "assistant", "content": "", "tool_calls": functions}


def output(call: int, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"c{call}", "content": text}


def test_it_says_what_it_is_quotes_the_user_and_tells_the_way_out() -> None:
    text = said(user("How high is the Zugspitze?"))

    assert "demo model" in text
    assert "How high is the Zugspitze?" in text
    assert "OPENAI_BASE_URL" in text
    assert text == said(user("How high is the Zugspitze?"))


def test_a_stream_says_the_same_as_the_whole_answer() -> None:
    body = user("Grüße, 世界! tag:x1")
    events = events_of(body)
    finished = events[-1]

    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == said(body)
    assert said(body).startswith("[x1] ")
    assert isinstance(finished, TurnFinished)
    assert finished.reason == "stop"
    assert finished.usage.estimated


def test_usage_is_streamed_when_asked_for() -> None:
    body = user("hi")
    finished = events_of({**body, "stream_options": {"include_usage": True}})[-1]

    assert isinstance(finished, TurnFinished)
    assert not finished.usage.estimated
    assert finished.usage.completion_tokens == whole(body)["usage"]["completion_tokens"]


def test_words_come_on_a_clock() -> None:
    async def first_and_last() -> tuple[float, float, int]:
        response = post("chat/completions", user("hi", model="demo", stream=True))
        started, times = time.monotonic(), []
        async for _ in response.streaming_content:
            times.append(time.monotonic() - started)
        return times[1], times[-1], len(times)

    first, last, pieces = asyncio.run(first_and_last())

    assert 0.005 < first < 0.2
    assert 0.3 < last < 3
    assert pieces > 10


def test_lines_call_functions_and_then_separates_turns() -> None:
    first_turn = 'call:get_weather {"city": "Bonn"}\ncall:get_weather {"city": "Ulm"}'
    script = f"Do it.\n{first_turn}\nthen:\ncall:send_mail\ncall:unknown {{}}"
    first = calls(user(script, tools=TOOLS))
    after = [made("get_weather", "get_weather"), output(0, "sun"), output(1, "rain")]
    second = calls(user(script, *after, tools=TOOLS))
    last = user(script, *after, made("send_mail"), output(0, "sent 42"), tools=TOOLS)

    assert first == [("get_weather", '{"city": "Bonn"}'), ("get_weather", '{"city": "Ulm"}')]
    assert second == [("send_mail", "{}")]
    assert calls(last) == []
    assert all(part in said(last) for part in ("sun", "rain", "send_mail: sent 42"))


def test_code_is_run_and_its_output_quoted() -> None:
    code = {"type": "function", "function": {"name": "code_interpreter", "parameters": {"type": "object"}}}
    script = 'Draw.\ncall:code_interpreter {"code": "x = 1\\nprint(x)"}\nthen:\ncall:code_interpreter {"code": "x"}'
    assert calls(user(script, tools=[code])) == [("code_interpreter", '{"code": "x = 1\\nprint(x)"}')]
    first = made("code_interpreter"), output(0, "1")
    assert calls(user(script, *first, tools=[code])) == [("code_interpreter", '{"code": "x"}')]
    text = said(user("call:code_interpreter {}", *first, tools=[code]))
    assert text == "The demo model called tools and got these outputs:\n\n- code_interpreter: 1"


def test_calls_stream_in_pieces() -> None:
    events = events_of(user('call:get_weather {"city": "Bonn am Rhein", "x": [1, 2]}\ncall:send_mail {}', tools=TOOLS))
    finished = events[-1]

    assert [event.name for event in events if isinstance(event, ToolCallStarted)] == ["get_weather", "send_mail"]
    assert isinstance(finished, TurnFinished)
    assert finished.reason == "tool_calls"
    assert len(events) > 5


def test_without_parallel_calls_each_turn_has_one() -> None:
    script = "call:get_weather {}\ncall:send_mail {}"

    assert calls(user(script, tools=TOOLS, parallel_tool_calls=False)) == [("get_weather", "{}")]
    after = [made("get_weather"), output(0, "sun")]
    assert calls(user(script, *after, tools=TOOLS, parallel_tool_calls=False)) == [("send_mail", "{}")]


def test_tool_choice_is_honoured() -> None:
    forced = {"type": "function", "function": {"name": "send_mail"}}

    assert calls(user("call:get_weather {}", tools=TOOLS, tool_choice="none")) == []
    assert calls(user("hi", tools=TOOLS, tool_choice="auto")) == []
    assert calls(user("hi", tools=TOOLS, tool_choice="required")) == [
        ("get_weather", '{"city": "example city", "unit": "C"}')
    ]
    assert calls(user("hi", tools=TOOLS, tool_choice=forced)) == [("send_mail", "{}")]
    assert calls(user('call:send_mail {"a": 1}', tools=TOOLS, tool_choice=forced)) == [("send_mail", '{"a": 1}')]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        {"model": "demo"},
        {"model": "demo", "messages": []},
        {"model": "demo", "messages": ["x"]},
        user("hi", tool_choice="required"),
        user("hi", tools=TOOLS, tool_choice={"type": "function", "function": {"name": "nobody"}}),
    ],
)
def test_what_is_wrong_is_refused_in_the_usual_envelope(body: Any) -> None:
    response = post("chat/completions", body)

    assert response.status_code == 400
    assert set(json.loads(response.content)["error"]) == {"message", "type", "param", "code"}


def test_other_methods_and_big_bodies_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MAX_BODY_BYTES", 10)

    assert post("chat/completions", user("hi")).status_code == 413
    request = RequestFactory().get("/demo/v1/chat/completions")
    assert resolve(request.path).func(request).status_code == 405


@pytest.mark.parametrize("status", [429, 500])
def test_failures_can_be_ordered_and_counted(status: int) -> None:
    text = f"fail:{status}*2 {time.time_ns()}"

    assert [post("chat/completions", user(text)).status_code for _ in range(3)] == [status, status, 200]
    assert post("chat/completions", user(f"fail:{status}")).status_code == status


def test_midstream_ends_without_a_reason() -> None:
    body = user("fail:midstream")

    assert b"[DONE]" not in streamed(body)
    assert b'"content":"This ' in streamed(body)
    with pytest.raises(ModelFailed):
        events_of(body)
    assert post("chat/completions", body).status_code == 500


@pytest.mark.parametrize("stream", [True, False])
def test_hanging_ends_when_the_client_leaves_and_is_bounded(stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def leave() -> None:
        response = post("chat/completions", user("fail:hang", stream=stream))
        async with aclosing(response.streaming_content) as pieces:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await anext(pieces)

    asyncio.run(leave())
    monkeypatch.setattr(completion, "HANG_SECONDS", 0.0)
    assert asyncio.run(_bytes(post("chat/completions", user("fail:hang", stream=stream)))) == [b""]


def test_the_request_is_echoed_without_the_credential() -> None:
    body = user("echo:request", temperature=0.5)
    seen = json.loads(post("chat/completions", body, Authorization="Bearer secret-1").content)
    echo = json.loads(seen["choices"][0]["message"]["content"])

    assert echo["temperature"] == 0.5
    assert echo["messages"] == body["messages"]
    assert (echo["message_count"], echo["authorization"]) == (1, "present")
    assert "secret-1" not in json.dumps(seen)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_limit_cuts_the_text(name: str) -> None:
    answer = whole({**user("你好 " * 50), name: 5})

    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] <= 5


def test_objects_are_answered_when_asked_for() -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 18}},
        "required": ["name", "age"],
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}

    assert json.loads(said(user("hi", response_format=wanted))) == {"name": "example name", "age": 18}
    assert json.loads(said(user("hi", response_format={"type": "json_object"})))["demo"] is True


def test_content_may_be_parts() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "image_url", "image_url": {"url": "data:"}}]

    told = said({"model": "any/name", "messages": [{"role": "user", "content": parts}]})
    assert "“one” You also sent 1 picture" in told


def test_models_are_listed_and_every_name_is_one() -> None:
    assert [model["id"] for model in get("models")["data"]] == ["demo", "demo-instant"]
    assert get("models/org/gpt-9")["id"] == "org/gpt-9"


def test_embeddings_of_like_texts_are_near() -> None:
    inputs = ["the cat sat on the mat", "a cat on a mat", "quarterly revenue rose"]
    vectors = [e["embedding"] for e in json.loads(post("embeddings", {"input": inputs}).content)["data"]]

    def near(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert near(vectors[0], vectors[1]) > 0.3 > near(vectors[0], vectors[2])
    assert near(vectors[0], vectors[0]) == pytest.approx(1)


def test_embeddings_may_be_packed_and_short() -> None:
    answer = json.loads(post("embeddings", {"input": "x", "encoding_format": "base64", "dimensions": 8}).content)
    packed = base64.b64decode(answer["data"][0]["embedding"])

    assert len(struct.unpack("<8f", packed)) == 8
    assert post("embeddings", {"input": []}).status_code == 400


SEARCH = {"type": "function", "function": {"name": "file_search", "parameters": {"type": "object"}}}


def test_files_are_searched_for_the_question_itself_and_once() -> None:
    answer = json.loads(post("chat/completions", user(" What is a cat? ", tools=[SEARCH])).content)
    [call] = answer["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "file_search"
    assert json.loads(call["function"]["arguments"]) == {"queries": ["What is a cat?"]}

    passages = "Found.\n\n【1:0†cats.md】 (line 3)\nA cat is\nan animal.\n\n【1:1†b】\n" + "long " * 100
    said = {"role": "assistant", "content": "", "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": call["id"], "content": passages}
    text = json.loads(post("chat/completions", user("What is a cat?", said, result, tools=[SEARCH])).content)
    told = text["choices"][0]["message"]["content"]
    assert "- A cat is an animal.【1:0†cats.md】\n- long long" in told
    assert told.endswith("…【1:1†b】")

    nothing = {**result, "content": "Nothing was found."}
    text = json.loads(post("chat/completions", user("What is a cat?", said, nothing, tools=[SEARCH])).content)
    assert "Nothing was found." in text["choices"][0]["message"]["content"]


@pytest.mark.parametrize("text", ["call:get_weather {}", "echo:request", "  ", "fail:500"])
def test_a_message_that_says_what_to_do_is_not_searched_for(text: str) -> None:
    answer = json.loads(post("chat/completions", user(text, tools=[SEARCH, WEATHER])).content)
    calls = answer.get("choices", [{"message": {}}])[0]["message"].get("tool_calls", [])
    assert "file_search" not in [call["function"]["name"] for call in calls]


def test_a_call_of_what_is_not_offered_is_told() -> None:
    told = said(user("call:get_wether {}\ncall:get_wether {}\ncall:play {}", tools=TOOLS))
    assert "I cannot call get_wether, play: the request offers get_weather, send_mail." in told
    assert "I cannot call play: the request offers no functions." in said(user("call:play {}"))
    assert "I cannot call" not in said(user("call:get_weather {}", tools=TOOLS, tool_choice="none"))
