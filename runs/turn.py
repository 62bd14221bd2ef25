"""One model turn as it grows, and the shapes in which rows and events have what it brought."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from assistant_site.llm.chat import TurnFinished, Usage
from runs.models import RunStep
from threads.models import Message
from tools.citations import Cited, Source
from tools.registry import Offered
from tools.tool import Entry, ToolResult


@dataclass
class Call:
    """A call of the model. `entry` is how it stands in the step; a function's arguments and output are in it.

    `served` is the tool that this server carries out for it; None: a function of the caller, or nothing we know.
    """

    name: str
    entry: Entry
    served: Offered | None = None
    arguments: str = ""
    output: str | None = None
    sources: tuple[Source, ...] = field(default=())

    @classmethod
    def begun(cls, id: str, name: str, offered: Offered | None) -> "Call":
        """A call that has just begun; `offered` is the tool of this name, if there is one."""
        if offered is not None and offered.server_tool is not None:
            return cls(name, {"id": id, "type": offered.server_tool.type, **offered.opening()}, offered)
        return cls(name, {"id": id, "type": "function", "function": {"name": name, "arguments": "", "output": None}})

    def add_arguments(self, text: str) -> None:
        self.arguments += text
        if self.served is None:
            self.entry["function"]["arguments"] += text

    def answer(self, output: str) -> None:
        """The output that the model gets."""
        self.output = output
        if self.served is None:
            self.entry["function"]["output"] = output

    def take(self, result: ToolResult) -> None:
        """What the server's tool came to."""
        assert self.served is not None
        self.answer(result.output)
        self.entry[self.entry["type"]] = result.details
        self.sources = result.sources

    def as_kept(self) -> dict[str, Any]:
        """What of a server's tool only the model sees, for the step's row."""
        return {
            "name": self.name,
            "arguments": self.arguments,
            "output": self.output,
            "sources": [source.as_json() for source in self.sources],
        }


class Turn:
    """What one model turn has brought so far."""

    def __init__(self, number: int, offered: Iterable[Offered]) -> None:
        self.number = number
        self.offered = {each.name: each for each in offered}  # the tools it may call
        self.message: tuple[RunStep, Message] | None = None
        self.calls_step: RunStep | None = None
        self.parts: list[str] = []  # "text" and "refusal" in the order in which they began
        self.text = ""
        self.annotations: list[dict[str, Any]] = []
        self.refusal = ""
        self.calls: list[Call] = []
        self.flawed = ""  # a function that was called with arguments that are no JSON
        self.finished: TurnFinished | None = None

    def entries(self) -> list[Entry]:
        """The calls as they stand in the step."""
        return [call.entry for call in self.calls]

    def index_of(self, part: str) -> int:
        """The place of the message's text or refusal; given at its first piece, for good."""
        if part not in self.parts:
            self.parts.append(part)
        return self.parts.index(part)

    def grow_text(self, piece: str | Cited) -> dict[str, Any]:
        """Adds to the text; returns what a delta tells of it. A citation is an annotation at its place, too."""
        text = piece if isinstance(piece, str) else piece.text
        told: dict[str, Any] = {"value": text}
        if not self.text:
            told["annotations"] = []
        if isinstance(piece, Cited):
            start = len(self.text)
            annotation = {
                "type": "file_citation",
                "text": text,
                "start_index": start,
                "end_index": start + len(text),
                "file_citation": piece.source.citation(),
            }
            told["annotations"] = [{"index": len(self.annotations), **annotation}]
            self.annotations.append(annotation)
        self.text += text
        return told

    def content(self) -> list[dict[str, Any]]:
        """The message's parts as they stand; a message that says nothing has an empty text."""
        made: dict[str, dict[str, Any]] = {
            "text": {"type": "text", "text": {"value": self.text, "annotations": list(self.annotations)}},
            "refusal": {"type": "refusal", "refusal": self.refusal},
        }
        return [made[part] for part in self.parts or ["text"]]


def storable(value: Any) -> Any:
    """PostgreSQL stores no NUL; a model that writes one loses nothing else."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return value


def usage_json(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_token_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def carry_json(finished: TurnFinished, calls: Iterable[Call]) -> dict[str, Any]:
    """What goes back to the model with this turn beside what clients see; empty for most turns."""
    carry: dict[str, Any] = {}
    if finished.carry:
        carry["message"] = storable(finished.carry)
    if finished.call_extras:
        carry["calls"] = {str(index): storable(extra) for index, extra in finished.call_extras.items()}
    served = {str(index): storable(call.as_kept()) for index, call in enumerate(calls) if call.served is not None}
    return carry | ({"served": served} if served else {})
