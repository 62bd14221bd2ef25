"""One turn of a chat model over HTTP: ask, read, retry while nothing was shown, adapt to what the provider refuses.

`stream_turn` is the whole interface. What happens around the asking:

* Retries come only before the first event, on broken connections, 408, 409, 429, 5xx and answers that end early,
  `settings.LLM_RETRIES` times (or as often as the caller says, who may have another provider to ask), after the pause
  the provider asks for (at most `MAX_RETRY_AFTER_SECONDS`; who wants more is not asked again) or an exponential one
  with jitter. There is no deadline here: the caller has one, and cancels. Silence (`settings.LLM_SILENCE_SECONDS`
  between two pieces) is final.
* A 400 that names a feature is answered by leaving the feature out, once each, and remembered: see `sending`.
* Cancelling, or closing the iterator, closes the provider's connection at once. Use `contextlib.aclosing`.

Quirks, all texts, switch on what a provider cannot be seen to need (`Endpoint.quirks`):

=====================  ==============================================================================================
`tool_call_content`    the content beside tool calls in the history: `empty` (default), `null`, `omit`, `text` (`…`).
                       Claude behind One API loses calls beside `null` and refuses empty texts: `text`.
`stream`               `false`: never ask for a stream; the answer is replayed as deltas.
`stream_tools`         `false`: the same, only for turns that offer tools (Ollama before 0.8 loses streamed calls).
`lenient_finish`       `true`: an answer with text or whole calls needs no `finish_reason` (One API's Gemini channel).
`fetch_images`         `true`: images given by their address are fetched here and sent along as data (Ollama, and
                       servers without a way out); not here, but where the prompt is made.
`without`              comma list of features never sent: `stream_options`, `parallel_tool_calls`, `strict`,
                       `developer`, `reasoning_effort`, `max_tokens`, `max_completion_tokens`, `temperature`, `top_p`,
                       `reasoning` (a model's thoughts, sent back to it within the run).
=====================  ==============================================================================================
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

import orjson
from django.conf import settings

from assistant_site.llm.assembler import Assembler
from assistant_site.llm.chat import ChatEvent, ChatRequest, Endpoint, JSONObject, TurnFinished
from assistant_site.llm.errors import (
    ProviderError,
    TurnFailed,
    error_in,
    judge,
    without_secrets,
)
from assistant_site.llm.headers import request_id_of, retry_after
from assistant_site.llm.reading import AnswerBody, chunks_of
from assistant_site.llm.sending import Habits, as_json, body_of, quirk_is_off, quirk_is_on, refused_features
from assistant_site.llm.tokens import estimate_request
from assistant_site.llm.transport import Refused, open_turn
from assistant_site.metrics import counted
from assistant_site.tracing import spans
from assistant_site.tracing.providers import asked_at

FIRST_PAUSE_SECONDS = 0.4
MAX_PAUSE_SECONDS = 8.0
MAX_RETRY_AFTER_SECONDS = 30.0

_log = logging.getLogger(__name__)
_habits = Habits()


async def stream_turn(
    endpoint: Endpoint, request: ChatRequest, *, most_retries: int | None = None
) -> AsyncGenerator[ChatEvent, None]:
    """The events of one model turn as they arrive; the last one is `TurnFinished`. Raises `TurnFailed`."""
    if most_retries is None:
        most_retries = settings.LLM_RETRIES
    without = learnt = _habits.of(endpoint, request.model)
    retries = 0
    while True:
        body = body_of(endpoint, request, without, stream=_may_stream(endpoint, request))
        shown = False
        asking = Asking(endpoint, request)
        try:
            async with aclosing(_ask_once(endpoint, request, body)) as batches:
                async for events in batches:
                    for event in events:
                        if not shown:
                            shown = True
                            asking.began()
                            if without != learnt:
                                _habits.remember(endpoint, request.model, without)
                        if isinstance(event, TurnFinished):
                            asking.finished(event)
                        yield event
            return
        except Refused as refusal:
            error = _error_of(refusal.body)
            failure = judge(error, refusal.status, retry_after=retry_after(refusal.headers))
            asking.failed(failure)
            _log_failure(endpoint, request, failure, refusal.headers)
            refused = refused_features(error, body) if refusal.status in (400, 422) else frozenset[str]()
            if refused:
                without |= refused
                continue
        except TurnFailed as failed:
            failure = failed
            asking.failed(failure)
            _log_failure(endpoint, request, failure)
        finally:
            asking.over()
        pause = None if shown or retries >= most_retries else _pause(failure, retries)
        if pause is None:
            raise failure
        retries += 1
        counted.MODEL_RETRIES.inc()
        await asyncio.sleep(pause)


class Asking:
    """One attempt at a turn, as metrics and traces are told of it."""

    def __init__(self, endpoint: Endpoint, request: ChatRequest) -> None:
        self._model = request.model
        self._clock = counted.Asking(request.model)
        self._span = spans.span(
            f"chat {request.model}",
            kind="client",
            is_parent=False,  # between two events others' work goes on
            gen_ai__operation__name="chat",
            gen_ai__request__model=request.model,
        )
        if self._span is not spans.NOTHING:
            options = request.options
            limits = [options[name] for name in ("max_completion_tokens", "max_tokens") if options.get(name)]
            self._span.set(
                **asked_at(endpoint.base_url),
                gen_ai__request__stream=_may_stream(endpoint, request),
                gen_ai__request__temperature=options.get("temperature"),
                gen_ai__request__top_p=options.get("top_p"),
                gen_ai__request__max_tokens=limits[0] if limits else None,
            )

    def began(self) -> None:
        """The first event is here."""
        seconds = self._clock.began()
        self._span.event("gen_ai.first_token")
        self._span.set(gen_ai__response__time_to_first_chunk=seconds)

    def finished(self, turn: TurnFinished) -> None:
        usage = turn.usage
        self._clock.finished(usage.prompt_tokens, usage.completion_tokens)
        self._span.set(
            gen_ai__response__model=turn.model or None,
            gen_ai__usage__input_tokens=usage.prompt_tokens,
            gen_ai__usage__output_tokens=usage.completion_tokens,
            gen_ai__usage__cache_read__input_tokens=usage.cached_tokens or None,
            gen_ai__usage__reasoning__output_tokens=usage.reasoning_tokens or None,
            gen_ai__response__finish_reasons=[turn.reason],
        )

    def failed(self, failure: TurnFailed) -> None:
        counted.model_failed(self._model, failure.status, failure.code)
        self._span.fail(str(failure.status or failure.code))

    def over(self) -> None:
        self._span.end()


async def _ask_once(
    endpoint: Endpoint, request: ChatRequest, body: JSONObject
) -> AsyncGenerator[list[ChatEvent], None]:
    """One attempt; never an empty list. Raises `Refused` and `TurnFailed`."""
    assembler = Assembler(
        prompt_tokens=lambda: estimate_request(request.messages, request.tools),
        lenient_finish=quirk_is_on(endpoint.quirks, "lenient_finish"),
    )
    answer = AnswerBody(await open_turn(endpoint, as_json(body)))
    try:
        async for chunks in chunks_of(answer, may_stop=lambda: assembler.has_reason):
            if events := assembler.feed_all(chunks):
                yield events
        last = assembler.finish()
        if isinstance(last[-1], TurnFinished) and last[-1].usage.estimated:
            _log.debug("%s told no usage for %s; it is estimated.", endpoint.base_url, request.model)
        yield last
    except TurnFailed as failed:
        failed.request_id = answer.request_id
        raise
    finally:
        answer.close()


def _may_stream(endpoint: Endpoint, request: ChatRequest) -> bool:
    if quirk_is_off(endpoint.quirks, "stream"):
        return False
    return not (request.tools and quirk_is_off(endpoint.quirks, "stream_tools"))


def _pause(failure: TurnFailed, retries: int) -> float | None:
    """Seconds until the next attempt, or None if there should be none."""
    if not failure.retry:
        return None
    if failure.retry_after is not None:
        return failure.retry_after if failure.retry_after <= MAX_RETRY_AFTER_SECONDS else None
    return min(FIRST_PAUSE_SECONDS * 2.0**retries, MAX_PAUSE_SECONDS) * random.uniform(0.5, 1.0)  # noqa: S311 -- jitter


def _error_of(body: bytes) -> ProviderError:
    """The error in a refusal's body; a body that is no JSON (a proxy's page) only lends its beginning to the log."""
    try:
        return error_in(orjson.loads(body)) or ProviderError(message=body[:200].decode(errors="replace"))
    except orjson.JSONDecodeError:
        return ProviderError(message=body[:100].decode(errors="replace"))


def _log_failure(
    endpoint: Endpoint, request: ChatRequest, failure: TurnFailed, headers: Mapping[str, str] | None = None
) -> None:
    """One line for the operator; no prompt and no credential in it."""
    _log.warning(
        "A model turn failed (status %s, model %s at %s, request %s): %s",
        failure.status,
        request.model,
        endpoint.base_url,
        request_id_of(headers) if headers else failure.request_id,
        without_secrets(failure.logged, endpoint.api_key),
    )
