import asyncio
import re
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant_site.llm.assembler import Assembler
from assistant_site.llm.chat import (
    ChatEvent,
    ModelFailed,
    RefusalDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallStarted,
    TurnFinished,
)
from assistant_site.llm.errors import TurnFailed
from assistant_site.llm.reading import AnswerBody, chunks_of
from assistant_site.llm.tests.streams import CALLS, HELLO, STREAMS, Failed, Told, call, chunk, sse, text


class Pieces:
    """A response, and its content, that come in these pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = [piece for piece in pieces if piece]
        self.headers = {"content-type": "text/event-stream"}
        self.content = self
        self.closed = False

    async def readany(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    def close(self) -> None:
        self.closed = True


async def _read(pieces: list[bytes], assembler: Assembler) -> list[ChatEvent]:
    response: Any = Pieces(pieces)
    events: list[ChatEvent] = []
    async for chunks in chunks_of(AnswerBody(response), may_stop=lambda: assembler.has_reason):
        for one in chunks:
            events += assembler.feed(one)
    return events + assembler.finish()


def read(*pieces: bytes, lenient: bool = False) -> list[ChatEvent]:
    assembler = Assembler(prompt_tokens=lambda: 100, lenient_finish=lenient)
    return asyncio.run(_read(list(pieces), assembler))


def meaning(events: list[ChatEvent]) -> Told:
    finished = events[-1]
    assert isinstance(finished, TurnFinished)
    started = [event for event in events if isinstance(event, ToolCallStarted)]
    assert [event.index for event in started] == list(range(len(started)))
    arguments = ["" for _ in started]
    for event in events:
        if isinstance(event, ToolCallArguments):
            arguments[event.index] += event.text
    usage = finished.usage
    return Told(
        text="".join(event.text for event in events if isinstance(event, TextDelta)),
        calls=tuple((event.id, event.name, arguments[event.index]) for event in started),
        reason=finished.reason,
        usage=None if usage.estimated else (usage.prompt_tokens, usage.completion_tokens),
        refusal="".join(event.text for event in events if isinstance(event, RefusalDelta)),
        carry=finished.carry,
        extras=finished.call_extras,
    )


def with_our_ids_blank(told: Told) -> Told:
    calls = tuple(("" if re.fullmatch(r"call_[0-9a-f]{24}", i) else i, name, text) for i, name, text in told.calls)
    return Told(told.text, calls, told.reason, told.usage, told.refusal, told.carry, told.extras)


def outcome(*pieces: bytes) -> Told | Failed:
    try:
        return with_our_ids_blank(meaning(read(*pieces)))
    except TurnFailed as failure:
        return Failed(failure.code, failure.message, failure.retry)


def check(found: Told | Failed, expected: Told | Failed) -> None:
    if isinstance(expected, Failed) and isinstance(found, Failed):
        assert (found.code, found.retry) == (expected.code, expected.retry)
        assert expected.message in found.message
    else:
        assert found == expected


@pytest.mark.parametrize("name", STREAMS)
def test_a_known_servers_answer_is_understood(name: str) -> None:
    data, expected = STREAMS[name]

    check(outcome(data), expected)


@given(st.sampled_from(sorted(STREAMS)), st.data())
@settings(max_examples=400, deadline=None)
def test_how_the_bytes_are_cut_changes_nothing(name: str, drawn: st.DataObject) -> None:
    data, expected = STREAMS[name]
    cuts = drawn.draw(st.lists(st.integers(0, len(data)), max_size=12).map(sorted))
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    check(outcome(*pieces), expected)


@pytest.mark.parametrize("name", STREAMS)
def test_single_bytes_are_enough(name: str) -> None:
    data, expected = STREAMS[name]

    check(outcome(*(data[at : at + 1] for at in range(len(data)))), expected)


@given(st.sampled_from(sorted(STREAMS)), st.data())
@settings(max_examples=400, deadline=None)
def test_a_stream_that_breaks_off_before_its_reason_never_completes(name: str, drawn: st.DataObject) -> None:
    data, _ = STREAMS[name]
    reasons = list(re.finditer(rb'"finish_reason": "\w+', data))
    end = reasons[0].end() if reasons else len(data)
    cut = drawn.draw(st.integers(0, end))

    with pytest.raises(ModelFailed):
        read(data[:cut])


def test_texts_that_come_together_are_told_as_one() -> None:
    assembler = Assembler()
    assert assembler.feed_all(text("Hel", "lo", " you")) == [TextDelta("Hello you")]
    assert assembler.feed_all(text("!")) == [TextDelta("!")]
    refused = chunk({"refusal": "No."})
    assert assembler.feed_all([*text("a", "b"), refused, *text("c")]) == [
        TextDelta("ab"),
        RefusalDelta("No."),
        TextDelta("c"),
    ]


def test_arguments_are_told_piece_by_piece() -> None:
    assembler = Assembler()
    pieces = ["", '{"ci', 'ty": "Bei', 'jing"', "}"]

    told = [
        assembler.feed(call("weather" if at == 0 else None, p, index=0, id="1" if at == 0 else None))
        for at, p in enumerate(pieces)
    ]

    assert told[0] == [ToolCallStarted(0, "1", "weather")]
    assert told[1:] == [[ToolCallArguments(0, piece)] for piece in pieces[1:]]


@pytest.mark.parametrize("name", STREAMS)
def test_calls_are_told_one_after_the_other(name: str) -> None:
    try:
        events = read(STREAMS[name][0])
    except ModelFailed:
        return
    told = [event.index for event in events if isinstance(event, ToolCallStarted | ToolCallArguments)]
    assert told == sorted(told)


def test_interleaved_calls_wait_for_each_other() -> None:
    assembler = Assembler()
    pieces = [
        call("a", "", index=0, id="1"),
        call("b", '{"x"', index=1, id="2"),
        call(None, '{"y": 1', index=0),
        call(None, ": 2}", index=1),
        call(None, "}", index=0),
    ]

    assert [assembler.feed(piece) for piece in pieces] == [
        [ToolCallStarted(0, "1", "a")],
        [],
        [ToolCallArguments(0, '{"y": 1')],
        [],
        [
            ToolCallArguments(0, "}"),
            ToolCallStarted(1, "2", "b"),
            ToolCallArguments(1, '{"x"'),
            ToolCallArguments(1, ": 2}"),
        ],
    ]


def test_a_lenient_profile_takes_text_without_a_reason() -> None:
    assert meaning(read(sse(*HELLO), lenient=True)).text == "Hello"


def test_a_lenient_profile_takes_whole_calls_but_no_broken_ones() -> None:
    assert meaning(read(sse(call("a", "{}", id="1")), lenient=True)).reason == "tool_calls"
    with pytest.raises(ModelFailed):
        read(sse(call("a", '{"x"', id="1")), lenient=True)


def test_a_lenient_profile_takes_no_emptiness() -> None:
    with pytest.raises(ModelFailed):
        read(sse(), lenient=True)


def test_missing_usage_is_estimated() -> None:
    finished = read(sse(*HELLO, chunk({}, "stop")))[-1]

    assert isinstance(finished, TurnFinished)
    assert finished.usage.estimated
    assert (finished.usage.prompt_tokens, finished.usage.completion_tokens) == (100, 2)


def test_what_was_spent_is_told_with_a_failure() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 2}
    with pytest.raises(ModelFailed) as caught:
        read(sse(chunk({"content": "x"}, usage=usage), {"error": "boom"}))

    assert (caught.value.usage.prompt_tokens, caught.value.usage.completion_tokens) == (9, 2)


def test_cached_and_reasoning_tokens_are_read() -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    finished = read(sse(*HELLO, chunk({}, "stop", usage=usage)))[-1]

    assert isinstance(finished, TurnFinished)
    assert (finished.usage.cached_tokens, finished.usage.reasoning_tokens) == (4, 5)


def test_a_whole_answer_is_replayed() -> None:
    message = {
        "role": "assistant",
        "content": "Hello",
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "a", "arguments": ""}},
            {"id": "2", "type": "function", "function": {"name": "a", "arguments": {"x": 1}}},
        ],
    }
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}}

    told = meaning(read(orjson.dumps(body)))

    assert told.text == "Hello"
    assert told.calls == (("1", "a", "{}"), ("2", "a", '{"x":1}'))
    assert (told.reason, told.carry) == ("tool_calls", {"reasoning_content": "hm"})


def test_a_whole_answer_may_be_an_error() -> None:
    with pytest.raises(ModelFailed) as caught:
        read(b'{"error": {"message": "insufficient_user_quota", "type": ""}}')

    assert caught.value.code == "rate_limit_exceeded"


def test_one_json_text_per_line_is_read() -> None:
    lines = b"\n".join(orjson.dumps(one) for one in (*HELLO, chunk({}, "stop")))

    assert meaning(read(lines)).text == "Hello"


def test_endless_calls_are_refused() -> None:
    with pytest.raises(ModelFailed):
        read(sse(*(call("a", "{}", index=at, id=str(at)) for at in range(200)), CALLS))
