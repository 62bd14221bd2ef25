"""A provider's chunks into the events of `chat`: the rules of reading, without any I/O.

One `Assembler` lives for one turn. It takes decoded chunks of a stream, or one whole answer, and forgives what known
servers do: missing, null or empty `choices` and `delta`; `content` as text, parts or null; `finish_reason` empty, under
other names, repeated (the first that says something counts); usage anywhere, or nowhere. What it does not forgive is an
end without a reason: then the answer was cut, however clean the end looked.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Literal

from assistant_site.llm.calls import ToolCalls
from assistant_site.llm.chat import ChatEvent, JSONObject, RefusalDelta, TextDelta, TurnFinished, Usage
from assistant_site.llm.errors import ENDED_EARLY, WENT_WRONG, TurnFailed, error_in, judge
from assistant_site.llm.tokens import text_bytes, tokens_of_bytes
from assistant_site.llm.usage import usage_of

Reason = Literal["stop", "length", "tool_calls", "content_filter"]

_REASONS: dict[str, Reason] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "refusal": "content_filter",
    # Everything else that ends a turn (`end_turn`, `eos`, `stop_sequence` …) is a stop.
}
_BREAKDOWNS = ("error", "abort", "aborted", "insufficient_system_resource")  # OpenRouter, vLLM, DeepSeek
_CARRIED_TEXTS = ("reasoning_content", "reasoning")
_CARRIED = ("reasoning_details", "extra_content")


class Assembler:
    """Feed it the chunks, then call `finish` once.

    `prompt_tokens` is asked only when the provider tells no usage. `lenient_finish` takes an answer with text, or with
    complete tool calls, as finished although no reason was given (One API's native Gemini channel never gives one).
    """

    def __init__(self, *, prompt_tokens: Callable[[], int] = lambda: 0, lenient_finish: bool = False) -> None:
        self._prompt_tokens = prompt_tokens
        self._lenient = lenient_finish
        self._calls = ToolCalls()
        self._reason: str | None = None
        self._usage: Usage | None = None
        self._said = 0  # bytes of text and refusal told
        self._blank = ""  # white space at the text's beginning, held back: before calls it says nothing
        self._thought: dict[str, list[str]] = {}
        self._carry: JSONObject = {}
        self._argument_bytes = 0
        self._model = ""

    @property
    def has_reason(self) -> bool:
        """The answer is complete; only usage may follow."""
        return self._reason is not None

    def feed(self, chunk: object) -> list[ChatEvent]:
        """The events that a chunk, or a whole answer, makes known. Raises `ModelFailed` for an error in it."""
        return self.feed_all([chunk])

    def feed_all(self, chunks: Iterable[object]) -> list[ChatEvent]:
        """The same for chunks that came together; their texts are one."""
        events: list[ChatEvent] = []
        for chunk in chunks:
            self._feed(chunk, events)
        return events

    def _feed(self, chunk: object, events: list[ChatEvent]) -> None:
        if not isinstance(chunk, dict) or "error" in chunk or "choices" not in chunk:
            error = error_in(chunk)
            if error is not None:
                raise judge(error, None, usage=self._usage)
            if not isinstance(chunk, dict):
                return
        if chunk.get("usage") or chunk.get("x_groq"):
            self._note_usage(chunk)
        choices = chunk.get("choices")
        if isinstance(choices, list):
            for choice in choices:
                if isinstance(choice, dict):
                    self._take(choice, events)

    def finish(self) -> list[ChatEvent]:
        """The last events, `TurnFinished` at their end. Raises `ModelFailed` if the answer was cut."""
        events: list[ChatEvent] = []
        reason = self._final_reason()
        if self._blank and not self._said and not self._calls:
            events.append(TextDelta(self._blank))
        self._calls.finish(events)
        for name, pieces in self._thought.items():
            self._carry[name] = "".join(pieces)
        events.append(TurnFinished(reason, self._final_usage(), self._carry, self._calls.extras, self._model))
        return events

    def _take(self, choice: dict[str, Any], events: list[ChatEvent]) -> None:
        delta = choice.get("delta")
        if isinstance(delta, dict):
            content = delta.get("content")
            if type(content) is str:  # the one path that every token takes
                if content:
                    self._say(content, events)
                if len(delta) > 1:
                    self._take_rest(delta, events)
            else:
                self._take_content(content, events)
                self._take_rest(delta, events)
        elif isinstance(choice.get("message"), dict) and not (self._said or self._blank or self._calls):
            # A whole answer. MiniMax also repeats it behind its deltas: then it says nothing new.
            self._take_content(choice["message"].get("content"), events)
            self._take_rest(choice["message"], events, whole=True)
        reason = choice.get("finish_reason")
        if reason and self._reason is None and isinstance(reason, str):
            self._reason = reason.lower()
        if choice.get("usage"):  # Moonshot
            self._note_usage(choice)

    def _say(self, text: str, events: list[ChatEvent]) -> None:
        if not self._said:
            text = self._blank + text
            self._blank = text if text.isspace() else ""
            if self._blank:
                return
        self._said += text_bytes(text)
        before = events[-1] if events else None
        if isinstance(before, TextDelta):
            events[-1] = TextDelta(before.text + text)
        else:
            events.append(TextDelta(text))

    def _refuse(self, text: str, events: list[ChatEvent]) -> None:
        self._said += text_bytes(text)
        events.append(RefusalDelta(text))

    def _take_content(self, content: object, events: list[ChatEvent]) -> None:
        if isinstance(content, str):
            if content:
                self._say(content, events)
            return
        for part in content if isinstance(content, list) else ():
            if isinstance(part, str) and part:
                self._say(part, events)
            elif isinstance(part, dict):
                if isinstance(part.get("text"), str) and part["text"]:
                    self._say(part["text"], events)
                elif isinstance(part.get("refusal"), str) and part["refusal"]:
                    self._refuse(part["refusal"], events)

    def _take_rest(self, delta: dict[str, Any], events: list[ChatEvent], *, whole: bool = False) -> None:
        """Everything but the content."""
        calls = delta.get("tool_calls")
        if calls:
            self._count_arguments(calls)
            self._calls.feed(calls if isinstance(calls, list) else [calls], events, whole=whole)
        function = delta.get("function_call")
        if isinstance(function, dict):  # the older form: one call, no label
            self._calls.feed([{"index": 0, "function": function}], events)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._refuse(refusal, events)
        for name in _CARRIED_TEXTS:
            thought = delta.get(name)
            if isinstance(thought, str) and thought:
                self._thought.setdefault(name, []).append(thought)
        for name in _CARRIED:
            self._keep(name, delta.get(name))

    def _keep(self, name: str, value: object) -> None:
        if isinstance(value, list):
            self._carry[name] = [*self._carry.get(name, []), *value]
        elif isinstance(value, dict) and value:
            self._carry[name] = {**self._carry.get(name, {}), **value}

    def _count_arguments(self, calls: object) -> None:
        """For the estimate only."""
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict):
                self._argument_bytes += text_bytes(f"{function.get('name') or ''}{function.get('arguments') or ''}")

    def _note_usage(self, holder: dict[str, Any]) -> None:
        if isinstance(model := holder.get("model"), str):
            self._model = model
        groq = holder.get("x_groq")
        self._usage = (
            usage_of(holder.get("usage"))
            or usage_of(groq.get("usage") if isinstance(groq, dict) else None)
            or self._usage
        )

    def _final_reason(self) -> Reason:
        reason = self._reason
        if reason is None:
            if not self._lenient or not (self._said or self._calls.all_complete):
                raise TurnFailed(
                    "server_error", ENDED_EARLY, retry=True, detail="no finish_reason", usage=self._final_usage()
                )
            reason = "stop"
        if reason in _BREAKDOWNS:
            detail = f"finish_reason {reason!r}"
            raise TurnFailed("server_error", WENT_WRONG, retry=True, detail=detail, usage=self._final_usage())
        final = _REASONS.get(reason, "stop")
        if final == "stop" and self._calls:
            return "tool_calls"
        if final == "tool_calls" and not self._calls:
            if self._said:
                return "stop"
            detail = "finish_reason announces tool calls, but there are none"
            raise TurnFailed("server_error", WENT_WRONG, retry=True, detail=detail, usage=self._final_usage())
        return final

    def _final_usage(self) -> Usage:
        """What was told, or our own estimate; of a usage with only one half, the other half is estimated."""
        told = self._usage or Usage()
        if told.prompt_tokens and (told.completion_tokens or not self._spoken):
            return told
        return replace(
            told,
            prompt_tokens=told.prompt_tokens or self._prompt_tokens(),
            completion_tokens=told.completion_tokens or tokens_of_bytes(self._spoken),
            estimated=True,
        )

    @property
    def _spoken(self) -> int:
        thought = sum(text_bytes(piece) for pieces in self._thought.values() for piece in pieces)
        return self._said + self._argument_bytes + thought
