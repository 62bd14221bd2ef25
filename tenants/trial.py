"""Trying a provider: what a model server really answers, and what to do about what it does not.

Asks for the list of models, for a few streamed words, and for an embedding where the provider is there for that; all of
it in `TRIAL_SECONDS`. Nothing is written, and no sentence holds the key.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from assistant_site.llm import client, transport
from assistant_site.llm.chat import ChatRequest, Endpoint, TextDelta
from assistant_site.llm.errors import (
    CREDENTIAL_REFUSED,
    ENDED_EARLY,
    MOVED,
    NOT_COMPATIBLE,
    QUOTA,
    RATE_LIMITED,
    SILENT,
    UNREACHABLE,
    ProviderError,
    TurnFailed,
    error_in,
    judge,
    without_secrets,
)
from assistant_site.llm.transport import Refused
from tenants import routes
from tenants.encryption import Undecryptable
from tenants.models import Provider
from tenants.patterns import matches

TRIAL_SECONDS = 15.0
LIST_SECONDS = 5.0  # of these at most for the list of models
MAX_TOKENS = 16
PARTS = ("models", "chat", "embedding")
MAX_SHOWN_MODELS = 5
_REQUEST = [{"role": "user", "content": "Say OK."}]
_NO_CHAT = ("embed", "bge", "rerank", "whisper", "tts", "dall-e", "image", "moderation", "audio", "realtime")

_ADVICE = {
    CREDENTIAL_REFUSED: "It refuses the key. Enter it again; it may have expired, or may not use this model.",
    QUOTA: "The account's quota or credit is used up. Raise it at the provider.",
    RATE_LIMITED: "It answers, but its rate limit is reached. Try again in a minute.",
    NOT_COMPATIBLE: "Something answers there, but no OpenAI-compatible API. Does the address end in /v1?",
    MOVED: "The address redirects to another one. Enter that one: https instead of http, perhaps.",
    SILENT: "It was reached but did not answer in time. Is it loading the model, or overloaded?",
    ENDED_EARLY: "Its answer broke off. A proxy in front of it may cut streams; its own log should say more.",
}
_NO_SUCH_HOST = "There is no host of this name. Look for a mistake in the address, or in this server's DNS."
_BAD_TLS = (
    "No safe connection: its certificate cannot be verified, or it speaks no TLS. Give it a certificate that this "
    "server trusts, or use http:// inside your own network."
)
_NOBODY_THERE = (
    "Nobody answers at this address. Is the server running, the port right, and no firewall between? In a container, "
    "localhost is the container itself."
)


@dataclass(frozen=True)
class Part:
    """One thing that was tried, of `PARTS`. `told` is a sentence or two for the operator.

    `is_hopeless`: nobody answers there, or the key is refused, so that nothing else can be had either.
    """

    name: str
    is_ok: bool
    seconds: float
    told: str
    is_hopeless: bool = False


@dataclass
class Outcome:
    """What a trial found. `model` is the one that was asked for a chat; empty if there was none to ask."""

    parts: list[Part] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    model: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether it serves what it is there for. A list of models is not needed for that."""
        return bool(self.parts) and all(part.is_ok for part in self.parts if part.name != "models")


def try_provider(provider: Provider, model: str | None = None, *, parts: Collection[str] = PARTS) -> Outcome:
    """Calls the provider for real, saved or not; 15 s at most. `model`: to chat with, by the name that it has there.

    `parts`: what is tried. A list of `models` costs nothing anywhere.
    """
    try:
        endpoint = routes.endpoint_of(provider)
    except Undecryptable as error:
        return Outcome([Part("chat", False, 0.0, str(error))])
    return asyncio.run(_Trial(provider, endpoint, model or "", parts).made())


class _Trial:
    def __init__(self, provider: Provider, endpoint: Endpoint, model: str, parts: Collection[str]) -> None:
        self.parts = parts
        self.provider = provider
        self.endpoint = endpoint
        self.outcome = Outcome(model=model)

    async def made(self) -> Outcome:
        self.until = asyncio.get_running_loop().time() + TRIAL_SECONDS
        outcome = self.outcome
        try:
            if "models" in self.parts:
                await self.take("models", self.list_models, most=LIST_SECONDS)
            if "chat" in self.parts:
                await self.chat_with_one()
            if "embedding" in self.parts and self.provider.embedding_model not in ("", routes.OFF):
                await self.take("embedding", self.embed)
        finally:
            await transport.close_connections()
        return outcome

    async def chat_with_one(self) -> None:
        outcome = self.outcome
        outcome.model = outcome.model or self.model_to_chat_with()
        if outcome.model:
            await self.take("chat", self.chat)
        elif outcome.parts and not outcome.parts[0].is_ok:
            self.tell("chat", False, 0.0, f"{outcome.parts[0].told} If it lists none, name a model to try.")
        else:
            self.tell("chat", False, 0.0, "It lists no model for a chat: name one to try.")

    def tell(self, name: str, is_ok: bool, seconds: float, told: str, *, is_hopeless: bool = False) -> None:
        told = without_secrets(told, self.provider_key)
        self.outcome.parts.append(Part(name, is_ok, seconds, told, is_hopeless))

    @property
    def provider_key(self) -> str:
        return self.endpoint.api_key if self.provider.encrypted_key else ""

    async def take(self, name: str, step: Callable[[], Awaitable[str]], *, most: float = TRIAL_SECONDS) -> None:
        """Makes one step and tells how it went."""
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        is_hopeless = False
        try:
            async with asyncio.timeout_at(min(self.until, loop.time() + most)):
                is_ok, told = True, await step()
        except TimeoutError:
            is_ok, told = False, _ADVICE[SILENT]
        except TurnFailed as failure:
            is_ok, told = False, self.advice(failure)
            is_hopeless = failure.message in (UNREACHABLE, CREDENTIAL_REFUSED)
        self.tell(name, is_ok, time.monotonic() - began, told, is_hopeless=is_hopeless)

    async def list_models(self) -> str:
        listed = await self.json("models")
        found = listed.get("data") if isinstance(listed, dict) else None
        if not isinstance(found, list):
            raise TurnFailed("server_error", NOT_COMPATIBLE)
        self.outcome.models = [str(each["id"]) for each in found if isinstance(each, dict) and each.get("id")]
        shown = ", ".join(self.outcome.models[:MAX_SHOWN_MODELS])
        more = ", …" if len(self.outcome.models) > MAX_SHOWN_MODELS else ""
        return f"It lists {len(self.outcome.models)} models: {shown}{more}." if shown else "It lists no models."

    def model_to_chat_with(self) -> str:
        """One that it is said to have; else a listed one that it is asked for, and that looks like one for chats."""
        entries = [entry.partition("=") for entry in self.provider.model_names]
        said = [here or pattern for pattern, _, here in entries if "*" not in (here or pattern)]
        asked_for = [
            name
            for name in self.outcome.models
            if not entries or any(matches(pattern, name) for pattern, _, _ in entries)
        ]
        chatting = [name for name in [*said, *asked_for] if not any(kind in name.lower() for kind in _NO_CHAT)]
        return next(iter(chatting), "")

    async def chat(self) -> str:
        try:
            return await self.chat_with(self.endpoint)
        except TurnFailed as failure:
            if failure.message in (CREDENTIAL_REFUSED, UNREACHABLE, QUOTA, RATE_LIMITED) or failure.lacks_model:
                raise
            plain = replace(self.endpoint, quirks={**self.endpoint.quirks, "stream": "false"})
            try:
                await self.chat_with(plain)
            except TurnFailed:
                raise failure from None
            raise TurnFailed("server_error", _NO_STREAM) from None

    async def chat_with(self, endpoint: Endpoint) -> str:
        request = ChatRequest(self.outcome.model, _REQUEST, options={"max_completion_tokens": MAX_TOKENS})
        began, first, text = time.monotonic(), None, ""
        async with aclosing(client.stream_turn(endpoint, request, most_retries=0)) as events:
            async for event in events:
                first = first or time.monotonic() - began
                text += event.text if isinstance(event, TextDelta) else ""
        said = f"said {text[:40]!r}" if text else "answered without a text"
        return f"{self.outcome.model} {said}; its first words came after {first or 0.0:.1f} s."

    async def embed(self) -> str:
        body = {"model": self.provider.embedding_model, "input": ["OK"], "encoding_format": "float"}
        answer = await self.json("embeddings", orjson.dumps(body))
        try:
            size = len(answer["data"][0]["embedding"])
        except (KeyError, IndexError, TypeError):
            raise TurnFailed("server_error", NOT_COMPATIBLE) from None
        return f"{self.provider.embedding_model} gives vectors of {size} dimensions."

    async def json(self, path: str, body: bytes | None = None) -> Any:
        """What the provider answers; `TurnFailed` where that is an error or no JSON."""
        try:
            content = await transport.whole_answer(self.endpoint, path, body)
        except Refused as refusal:
            raise judge(_error_in(refusal.body) or ProviderError(), refusal.status) from None
        try:
            answer = orjson.loads(content)
        except orjson.JSONDecodeError:
            raise TurnFailed("server_error", NOT_COMPATIBLE) from None
        error = error_in(answer)
        if error is not None:
            raise judge(error, None)
        return answer

    def advice(self, failure: TurnFailed) -> str:
        """What to do about it, with what the provider said where that may help."""
        status = f" (HTTP {failure.status})" if failure.status else ""
        if failure.message == _NO_STREAM:
            return _NO_STREAM
        if failure.message == UNREACHABLE:
            return _unreachable(failure.detail)
        if failure.lacks_model:
            model = self.outcome.model
            if model and not self.outcome.models:
                return f"It does not know the model {model}, or the address is wrong: does it end in /v1?{status}"
            if model:
                return f"It does not know the model {model}. Name one that it lists, or load the model there.{status}"
            return f"Nothing is found there. Does the address end in /v1?{status}"
        if failure.message in _ADVICE:
            return _ADVICE[failure.message] + status
        return f"It failed{status}: {failure.message} {failure.detail}".strip()


_NO_STREAM = 'It answers, but not as a stream. Add the quirk {"stream": "false"}: answers then come in one piece.'


def _unreachable(detail: str) -> str:
    words = detail.lower()
    if any(word in words for word in ("certificate", "ssl", "tls")):
        return _BAD_TLS
    if any(word in words for word in ("name or service", "name resolution", "nodename", "getaddrinfo", "no address")):
        return _NO_SUCH_HOST
    return _NOBODY_THERE


def _error_in(body: bytes) -> ProviderError | None:
    try:
        return error_in(orjson.loads(body))
    except orjson.JSONDecodeError:
        return None
