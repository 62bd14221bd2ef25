"""Handing a request on to a provider: byte for byte, streams as they come.

When a provider fails before the first byte of its answer, the next one that has the model is asked. What an answer came
to is in the ledger before it has been given; where a budget applies, it is reserved before, and bounds the answer.
"""

import asyncio
import logging
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any

import httpx2
import orjson
from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from assistant_site.db.threads import of_this_loop
from assistant_site.llm.chat import Endpoint, Usage
from assistant_site.llm.errors import (
    ENDED_EARLY,
    NOT_COMPATIBLE,
    ProviderError,
    TurnFailed,
    error_in,
    judge,
    shown_to_tenant,
)
from assistant_site.llm.headers import retry_after
from assistant_site.llm.sending import as_json
from assistant_site.llm.usage import usage_of
from assistant_site.tracing import spans
from assistant_site.tracing.providers import asked_at
from assistant_site.wire import errors, grammar, rest
from assistant_site.wire.fields import Integer
from metering import budgets
from metering.budgets import Spender
from metering.calls import ANSWER_LIMITS, Metered, StreamedUsage, estimate_chat, estimate_input, pauses, texts_of
from metering.models import EntryKind
from tenants import health
from tenants.routes import Route

logger = logging.getLogger(__name__)

_clients: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx2.AsyncClient]" = weakref.WeakKeyDictionary()
_at_work: "set[asyncio.Future[None]]" = set()  # a task that nobody holds may be lost
_PASSED_HEADERS = ("content-type", "retry-after", "retry-after-ms", "x-should-retry")
MOST_CHOICES = 128  # of one chat completion (`n`)


def client() -> httpx2.AsyncClient:
    """The HTTP client of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        _clients[loop] = httpx2.AsyncClient(
            timeout=httpx2.Timeout(settings.LLM_SILENCE_SECONDS, connect=settings.LLM_CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=100),
        )
    return _clients[loop]


class UpstreamFailed(Exception):
    """The provider could not be asked; carries what the caller is told."""

    def __init__(self, error: errors.WireError) -> None:
        super().__init__(error.message)
        self.error = error


async def ask(endpoint: Endpoint, method: str, path: str, body: bytes | None) -> httpx2.Response:
    """The provider's open answer; the caller reads and closes it."""
    headers = {"Authorization": f"Bearer {endpoint.api_key}", "Content-Type": "application/json"}
    request = client().build_request(method, f"{endpoint.base_url}/{path}", content=body, headers=headers)
    try:
        return await client().send(request, stream=True)
    except httpx2.HTTPError as error:
        logger.error("The model provider %s could not be reached: %r", endpoint.base_url, error)
        raise UpstreamFailed(
            errors.Unavailable("The model provider could not be reached. Please try again later.")
        ) from None


def refusal(status: int, body: bytes) -> HttpResponse:
    """The provider's error with its status, in our envelope, without its addresses and credentials."""
    try:
        told = error_in(orjson.loads(body))
    except orjson.JSONDecodeError:
        told = None
    told = told or ProviderError()
    meaning = judge(told, status)
    if status in (401, 403):  # it is our credential that was refused, not the caller's
        logger.error("The model provider refused the server's credential: HTTP %s", status)
    message = shown_to_tenant(told.message) if 400 <= status < 500 and status not in (401, 403) else ""
    kind = "invalid_request_error" if status < 500 and status not in (401, 403) else "server_error"
    error = {
        "message": message or meaning.message,
        "type": told.type if message and told.type else kind,
        "param": told.param or None if message else None,
        "code": told.code or None if message else None,
    }
    return HttpResponse(orjson.dumps({"error": error}), status=status, content_type="application/json")


def begun(work: "asyncio.Future[None]") -> "asyncio.Future[None]":
    """Lets the work go on by itself, whatever becomes of who began it."""
    _at_work.add(work)
    work.add_done_callback(_at_work.discard)
    return work


async def in_the_ledger(write: Callable[..., None], *args: Any) -> None:
    """The provider has answered, so the caller gets its answer whether it can be written down or not."""
    try:
        await of_this_loop().run(write, *args)
    except Exception:
        logger.exception("A model call is missing in the ledger.")


def metered_call(kind: EntryKind, spender: Spender, body: Any) -> Metered:
    """What a request is in the ledger, by its body."""
    asked = body if isinstance(body, dict) else {}
    prompt = estimate_chat(asked) if kind == EntryKind.CHAT else estimate_input(asked.get("input"))
    return Metered.of(kind, spender, str(asked.get("model") or ""), prompt)


def number_in(body: Mapping[str, Any], name: str, most: int | None = None) -> int:
    """How many answers, or tokens of them, a request wants; `InvalidRequest` if that is no number from 1 to `most`."""
    try:
        return Integer(low=1, high=most, required=True).check(body[name])
    except grammar.Fault as fault:
        raise fault.under(name).error() from None


class Forwarding:
    """One request on its way to whoever answers it."""

    def __init__(self, routes: list[Route], path: str, raw: bytes, body: Any, metered: Metered) -> None:
        self.routes = routes
        self.path = path
        self.raw = raw
        self.body = body
        self.metered = metered

    async def answer(self) -> HttpResponseBase:
        """Of the first provider that does not fail for a reason of its own; of the last one whatever it is."""
        try:
            await self.keep_within_budgets()
        except errors.WireError as refused:
            return rest.error_response(refused)
        for left in range(len(self.routes) - 1, -1, -1):
            route = self.routes[-1 - left]
            self.metered.answered_by(route.provider_id, route.model)
            attempt = Attempt(route, self.metered)
            try:
                await attempt.make(self.path, self.body_for(route))
            except BaseException:  # the caller has left, say
                attempt.span.end()
                raise
            failure = attempt.failure
            if failure is not None:
                attempt.span.fail(str(failure.status or failure.code))
            if failure is not None and failure.elsewhere:
                health.note(route.provider_id, route.model, failure, route.endpoint.api_key)
                if left:
                    logger.warning("%s failed; %s is asked next.", route.name, self.routes[-left].name)
                    await attempt.give_up()
                    continue
            break
        if failure is None:
            health.succeeded(route.provider_id, route.model)
        if health.is_due():
            begun(asyncio.ensure_future(of_this_loop().run(health.write)))
        await attempt.settle()
        return attempt.answer

    def body_for(self, route: Route) -> bytes:
        if isinstance(self.body, dict) and self.body.get("model", route.model) != route.model:
            return as_json({**self.body, "model": route.model})
        return self.raw

    async def keep_within_budgets(self) -> None:
        """Where a budget applies: reserves, and writes the longest answer that it allows into the body.

        Raises `InsufficientQuota`, and `InvalidRequest` for limits that providers may read in another way than we do.
        """
        if not budgets.has_budgets(self.metered.call.spender.tenant_id):
            return
        asked = self.body if isinstance(self.body, dict) else {}
        name, completion, choices = "", 0, 1
        if self.metered.call.kind == EntryKind.CHAT:
            limits = {each: number_in(asked, each) for each in ANSWER_LIMITS if asked.get(each) is not None}
            name = next(iter(limits), ANSWER_LIMITS[0])
            completion = limits.get(name, settings.BUDGET_COMPLETION_TOKENS)
            choices = number_in(asked, "n", most=MOST_CHOICES) if asked.get("n") is not None else 1
        for pause in pauses():
            reserve = partial(self.metered.try_to_reserve, completion * choices, patient=pause is not None)
            if await of_this_loop().run(reserve):
                break
            await asyncio.sleep(pause or 0)
        allowed = self.metered.allowed
        if name and allowed is not None:
            # One limit only: of two, a provider may go by the other.
            others = {each: value for each, value in asked.items() if each not in ANSWER_LIMITS}
            self.body = {**others, name: max(1, allowed // choices)}
            self.raw = orjson.dumps(self.body)


class Attempt:
    """What one provider makes of a request: the answer for the caller, and in which way it is a failure."""

    answer: HttpResponseBase

    def __init__(self, route: Route, metered: Metered) -> None:
        self.route = route
        self.metered = metered
        self.failure: TurnFailed | None = None
        self.stream: Stream | None = None
        self.content: bytes | None = None  # of a whole answer that is none of a refusal
        operation = "chat" if metered.call.kind == EntryKind.CHAT else "embeddings"
        self.span = spans.span(
            f"{operation} {route.model}",
            kind="client",
            is_parent=False,
            gen_ai__operation__name=operation,
            gen_ai__request__model=route.model,
        )
        self.span.set(**asked_at(route.endpoint.base_url))

    async def make(self, path: str, body: bytes) -> None:
        try:
            upstream = await ask(self.route.endpoint, "POST", path, body)
        except UpstreamFailed as failed:
            self.answer = rest.error_response(failed.error)
            self.failure = TurnFailed("server_error", failed.error.message)
            return
        if upstream.status_code >= 400:
            content = await whole(upstream)
            self.answer, self.failure = refusal(upstream.status_code, content), judged(content, upstream)
        elif upstream.headers.get("content-type", "").startswith("text/event-stream"):
            self.stream = Stream(upstream, self.route, self.metered, self.span)
            self.failure = await self.stream.begin()
            self.answer = StreamingHttpResponse(self.stream.pieces())
            self.answer.headers["Cache-Control"] = "no-cache"
            self.answer.headers["X-Accel-Buffering"] = "no"
        else:
            content = await whole(upstream)
            if b'"error"' in content[:64] or not content:  # One API's, with a status of 200
                self.failure = judged(content, upstream)
            elif upstream.headers.get("content-type", "").startswith("text/html"):
                self.failure = TurnFailed("server_error", NOT_COMPATIBLE)
            else:
                self.content = content
            self.answer = HttpResponse(content, status=upstream.status_code)
        for name in _PASSED_HEADERS:
            if name in upstream.headers and not (name == "content-type" and upstream.status_code >= 400):
                self.answer.headers[name] = upstream.headers[name]
        for name, value in upstream.headers.items():
            if name.startswith("x-ratelimit-"):
                self.answer.headers[name] = value

    async def give_up(self) -> None:
        """Another provider is asked instead."""
        if self.stream is not None:
            await self.stream.upstream.aclose()
        self.span.end()
        self.answer.close()

    async def settle(self) -> None:
        """Writes down what a whole answer came to; a stream does that at its end."""
        told = object_in(self.content) if self.content is not None else None
        if self.stream is None:
            note_usage(self.span, usage_of(told.get("usage")) if isinstance(told, dict) else None)
            self.span.end()
        if self.content is not None:
            await in_the_ledger(self.metered.settle_answer, told, texts_of(told))
        elif self.stream is None:
            await in_the_ledger(self.metered.release)


def judged(content: bytes, upstream: httpx2.Response) -> TurnFailed:
    """What a refusal means, or a body that should have been an answer."""
    told = error_told(content)
    status = upstream.status_code if upstream.status_code >= 400 else None
    return judge(told or ProviderError(), status, retry_after=retry_after(upstream.headers))


def error_told(content: bytes) -> ProviderError | None:
    return error_in(object_in(content))


def object_in(content: bytes) -> Any:
    """The JSON of a body; None if it is none."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None


class Stream:
    """A provider's stream of events, handed on as it comes."""

    def __init__(self, upstream: httpx2.Response, route: Route, metered: Metered, span: spans.Span) -> None:
        self.upstream = upstream
        self.span = span
        self.route = route
        self.metered = metered
        self.coming = upstream.aiter_bytes()
        self.first = b""
        self.failure: TurnFailed | None = None

    async def begin(self) -> TurnFailed | None:
        """Waits for the first piece; why there is no answer, if it shows that already."""
        try:
            self.first = await anext(self.coming, b"")
        except httpx2.HTTPError as error:
            self.failure = TurnFailed("server_error", ENDED_EARLY, detail=type(error).__name__)
        else:
            self.span.event("gen_ai.first_token")
            lines = (line.removeprefix(b"data:") for line in self.first.splitlines() if line.startswith(b"data:"))
            if not self.first:
                self.failure = TurnFailed("server_error", ENDED_EARLY)
            elif (told := error_told(next(lines, b""))) is not None:
                self.failure = judge(told, None)
        return self.failure

    async def pieces(self) -> AsyncIterator[bytes]:
        heard = StreamedUsage(self.metered.prompt)
        try:
            if self.failure is not None and not self.first:
                yield _broke()
                return
            heard.feed(self.first)
            yield self.first
            async for piece in self.coming:
                heard.feed(piece)
                yield piece
        except httpx2.HTTPError as error:
            logger.error("The model provider's stream broke: %r", error)
            health.note(self.route.provider_id, self.route.model, TurnFailed("server_error", ENDED_EARLY), "")
            self.span.fail("server_error")
            yield _broke()
        finally:  # also when the caller has left
            if self.failure is None:
                note_usage(self.span, heard.usage)
            self.span.end()
            write = self.metered.release if self.failure else partial(self.metered.settle, heard.usage)
            settling = begun(asyncio.ensure_future(in_the_ledger(write)))
            await self.upstream.aclose()
            await asyncio.shield(settling)


def note_usage(span: spans.Span, usage: Usage | None) -> None:
    if usage is not None:
        span.set(gen_ai__usage__input_tokens=usage.prompt_tokens, gen_ai__usage__output_tokens=usage.completion_tokens)


def _broke() -> bytes:
    return b"data: " + orjson.dumps(errors.ServerError("The model provider's stream broke.").body()) + b"\n\n"


async def whole(upstream: httpx2.Response) -> bytes:
    try:
        return await upstream.aread()
    except httpx2.HTTPError:
        return b""
    finally:
        await upstream.aclose()
