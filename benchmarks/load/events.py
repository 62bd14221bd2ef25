"""Event streams taken apart, and judged: is the text whole and its own, did each event come once and in its order."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

DELTA = "thread.message.delta"
FIRST_TOKEN = b"event: thread.message.delta"

_TOLD_ONCE = (
    *("thread.run.step.created", "thread.run.step.in_progress", "thread.message.created", "thread.message.in_progress"),
    *("thread.message.completed", "thread.run.step.completed"),
)
_BEGIN = ("thread.run.created", "thread.run.queued", "thread.run.in_progress")
ANSWERED = (*_BEGIN, *_TOLD_ONCE, "thread.run.completed", "done")
ASKING = (*_BEGIN, "thread.run.step.created", "thread.run.step.in_progress", "thread.run.requires_action", "done")
ANSWERED_AFTER_OUTPUTS = ("thread.run.step.completed", *_BEGIN[1:], *_TOLD_ONCE, "thread.run.completed", "done")


def frames(data: bytes) -> Iterator[tuple[str, int | None, bytes]]:
    """Event, position and data of each whole frame; comments are left out."""
    for frame in data.split(b"\n\n")[:-1]:
        event, position, content = "", None, b""
        for line in frame.split(b"\n"):
            if line.startswith(b"data: "):
                content = line[6:]
            elif line.startswith(b"event: "):
                event = line[7:].decode()
            elif line.startswith(b"id: "):
                position = int(line[4:])
        if event:
            yield event, position, content


@dataclass
class Story:
    """What one reader was told of a run, over all its connections."""

    told: list[str] = field(default_factory=list)  # without deltas
    text: str = ""  # of the deltas
    stored: str | None = None  # of the message when it was completed
    position: int = 0
    gaps: int = 0
    backwards: int = 0
    deltas: int = 0
    last: dict[str, Any] = field(default_factory=dict)  # the data of the last event of the run itself
    action: dict[str, Any] = field(default_factory=dict)  # what is required

    def read(self, data: bytes) -> None:
        for event, position, content in frames(data):
            if position is not None:
                self.gaps += position > self.position + 1
                self.backwards += position <= self.position
                self.position = position
            if event == DELTA:
                self.deltas += 1
                for part in orjson.loads(content)["delta"].get("content", ()):
                    self.text += part["text"]["value"]
                continue
            if event == "thread.run.step.delta":
                continue
            self.told.append(event)
            if event == "thread.message.completed":
                self.stored = "".join(part["text"]["value"] for part in orjson.loads(content)["content"])
            elif event == "thread.run.requires_action":
                self.action = orjson.loads(content)
            elif event == "thread.run.created":
                self.last = orjson.loads(content)

    @property
    def is_done(self) -> bool:
        return bool(self.told) and self.told[-1] == "done"

    def problem(self, text: str, *parts: tuple[str, ...]) -> str:
        """What is wrong with it, in some words; empty if nothing is. `parts`: the events of each stream."""
        told = tuple(self.told)
        expected = tuple(event for part in parts or (ANSWERED,) for event in part)
        if not self.is_done:
            return "cut off"
        if self.text != text:
            return "text that is not whole" if len(self.text) < len(text) else "another text"
        if self.stored != text:
            return "another text is stored"
        if self.backwards:
            return "positions go backwards"
        if self.gaps:
            return "positions with gaps"
        if told != expected:
            missing = [event for event in expected if event not in told]
            return f"without {missing[0]}" if missing else "events in another order"
        return ""
