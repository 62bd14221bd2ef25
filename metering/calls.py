"""Model calls that belong to no run: chat completions and embeddings of callers, and those made for vector stores.

`Metered.begin` reserves where a budget applies; then `settle` or `release` ends it, once. Each is a transaction of its
own. What a process leaves open when it dies is given back after `ledger.ABANDONED_AFTER`.
"""

import logging
import random
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
from django.db import transaction

from assistant_site.llm.chat import Usage
from assistant_site.llm.sse import LineTooLong, PayloadReader
from assistant_site.llm.tokens import estimate_request, estimate_text, text_bytes, tokens_of_bytes
from assistant_site.llm.usage import usage_of
from metering import budgets, ledger
from metering.budgets import Spender
from metering.ledger import Call, InFlight
from metering.models import EntryKind

logger = logging.getLogger(__name__)

IN_FLIGHT_SECONDS = 20.0  # for the reservations of others
FIRST_PAUSE_SECONDS = 0.1
MAX_PAUSE_SECONDS = 1.0
# Parameters of a chat completion that limit its answer; the first is the one to set where there is none.
ANSWER_LIMITS = ("max_completion_tokens", "max_tokens")


@dataclass
class Metered:
    """A call under way. `allowed`: tokens that its answer may have; None where no budget applies."""

    call: Call
    prompt: int  # tokens, estimated
    allowed: int | None = None
    is_over: bool = False

    @classmethod
    def of(cls, kind: EntryKind, spender: Spender, model: str, prompt: int) -> "Metered":
        """A call for which nothing is reserved yet."""
        return cls(Call(f"{kind.value}_{uuid.uuid4().hex}", kind, spender, model[:256]), prompt)

    @classmethod
    def begin(cls, kind: EntryKind, spender: Spender, model: str, prompt: int, completion: int = 0) -> "Metered":
        """Reserves for a call, if a budget applies; waits for others a while. Raises `InsufficientQuota`."""
        begun = cls.of(kind, spender, model, prompt)
        if budgets.has_budgets(spender.tenant_id):
            for pause in pauses():
                if begun.try_to_reserve(completion, patient=pause is not None):
                    break
                time.sleep(pause or 0)
        return begun

    def try_to_reserve(self, completion: int, *, patient: bool) -> bool:
        """One attempt; False: others have reserved what it needs, for now. Raises `InsufficientQuota`."""
        prompt = ledger.most_of_prompt(self.prompt)
        try:
            with transaction.atomic():
                self.allowed = ledger.reserve(self.call, prompt=prompt, completion=completion, patient=patient)
        except InFlight:
            return False
        return True

    def answered_by(self, provider_id: str, model: str) -> None:
        """Who answers, if that is known."""
        self.call = replace(self.call, provider_id=provider_id, provider_model=model)

    def settle(self, usage: Usage) -> None:
        if not self.is_over:
            self.is_over = True
            with transaction.atomic():
                ledger.settle(self.call, usage)

    def release(self) -> None:
        """It came to nothing."""
        if not self.is_over:
            self.is_over = True
            if self.allowed is not None:
                ledger.release(self.call.key)

    def settle_answer(self, body: object, texts: Iterable[str] = ()) -> None:
        """By the answer's `usage`; without one, by the estimated prompt and what these texts are estimated at."""
        told = usage_of(body.get("usage")) if isinstance(body, Mapping) else None
        self.settle(told or Usage(self.prompt, sum(map(estimate_text, texts)), estimated=True))


def pauses(seconds: float = IN_FLIGHT_SECONDS, *, longest: float = MAX_PAUSE_SECONDS) -> Iterable[float | None]:
    """Seconds to wait after each attempt at a reservation; the last is None, and that attempt is not patient.

    All attempts but the last begin within so many `seconds`; no pause is longer than `longest`.
    """
    until = time.monotonic() + seconds
    pause = FIRST_PAUSE_SECONDS
    while time.monotonic() < until:
        yield pause * random.uniform(0.5, 1.0)  # noqa: S311 jitter
        pause = min(pause * 1.5, longest)
    yield None


# --- Bodies ----------------------------------------------------------------------------------------------------------


_NO_PROMPT = frozenset({"model", "messages", "tools", "user", "metadata", "stream_options"})
_OF_MESSAGE = frozenset({"role", "content", "name", "tool_call_id", "refusal", "tool_calls"})


def estimate_chat(body: Mapping[str, Any]) -> int:
    """Tokens of a chat completion's prompt, with all that a provider may read beside messages and tools."""
    messages, tools = body.get("messages"), body.get("tools")
    messages = [each for each in messages if isinstance(each, dict)] if isinstance(messages, list) else []
    beside = _texts_beside(body, _NO_PROMPT) + sum(_texts_beside(each, _OF_MESSAGE) for each in messages)
    return estimate_request(messages, tools if isinstance(tools, list) else ()) + tokens_of_bytes(beside)


def _texts_beside(holder: Mapping[str, Any], known: frozenset[str]) -> int:
    """Bytes of the texts, lists and objects under other names, such as `functions` and `response_format`."""
    others = [value for name, value in holder.items() if name not in known and isinstance(value, str | list | dict)]
    return sum(len(orjson.dumps(value)) for value in others)


def estimate_input(given: object) -> int:
    """Tokens of what is to be embedded: a text, or tokens, or a list of either, however deep the lists are."""
    tokens, left = 0, [given]
    while left:
        each = left.pop()
        if isinstance(each, str):
            tokens += estimate_text(each)
        elif isinstance(each, list):
            left += each
        elif each is not given and isinstance(each, int):
            tokens += 1
    return tokens


def texts_of(body: object) -> list[str]:
    """What a whole chat completion says."""
    choices = body.get("choices") if isinstance(body, Mapping) else None
    return [_said(choice.get("message")) for choice in choices or () if isinstance(choice, Mapping)]


def _said(message: object) -> str:
    if not isinstance(message, Mapping):
        return ""
    texts = [message.get(name) for name in ("content", "refusal", "reasoning_content")]
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            texts += [function.get("name"), function.get("arguments")]
    return "".join(text for text in texts if isinstance(text, str))


class StreamedUsage:
    """Listens to a streamed chat completion on its way to the caller; changes nothing of it."""

    def __init__(self, prompt: int) -> None:
        self._prompt = prompt
        self._reader: PayloadReader | None = PayloadReader()
        self._told: Usage | None = None
        self._bytes = 0

    def feed(self, piece: bytes) -> None:
        if self._reader is None:
            return
        try:
            payloads = self._reader.feed(piece)
        except LineTooLong:
            self._reader = None
            return
        for payload in payloads:
            self._take(payload)

    def _take(self, payload: bytes) -> None:
        try:
            chunk = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return
        if not isinstance(chunk, dict):
            return
        self._told = usage_of(chunk.get("usage")) or self._told
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._bytes += text_bytes(_said(choice.get("delta")))

    @property
    def usage(self) -> Usage:
        """As it was told, else estimated from what has come so far."""
        return self._told or Usage(self._prompt, tokens_of_bytes(self._bytes), estimated=True)
