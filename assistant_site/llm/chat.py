"""What a chat model is asked and what it says, free of any provider's peculiarities."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

JSONObject = dict[str, Any]  # Any: JSON as it travels


@dataclass(frozen=True)
class Endpoint:
    """Where to ask: an OpenAI-compatible base URL (up to and with `/v1`) and its key.

    `quirks` switches habits of known gateways on: see `assistant_site.llm.client`.
    """

    base_url: str
    api_key: str = field(repr=False)
    quirks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ChatRequest:
    """One model turn. `options` are chat-completion parameters as they go out (temperature, tools' choice …)."""

    model: str
    messages: list[JSONObject]
    tools: list[JSONObject] = field(default_factory=list)
    options: JSONObject = field(default_factory=dict)


@dataclass(frozen=True)
class TextDelta:
    text: str


@dataclass(frozen=True)
class RefusalDelta:
    text: str


@dataclass(frozen=True)
class ToolCallStarted:
    """A call opens: `index` counts calls of this turn from 0 in order of appearance, `id` is the model's or ours."""

    index: int
    id: str
    name: str


@dataclass(frozen=True)
class ToolCallArguments:
    """The next piece of an open call's argument text."""

    index: int
    text: str


@dataclass(frozen=True)
class Usage:
    """Tokens of one turn; `estimated` when the provider gave none and we counted ourselves."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False


@dataclass(frozen=True)
class TurnFinished:
    """The last event of every successful turn.

    `carry` is what must be sent back with this turn's assistant message later in the same run (for example
    DeepSeek's `reasoning_content`); `call_extras` the same for a call, by its index (Gemini's thought signature).
    `model` is how the provider calls the model that answered, if it told that with the usage.
    """

    reason: Literal["stop", "length", "tool_calls", "content_filter"]
    usage: Usage
    carry: JSONObject = field(default_factory=dict)
    call_extras: dict[int, JSONObject] = field(default_factory=dict)
    model: str = field(default="", compare=False)


ChatEvent = TextDelta | RefusalDelta | ToolCallStarted | ToolCallArguments | TurnFinished


class ModelFailed(Exception):
    """The turn failed for good (retries are behind us).

    `code` is the word for the run's `last_error`; `message` is safe to show to the tenant (no inner addresses, no
    provider's credential); `status` is the provider's HTTP status, if there was one. `usage`: what was spent, if told.
    """

    def __init__(
        self,
        code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"],
        message: str,
        *,
        status: int | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.usage = usage or Usage()
