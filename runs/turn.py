"""One model turn as it grows, and the shapes in which rows and events have what it brought."""

from collections.abc import Iterable
from typing import Any

from assistant_site.llm.chat import TurnFinished, Usage
from runs.models import RunStep
from threads.models import Message


class Turn:
    """What one model turn has brought so far."""

    def __init__(self, number: int, known: Iterable[str]) -> None:
        self.number = number
        self.known = frozenset(known)  # the functions it may call
        self.message: tuple[RunStep, Message] | None = None
        self.calls_step: RunStep | None = None
        self.parts: list[str] = []  # "text" and "refusal" in the order in which they began
        self.text = ""
        self.refusal = ""
        self.calls: list[dict[str, Any]] = []
        self.flawed = ""  # a function that was called with arguments that are no JSON
        self.finished: TurnFinished | None = None

    def index_of(self, part: str) -> int:
        """The place of the message's text or refusal; given at its first piece, for good."""
        if part not in self.parts:
            self.parts.append(part)
        return self.parts.index(part)

    def content(self) -> list[dict[str, Any]]:
        """The message's parts as they stand; a message that says nothing has an empty text."""
        made: dict[str, dict[str, Any]] = {
            "text": {"type": "text", "text": {"value": self.text, "annotations": []}},
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


def carry_json(finished: TurnFinished) -> dict[str, Any]:
    """What goes back to the model with this turn; empty for most models."""
    carry: dict[str, Any] = {}
    if finished.carry:
        carry["message"] = storable(finished.carry)
    if finished.call_extras:
        carry["calls"] = {str(index): storable(extra) for index, extra in finished.call_extras.items()}
    return carry
