"""The client against a real server on loopback that answers what the test tells it."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from assistant_site.llm import client, reading
from assistant_site.llm.chat import (
    ChatEvent,
    ChatRequest,
    Endpoint,
    ModelFailed,
    TextDelta,
    ToolCallArguments,
    ToolCallStarted,
    TurnFinished,
)
from assistant_site.llm.client import stream_turn
from assistant_site.llm.errors import TurnFailed
from assistant_site.llm.sending import Habits
from assistant_site.llm.tests.quirk_server import (
    CUT,
    HANG,
    Answer,
    QuirkServer,
    answering,
    called,
    delta,
    refusing,
    said,
    streaming,
)
from assistant_site.llm.transport import close_connections, warm_up

HI = ChatRequest("m", [{"role": "user", "content": "hi"}])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, settings_of_tests: Any) -> None:
    monkeypatch.setattr(client, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(client, "_habits", Habits())


@pytest.fixture
def settings_of_tests(monkeypatch: pytest.MonkeyPatch) -> Any:
    from django.conf import settings

    monkeypatch.setattr(settings, "LLM_RETRIES", 2)
    return settings


async def collect(
    provider: QuirkServer, request: ChatRequest = HI, key: str = "key", quirks: dict[str, str] | None = None
) -> list[ChatEvent]:
    events: AsyncIterator[ChatEvent] = stream_turn(Endpoint(provider.base_url, key, quirks or {}), request)
    return [event async for event in events]


def run(*turns: Callable[[], Any]) -> list[Any]:
    """Runs these one after another in one loop, and closes its connections."""

    async def main() -> list[Any]:
        try:
            return [await turn() for turn in turns]
        finally:
            await close_connections()

    return asyncio.run(main())


def ask(provider: QuirkServer, request: ChatRequest = HI, quirks: dict[str, str] | None = None) -> list[ChatEvent]:
    events: list[ChatEvent] = run(lambda: collect(provider, request, quirks=quirks))[0]
    return events


async def until(true: Callable[[], bool]) -> None:
    """Waits for what happens in the provider's thread."""
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.01)


def text_of(events: list[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def failure(provider: QuirkServer, quirks: dict[str, str] | None = None) -> ModelFailed:
    with pytest.raises(ModelFailed) as caught:
        ask(provider, quirks=quirks)
    return caught.value


def test_an_answer_streams() -> None:
    with QuirkServer(said("Hel", "lo")) as provider:
        events = ask(provider)

    *texts, end = events
    assert {type(event) for event in texts} == {TextDelta}
    assert "".join(event.text for event in texts if isinstance(event, TextDelta)) == "Hello"
    assert isinstance(end, TurnFinished)
    assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (7, 3)
    sent = provider.requests[0]
    assert sent.path == "/v1/chat/completions"
    assert sent.headers["authorization"] == "Bearer key"
    assert sent.body["stream_options"] == {"include_usage": True}


def test_the_environment_lends_no_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-the-operator")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-the-operator")
    with QuirkServer(said("x")) as provider:
        ask(provider)

    assert "operator" not in str(provider.requests[0].headers)


def test_tool_calls_stream() -> None:
    with QuirkServer(called(("f", '{"a": 1}'), ("g", ""))) as provider:
        events = ask(provider)

    assert [event for event in events if isinstance(event, ToolCallStarted)] == [
        ToolCallStarted(0, "call_0", "f"),
        ToolCallStarted(1, "call_1", "g"),
    ]
    assert "".join(e.text for e in events if isinstance(e, ToolCallArguments)) == '{"a": 1}{}'


def test_events_arrive_before_the_answer_ends() -> None:
    async def first(provider: QuirkServer) -> float:
        started = time.monotonic()
        async with aclosing(stream_turn(Endpoint(provider.base_url, "k"), HI)) as events:
            assert await anext(events) == TextDelta("Hel")
        return time.monotonic() - started

    chunks = streaming(delta(content="Hel"))
    with QuirkServer(Answer((*chunks.pieces[:1], HANG))) as provider:
        assert run(lambda: first(provider))[0] < 3


def test_one_connection_serves_turn_after_turn() -> None:
    with QuirkServer(said("a")) as provider:
        run(*[lambda: collect(provider)] * 5)

    assert len(provider.requests) == 5
    assert provider.connections <= 2  # a turn may begin while the last one's end is still being read


def test_warming_up_needs_nobody() -> None:
    assert run(warm_up) == [None]


def test_many_turns_at_once() -> None:
    async def all_at_once(provider: QuirkServer) -> list[list[ChatEvent]]:
        return await asyncio.gather(*(collect(provider) for _ in range(100)))

    with QuirkServer(Answer((0.05, *said("Hel", "lo").pieces))) as provider:
        answers = run(lambda: all_at_once(provider))[0]

    assert {text_of(answer) for answer in answers} == {"Hello"}


# --- Retries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        refusing(429),
        refusing(500),
        refusing(503),
        refusing(408),
        answering(b"<html>Bad gateway</html>", 502, {"content-type": "text/html"}),
        Answer((CUT,)),
        streaming(delta(role="assistant"), done=False),
        streaming(),
        streaming({"error": {"message": "overloaded", "code": 529}}),
        answering({"error": {"message": "boom", "code": 500}}),
        streaming(b"data: {broken\n\n"),
    ],
    ids=["429", "500", "503", "408", "html 502", "cut", "no end", "only [DONE]", "error chunk", "error 200", "broken"],
)
def test_what_may_pass_is_tried_again(first: Answer) -> None:
    with QuirkServer(first, said("Hello")) as provider:
        assert text_of(ask(provider)) == "Hello"
    assert len(provider.requests) == 2


def test_retries_end() -> None:
    with QuirkServer(refusing(429)) as provider:
        failed = failure(provider)

    assert (failed.code, failed.status) == ("rate_limit_exceeded", 429)
    assert len(provider.requests) == 3


def test_a_provider_that_is_not_there_is_a_failure() -> None:
    with QuirkServer(said("x")) as provider:
        pass
    failed = failure(provider)

    assert (failed.code, failed.message) == ("server_error", "The model provider could not be reached.")


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (refusing(429, "insufficient_quota"), "rate_limit_exceeded", "You exceeded your current quota"),
        (refusing(401, message="该令牌额度已用尽"), "rate_limit_exceeded", "You exceeded your current quota"),
        (refusing(401), "server_error", "refused the server's credential"),
        (refusing(403), "server_error", "refused the server's credential"),
        (refusing(503, message="当前分组 default 下无可用渠道"), "server_error", "nothing that serves"),
        (refusing(400, "context_length_exceeded", "Too long."), "invalid_prompt", "Too long."),
        (refusing(404, message="The model does not exist"), "server_error", "does not exist"),
        (refusing(429, retry_after="3600"), "rate_limit_exceeded", "rate limit"),
        (refusing(307, location="http://127.0.0.1:1/"), "server_error", "redirects"),
        (answering(b"<html>hi</html>", 200, {"content-type": "text/html"}), "server_error", "end in /v1?"),
        (answering(b"OK", 200, {"content-type": "text/plain"}), "server_error", "end in /v1?"),
        (answering({"error": {"code": "insufficient_user_quota"}}), "rate_limit_exceeded", "quota"),
    ],
)
def test_what_will_not_pass_is_asked_once(answer: Answer, code: str, message: str) -> None:
    with QuirkServer(answer) as provider:
        failed = failure(provider)

    assert failed.code == code
    assert message in failed.message
    assert len(provider.requests) == 1


def test_once_something_was_shown_nothing_is_tried_again() -> None:
    shown = []

    async def turn(provider: QuirkServer) -> None:
        async for event in stream_turn(Endpoint(provider.base_url, "k"), HI):
            shown.append(event)

    broken = Answer((*said("Hel").pieces[:2], 0.05, CUT))
    with QuirkServer(broken, said("again")) as provider, pytest.raises(ModelFailed, match="ended early"):
        run(lambda: turn(provider))

    assert shown == [TextDelta("Hel")]
    assert len(provider.requests) == 1


def test_a_cut_behind_the_reason_does_no_harm() -> None:
    with QuirkServer(Answer((*streaming(delta(content="Hello"), delta("stop"), done=False).pieces, CUT))) as provider:
        assert text_of(ask(provider)) == "Hello"


def test_a_missing_end_behind_the_reason_is_not_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "AFTER_REASON_SECONDS", 0.2)
    pieces = streaming(delta(content="Hello"), delta("stop"), done=False).pieces
    with QuirkServer(Answer((*pieces, HANG))) as provider:
        assert text_of(ask(provider)) == "Hello"


def test_the_provider_says_how_long_to_wait() -> None:
    with QuirkServer(refusing(429, retry_after="0.3"), said("Hello")) as provider:
        started = time.monotonic()
        ask(provider)

    assert time.monotonic() - started >= 0.3


def test_without_a_wish_the_pauses_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float | None] = []
    pause_of = client._pause

    def noted(failed: TurnFailed, retries: int) -> float | None:
        pauses.append(pause_of(failed, retries))
        return None if pauses[-1] is None else 0.0

    monkeypatch.setattr(client, "FIRST_PAUSE_SECONDS", 1.0)
    monkeypatch.setattr(client, "_pause", noted)
    one_api = answering({"error": {"message": "当前分组上游负载已饱和，请稍后再试", "type": "upstream_error"}}, 429)
    with QuirkServer(one_api) as provider:
        failed = failure(provider)

    assert failed.code == "rate_limit_exceeded"
    first, second = pauses
    assert first is not None
    assert second is not None
    assert 0.5 <= first <= 1
    assert 1 <= second <= 2


def test_waiting_to_ask_again_ends_with_the_callers_patience() -> None:
    async def impatient(provider: QuirkServer) -> float:
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await collect(provider)
        return time.monotonic() - started

    with QuirkServer(refusing(429, retry_after="20")) as provider:
        assert run(lambda: impatient(provider))[0] < 3
    assert len(provider.requests) == 1


def test_a_gateway_that_removes_keep_alives_may_be_silent_for_two_minutes(settings_of_tests: Any) -> None:
    assert settings_of_tests.LLM_SILENCE_SECONDS >= 120


def test_silence_is_final(settings_of_tests: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_of_tests, "LLM_SILENCE_SECONDS", 0.2)
    with QuirkServer(Answer((HANG,))) as provider:
        failed = failure(provider)

    assert failed.message == "The model provider did not answer in time."
    assert len(provider.requests) == 1


# --- Adapting --------------------------------------------------------------------------------------------------------


def test_a_refused_feature_is_left_out_and_remembered() -> None:
    def strict(request: Any) -> Answer:
        if "stream_options" in request.body:
            return refusing(400, message="Unrecognized request argument supplied: stream_options")
        if "max_completion_tokens" in request.body:
            return refusing(400, message="max_completion_tokens: Extra inputs are not permitted")
        return said("Hello", usage=None)

    request = ChatRequest("m", [{"role": "user", "content": "hi"}], options={"max_completion_tokens": 9})
    with QuirkServer(strict) as provider:
        answers = run(lambda: collect(provider, request), lambda: collect(provider, request))

    assert [text_of(answer) for answer in answers] == ["Hello", "Hello"]
    assert len(provider.requests) == 4
    assert provider.requests[-1].body["max_tokens"] == 9


def test_a_400_for_another_reason_is_final() -> None:
    with QuirkServer(refusing(400, message="messages[0].content is wrong")) as provider:
        assert failure(provider).message == "messages[0].content is wrong"
    assert len(provider.requests) == 1


def test_a_provider_that_refuses_everything_does_not_keep_us() -> None:
    with QuirkServer(refusing(400, message="stream_options max_tokens strict unsupported")) as provider:
        failure(provider)
    assert len(provider.requests) == 2


@pytest.mark.parametrize("quirk", ["stream", "stream_tools"])
def test_an_answer_can_be_asked_for_in_one_piece(quirk: str) -> None:
    message = {"content": "Hello", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}
    body = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
    request = ChatRequest("m", HI.messages, [{"type": "function", "function": {"name": "f"}}])
    with QuirkServer(answering(body)) as provider:
        events = ask(provider, request, quirks={quirk: "false"})

    assert events[:3] == [TextDelta("Hello"), ToolCallStarted(0, "1", "f"), ToolCallArguments(0, "{}")]
    assert provider.requests[0].body["stream"] is False
    assert "stream_options" not in provider.requests[0].body


def test_a_json_answer_where_a_stream_was_asked_for_is_taken() -> None:
    with QuirkServer(answering({"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]})) as provider:
        assert text_of(ask(provider)) == "Hello"


def test_a_lenient_profile_needs_no_reason_but_an_end() -> None:
    with QuirkServer(streaming(delta(content="Hello"))) as provider:
        assert text_of(ask(provider, quirks={"lenient_finish": "true"})) == "Hello"
    with QuirkServer(Answer((*streaming(delta(content="Hello"), done=False).pieces, 0.05, CUT))) as provider:
        failure(provider, quirks={"lenient_finish": "true"})


def test_a_stream_without_a_content_type_is_read() -> None:
    with QuirkServer(Answer(said("Hello").pieces, headers={}, framing="close")) as provider:
        assert text_of(ask(provider)) == "Hello"


# --- Leaving, logging ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [(HANG,), (*said("Hel").pieces[:2], HANG)], ids=["before", "in the middle"])
def test_cancelling_closes_the_connection_at_once(pieces: tuple[Any, ...]) -> None:
    async def cancelled(provider: QuirkServer) -> float:
        task = asyncio.create_task(collect(provider))
        await until(lambda: bool(provider.requests))
        await asyncio.sleep(0.05)
        task.cancel()
        started = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: bool(provider.left))
        return time.monotonic() - started

    with QuirkServer(Answer(pieces)) as provider:
        assert run(lambda: cancelled(provider))[0] < 1
        assert provider.left == 1


def test_leaving_the_iterator_closes_the_connection() -> None:
    async def leave(provider: QuirkServer) -> None:
        async with aclosing(stream_turn(Endpoint(provider.base_url, "k"), HI)) as events:
            await anext(events)
        await until(lambda: bool(provider.left))

    with QuirkServer(Answer((*said("Hel").pieces[:2], HANG))) as provider:
        run(lambda: leave(provider))
        assert provider.left == 1


def test_the_log_tells_the_operator_what_the_tenant_must_not_know(caplog: pytest.LogCaptureFixture) -> None:
    secret = "tok-very-secret"
    answer = refusing(500, message=f"dial tcp 10.1.2.3:80 with {secret}", x_oneapi_request_id="r-42")
    request = ChatRequest("m", [{"role": "user", "content": "my private prompt"}])
    log = caplog.at_level(logging.DEBUG, logger="assistant_site")
    with QuirkServer(answer) as provider, log, pytest.raises(ModelFailed) as caught:
        run(lambda: collect(provider, request, key=secret))

    assert "10.1.2.3" not in caught.value.message
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("assistant_site"))
    assert "10.1.2.3" in ours
    assert "r-42" in ours
    assert secret not in ours
    assert "private" not in ours


@pytest.mark.parametrize(
    "answer",
    [
        refusing(400, code="invalid_value", message="Input should be valid: 'my private prompt'"),
        answering({"detail": [{"msg": "bad", "input": "my private prompt"}]}, 422),
        answering({"error": {"message": "The prompt is too long: 'my private prompt'"}}, 200),
        answering(b"my private answer", 200, {"content-type": "text/plain"}),
    ],
    ids=["400", "422", "inside a 200", "no JSON"],
)
def test_the_log_has_no_words_that_may_quote_the_request(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    with QuirkServer(answer) as provider, caplog.at_level(logging.DEBUG, logger="assistant_site"):
        failure(provider)

    assert "A model turn failed" in caplog.text
    assert "private" not in caplog.text


@pytest.mark.parametrize(
    ("answer", "logged"),
    [
        (
            answering(b"<!doctype html><title>One API</title>", 200, {"content-type": "text/html"}),
            ["status 200", "<!doctype html><title>One API</title>"],
        ),
        (Answer(streaming(delta(role="assistant")).pieces, headers={"x-oneapi-request-id": "r-42"}), ["r-42"]),
    ],
    ids=["no endpoint", "cut"],
)
def test_the_log_names_what_was_answered(answer: Answer, logged: list[str], caplog: pytest.LogCaptureFixture) -> None:
    with QuirkServer(answer) as provider, caplog.at_level(logging.WARNING, logger="assistant_site"):
        failure(provider)

    assert all(part in caplog.text for part in logged)


def test_an_estimated_usage_is_marked_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="assistant_site.llm"), QuirkServer(said("x", usage=None)) as provider:
        ask(provider)
    assert "estimated" in caplog.text

    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="assistant_site.llm"), QuirkServer(said("x")) as provider:
        ask(provider)
    assert "estimated" not in caplog.text


def test_an_endless_error_body_is_not_read_to_its_end() -> None:
    endless = Answer((b'{"error": "' + b"x" * 200_000, HANG), 400)
    with QuirkServer(endless) as provider:
        started = time.monotonic()
        failure(provider)
    assert time.monotonic() - started < 20


def test_requests_are_plain_json() -> None:
    request = ChatRequest("m", [{"role": "user", "content": "你好"}])
    with QuirkServer(said("x")) as provider:
        ask(provider, request)

    assert json.loads(json.dumps(provider.requests[0].body))["messages"] == [{"role": "user", "content": "你好"}]
