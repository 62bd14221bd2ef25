"""Whether what is told of a run is judged rightly."""

import orjson
import pytest

from benchmarks.load.events import ANSWERED, ANSWERED_AFTER_OUTPUTS, ASKING, DELTA, Story

TEXT = ["Hello", " there", "."]


def frame(event: str, position: int | None = None, data: object = None) -> bytes:
    told = b"" if position is None else b"id: %d\n" % position
    return b"event: " + event.encode() + b"\n" + told + b"data: " + orjson.dumps(data or {}) + b"\n\n"


def content(text: str) -> list[dict[str, object]]:
    return [{"type": "text", "text": {"value": text, "annotations": []}}]


def told(events: tuple[str, ...] = ANSWERED, text: list[str] = TEXT, first: int = 1) -> list[bytes]:
    """A stream as it must be, frame by frame."""
    made: list[bytes] = []

    def add(event: str, data: object = None) -> None:
        made.append(frame(event, None if event == "done" else first + len(made), data))

    for event in events:
        if event == "thread.message.completed":
            for piece in text:
                add(DELTA, {"delta": {"content": content(piece)}})
            add(event, {"content": content("".join(text))})
        else:
            add(event)
    return made


def judged(frames: list[bytes], text: str = "Hello there.", *parts: tuple[str, ...]) -> str:
    story = Story()
    story.read(b"".join(frames))
    return story.problem(text, *parts)


def test_a_whole_stream_is_right() -> None:
    assert judged(told()) == ""
    assert judged([b": keep-alive\n\n", *told()]) == ""


def test_a_stream_in_two_connections_is_one_story() -> None:
    frames, story = told(), Story()
    for cut in (frames[:7], frames[7:]):
        story.read(b"".join(cut))
    assert story.problem("Hello there.") == ""


def test_a_function_is_called_in_the_middle_of_a_story() -> None:
    first = told(ASKING)
    second = told(ANSWERED_AFTER_OUTPUTS, first=len(first))
    assert judged([*first, *second], "Hello there.", ASKING, ANSWERED_AFTER_OUTPUTS) == ""
    assert judged(second[:-1], "Hello there.", ASKING, ANSWERED_AFTER_OUTPUTS) == "cut off"


@pytest.mark.parametrize(
    ("spoilt", "problem"),
    [
        (lambda frames: frames[:-1], "cut off"),
        (lambda frames: frames[:8] + frames[9:], "text that is not whole"),
        (lambda frames: [*frames[:3], frames[3].replace(b"id: 4", b"id: 2"), *frames[4:]], "positions go backwards"),
        (lambda frames: frames[:1] + frames[2:], "positions with gaps"),
        (
            lambda frames: told(tuple(event for event in ANSWERED if "step.in" not in event)),
            "without thread.run.step.in",
        ),
        (lambda frames: told((ANSWERED[1], ANSWERED[0], *ANSWERED[2:])), "events in another order"),
        (lambda frames: told(text=["Good", "bye ", "and all"]), "another text"),
        (lambda frames: told((*ANSWERED[:-1], ANSWERED[-2], "done")), "events in another order"),
    ],
)
def test_what_is_wrong_with_a_stream_is_said(spoilt: object, problem: str) -> None:
    assert callable(spoilt)
    assert judged(spoilt(told())).startswith(problem)
