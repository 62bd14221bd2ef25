"""Making a call: the request with its credentials, through the guarded client, again where that is safe."""

import asyncio
import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from assistant_site import fetching
from assistant_site.fetching import Answer, CannotFetch
from tools.openapi import (
    BadAuthentication,
    Operation,
    Request,
    authenticated,
    request_for,
    token_of,
    token_request,
)
from tools.openapi_actions import answers
from tools.openapi_actions.models import Authentication

IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))  # RFC 9110, 9.2.2
KEY_HEADER = "Idempotency-Key"
PASSING = frozenset((429, 502, 503, 504))  # statuses that may be another one soon
PAUSES = (0.5, 1.5)  # seconds before another attempt, where the service names none
LONGEST_PAUSE = 5.0
MAX_BYTES = 25 * 1024 * 1024
MAX_TOKEN_BYTES = 64 * 1024
TOKEN_SECONDS = 15.0
EARLY_SECONDS = 30.0  # a token is not used any more so long before it ends
MOST_TOKENS = 1_000


class CallFailed(Exception):
    """`message` is for whoever asked for the call; `was_sent`: whether the service may have carried it out."""

    def __init__(self, message: str, *, was_sent: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.was_sent = was_sent


@dataclass(frozen=True)
class Call:
    """`key` is the same each time this very call is made. `headers` come from the caller of the API."""

    operation: Operation
    arguments: dict[str, Any]
    authentication: Authentication = field(repr=False)
    key: str
    allowed_hosts: tuple[str, ...]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_repeatable(self) -> bool:
        """Whether making it twice is the same as once: by its method, or because the service knows calls by a key."""
        names = {each.name.lower() for each in self.operation.parameters if each.where == "header"}
        return self.operation.method in IDEMPOTENT or KEY_HEADER.lower() in names


@dataclass(frozen=True)
class Answered:
    """What the service answered."""

    answer: Answer
    request: Request

    @cached_property
    def _whole_text(self) -> str:
        return answers.text_of(self.answer)

    @cached_property
    def text(self) -> str:
        """The answer's, without the call's secrets."""
        return self.request.without_secrets(self._whole_text)

    @property
    def body(self) -> bytes:
        """The answer's, without the call's secrets where it is text."""
        is_clean = not answers.is_text(self.answer) or self.text == self._whole_text
        return self.answer.body if is_clean else self.text.encode()


async def make(call: Call, seconds: float) -> Answered:
    """Makes the call, within so many seconds in all. Raises `BadArguments`, `BadAuthentication` and `CallFailed`."""
    request = _with_key(request_for(call.operation, call.arguments), call.key)
    if call.headers:
        request = authenticated(request, {"type": "custom", "content": dict(call.headers)}, call.operation)
    deadline = time.monotonic() + seconds
    token = await _token(call) if call.authentication["type"] == "oauth2" else ""
    whole = authenticated(request, call.authentication, call.operation, token=token)
    answered = await _attempts(call, whole, deadline)
    if answered.answer.status == 401 and token:  # it ended sooner than was said; nothing was done
        _tokens.pop(_name_of_token(call), None)
        token = await _token(call)
        whole = authenticated(request, call.authentication, call.operation, token=token)
        answered = await _attempts(call, whole, deadline)
    return answered


async def _attempts(call: Call, request: Request, deadline: float) -> Answered:
    """The answer; if that is safe, after up to three attempts."""
    for usual in PAUSES if call.is_repeatable else ():
        pause = usual
        try:
            answered = await _attempt(call, request, deadline)
        except CallFailed as failure:
            if not failure.was_sent or time.monotonic() + pause > deadline:
                raise
        else:
            pause = _pause(answered.answer, usual)
            if answered.answer.status not in PASSING or time.monotonic() + pause > deadline:
                return answered
        await asyncio.sleep(pause)
    return await _attempt(call, request, deadline)


async def _attempt(call: Call, request: Request, deadline: float) -> Answered:
    try:
        answer = await _answer(call, request, MAX_BYTES, max(0.1, deadline - time.monotonic()))
    except CannotFetch as failure:
        raise CallFailed(request.without_secrets(failure.message), was_sent=failure.was_sent) from None
    return Answered(answer, request)


async def _answer(call: Call, request: Request, max_bytes: int, seconds: float) -> Answer:
    """To the call's request, or to one that is made for it. Raises `CannotFetch`."""
    return await fetching.request(
        request.method,
        request.url,
        content=request.content,
        headers=request.headers,
        max_bytes=max_bytes,
        seconds=seconds,
        allowed_hosts=call.allowed_hosts,
    )


def _pause(answer: Answer, usual: float) -> float:
    """Seconds to wait before the next attempt; for ever, if the service wants longer than anybody would wait."""
    try:
        wanted = float(answer.headers.get("retry-after", usual))
    except ValueError:  # a date
        return usual
    return wanted if 0 <= wanted <= LONGEST_PAUSE else math.inf


def _with_key(request: Request, key: str) -> Request:
    if any(name.lower() == KEY_HEADER.lower() for name in request.headers):
        return request
    return replace(request, headers={**request.headers, KEY_HEADER: key})


# --- Tokens by client credentials ------------------------------------------------------------------------------------

_tokens: dict[str, tuple[str, float]] = {}  # of this process, with the moments at which they end


def _name_of_token(call: Call) -> str:
    wanted = token_request(call.authentication, call.operation)
    known = json.dumps([wanted.url, wanted.headers, (wanted.content or b"").decode()], sort_keys=True)
    return hashlib.sha256(known.encode()).hexdigest()


async def _token(call: Call) -> str:
    name = _name_of_token(call)
    known = _tokens.get(name)
    if known is not None and known[1] > time.monotonic():
        return known[0]
    request = token_request(call.authentication, call.operation)
    try:
        answer = await _answer(call, request, MAX_TOKEN_BYTES, TOKEN_SECONDS)
        token, seconds = token_of(answer.body)
    except (CannotFetch, BadAuthentication) as failure:
        raise CallFailed(f"No token could be had for it: {request.without_secrets(failure.message)}") from None
    if len(_tokens) >= MOST_TOKENS:
        _tokens.clear()
    _tokens[name] = token, time.monotonic() + seconds - EARLY_SECONDS
    return token
