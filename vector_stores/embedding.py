"""Texts into vectors, by an OpenAI-compatible server: the operator's own (EMBEDDING_BASE_URL) or the tenant's provider.

What servers may differ in: vectors as numbers or packed in base64, in any order; batches that are too large for them
are halved, a text that is too long is embedded by its beginning. A server that turned out to have no embeddings is not
asked again for a minute, so that each search does not pay for finding that out.
"""

import atexit
import base64
import binascii
import functools
import logging
import math
import os
import random
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import orjson
from django.conf import settings

from assistant_site.llm.chat import Endpoint
from assistant_site.llm.errors import NOT_COMPATIBLE, ProviderError, error_in, judge, without_secrets
from assistant_site.llm.headers import retry_after
from assistant_site.llm.tokens import estimate_text
from assistant_site.tracing import spans
from assistant_site.tracing.providers import asked_at
from metering.budgets import InsufficientQuota, Spender
from metering.calls import Metered
from metering.models import EntryKind
from tenants import routes
from tenants.encryption import Undecryptable
from vector_stores import vectors

DEFAULT_MODEL = "text-embedding-3-small"
MAX_DIMENSION = 4_000  # a row with more does not fit a page of PostgreSQL, see migration 0002
MAX_BATCH = 64
MAX_BATCH_TOKENS = 8_000
SHORTEST_CUT = 200  # characters; a text refused at this length is refused for another reason

ATTEMPTS = 4
SECONDS = 60.0
QUERY_ATTEMPTS = 2
QUERY_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 20.0
FAILURE_KEPT_SECONDS = 60.0
OUTAGE_KEPT_SECONDS = 10.0
QUERY_KEPT_SECONDS = 300.0
MAX_KEPT_QUERIES = 256

_TOO_MUCH = (400, 413, 422)
_log = logging.getLogger(__name__)


class EmbeddingFailed(Exception):
    """`message` is for the operator and names no key. `transient`: the same may succeed later."""

    def __init__(self, message: str, transient: bool) -> None:
        super().__init__(message)
        self.message = message
        self.transient = transient


class _TooMuch(EmbeddingFailed):
    """The server refused this batch; a smaller one may pass."""


class QuotaExceeded(EmbeddingFailed):
    """A budget of the tenant has nothing left for it."""

    def __init__(self) -> None:
        super().__init__("A budget of the tenant is used up, so nothing is embedded.", transient=False)


@dataclass(frozen=True)
class Embedder:
    """`model` is what a store keeps: vectors of the same `model` can be compared.

    That is the server's name for it and, where EMBEDDING_DIMENSIONS shortens the vectors, `@` and their dimension.
    """

    endpoint: Endpoint
    model: str
    tenant_id: str  # who pays

    def embed(self, texts: list[str]) -> list[list[float]]:
        """The vectors of passages, each of length 1, all of one dimension. Raises `EmbeddingFailed`."""
        prefix = _with_space(settings.EMBEDDING_PASSAGE_PREFIX)
        return self._embed([prefix + text for text in texts], attempts=ATTEMPTS, seconds=SECONDS)

    def embed_query(self, text: str) -> str:
        """The vector of a query, as PostgreSQL reads it; kept for some minutes. Raises `EmbeddingFailed`, and soon."""
        key = (self.endpoint.base_url, self.endpoint.api_key, self.model, text)
        known = _queries.get(key)
        if known is None:
            prefixed = _with_space(settings.EMBEDDING_QUERY_PREFIX) + text
            found = self._embed([prefixed], attempts=QUERY_ATTEMPTS, seconds=QUERY_SECONDS)
            known = vectors.literal(found[0])
            _queries.put(key, known)
        return known

    def _embed(self, texts: list[str], *, attempts: int, seconds: float) -> list[list[float]]:
        server = (self.endpoint.base_url, self.endpoint.api_key, self.model)
        _failures.check(server)
        name, dimensions = _name_and_dimensions(self.model)
        asking = _Asking(self.endpoint, name, dimensions, Spender(self.tenant_id), attempts=attempts, seconds=seconds)
        try:
            with spans.span(
                f"embeddings {name}",
                kind="client",
                gen_ai__operation__name="embeddings",
                gen_ai__request__model=name,
                gen_ai__embeddings__dimension__count=dimensions or None,
            ) as span:
                span.set(**asked_at(self.endpoint.base_url))
                found = [vector for batch in _batches(texts) for vector in asking.embed(batch)]
            if len({len(vector) for vector in found}) > 1:
                raise EmbeddingFailed("The embedding server gave vectors of different dimensions.", transient=False)
        except (_TooMuch, QuotaExceeded):
            raise  # says something about these texts or the tenant, not about the server
        except EmbeddingFailed as failure:
            if not (isinstance(failure, _Again) and failure.is_answer):
                _failures.remember(server, failure)
            raise
        return found


def wanted_model(tenant_id: str) -> Embedder | None:
    """By which model this tenant's passages are to be embedded; None: searched by words only. Asks no server.

    Raises `EmbeddingFailed` if the provider's key cannot be read.
    """
    name = settings.EMBEDDING_MODEL
    if name == routes.OFF:
        return None
    if settings.EMBEDDING_BASE_URL:
        endpoint = Endpoint(base_url=settings.EMBEDDING_BASE_URL, api_key=settings.EMBEDDING_API_KEY or "none")
    else:
        try:
            route = routes.directory_of(tenant_id).embedding_route()
        except Undecryptable as error:
            raise EmbeddingFailed(str(error), transient=False) from error
        endpoint, name = route.endpoint, route.model or name
        # The demo model's vectors are hashed words; they add nothing to a search by words.
        if name == routes.OFF or (not name and endpoint.base_url == settings.DEMO_BASE_URL):
            return None
    name = name or DEFAULT_MODEL
    if settings.EMBEDDING_DIMENSIONS:
        name = f"{name}@{settings.EMBEDDING_DIMENSIONS}"
    return Embedder(endpoint, name, tenant_id)


def embedder_of(tenant_id: str, model: str) -> Embedder | None:
    """For queries to a store whose vectors are by `model`, which may be no longer the wanted one. None: words only."""
    wanted = wanted_model(tenant_id)
    return replace(wanted, model=model) if wanted and model else None


def _name_and_dimensions(model: str) -> tuple[str, int]:
    name, at, dimensions = model.rpartition("@")
    return (name, int(dimensions)) if at and name and dimensions.isdecimal() else (model, 0)


def _with_space(prefix: str) -> str:
    return f"{prefix} " if prefix else ""


def _batches(texts: list[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    tokens = 0
    for text in texts:
        needed = estimate_text(text)
        if batch and (len(batch) == MAX_BATCH or tokens + needed > MAX_BATCH_TOKENS):
            yield batch
            batch, tokens = [], 0
        batch.append(text)
        tokens += needed
    if batch:
        yield batch


# --- What this process remembers -------------------------------------------------------------------------------------

_Server = tuple[str, str, str]


class _Failures:
    """Servers that failed as a whole, and until when they are not asked again."""

    def __init__(self) -> None:
        self._known: dict[_Server, tuple[float, EmbeddingFailed]] = {}

    def check(self, server: _Server) -> None:
        until, failure = self._known.get(server, (0.0, None))
        if failure is None:
            return
        if until > time.monotonic():
            raise EmbeddingFailed(failure.message, failure.transient)
        self._known.pop(server, None)

    def remember(self, server: _Server, failure: EmbeddingFailed) -> None:
        seconds = OUTAGE_KEPT_SECONDS if failure.transient else FAILURE_KEPT_SECONDS
        self._known[server] = (time.monotonic() + seconds, failure)

    def forget(self) -> None:
        self._known.clear()


class _Queries:
    """The vectors of the latest queries."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, ...], tuple[float, str]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, ...]) -> str | None:
        with self._lock:
            until, vector = self._known.get(key, (0.0, None))
            return vector if until > time.monotonic() else None

    def put(self, key: tuple[str, ...], vector: str) -> None:
        with self._lock:
            self._known[key] = (time.monotonic() + QUERY_KEPT_SECONDS, vector)
            self._known.move_to_end(key)
            if len(self._known) > MAX_KEPT_QUERIES:
                self._known.popitem(last=False)

    def forget(self) -> None:
        with self._lock:
            self._known.clear()


_failures = _Failures()
_queries = _Queries()


def forget() -> None:
    """Forgets failures, queries and connections: after a change of the settings, and between tests."""
    _failures.forget()
    _queries.forget()
    client().close()
    _client_of.cache_clear()


# --- Over HTTP -------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def _client_of(process: int) -> httpx2.Client:
    # A proxy of the environment is for the world outside, not for a server beside us.
    made = httpx2.Client(mounts={"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None})
    atexit.register(made.close)
    return made


def client() -> httpx2.Client:
    """This process's connections to servers of embeddings and rankings; safe to share between threads."""
    return _client_of(os.getpid())


@dataclass(frozen=True)
class _Asking:
    endpoint: Endpoint
    name: str
    dimensions: int
    spender: Spender
    attempts: int
    seconds: float

    def embed(self, texts: list[str]) -> list[list[float]]:
        """The vectors of one batch, in halves if the server finds it too large."""
        try:
            return self._patiently(texts)
        except _TooMuch:
            if len(texts) > 1:
                middle = len(texts) // 2
                return self.embed(texts[:middle]) + self.embed(texts[middle:])
            if len(texts[0]) > SHORTEST_CUT:
                return self.embed([texts[0][: len(texts[0]) // 2]])
            raise

    def _patiently(self, texts: list[str]) -> list[list[float]]:
        for attempt in range(1, self.attempts + 1):
            try:
                return self._once(texts)
            except _Again as again:
                if attempt == self.attempts or (again.wait or 0.0) > MAX_PAUSE_SECONDS:
                    raise
                pause = min(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1), MAX_PAUSE_SECONDS)
                time.sleep(again.wait if again.wait is not None else pause * random.uniform(0.5, 1.0))  # noqa: S311
        raise AssertionError("the last attempt returns or raises")

    def _once(self, texts: list[str]) -> list[list[float]]:
        prompt = sum(map(estimate_text, texts))
        try:
            metered = Metered.begin(EntryKind.EMBEDDING, self.spender, self.name, prompt)
        except InsufficientQuota:
            raise QuotaExceeded from None
        try:
            answer = self._answer_to(texts)
            metered.settle_answer(answer)
        finally:
            metered.release()  # if there was no answer
        return _vectors_in(answer, len(texts))

    def _answer_to(self, texts: list[str]) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.name, "input": texts, "encoding_format": "float"}
        if self.dimensions:
            body["dimensions"] = self.dimensions
        try:
            answer = client().post(
                f"{self.endpoint.base_url}/embeddings",
                content=orjson.dumps(body),
                headers={"Authorization": f"Bearer {self.endpoint.api_key}", "Content-Type": "application/json"},
                timeout=httpx2.Timeout(self.seconds, connect=min(self.seconds, settings.LLM_CONNECT_SECONDS)),
            )
        except (httpx2.RequestError, OSError) as error:
            message = f"The embedding server could not be reached ({type(error).__name__})."
            raise _Again(message, is_answer=False) from error
        except (httpx2.InvalidURL, UnicodeError) as error:
            raise EmbeddingFailed("The embedding server's address cannot be used.", transient=False) from error
        return self._body_of(answer)

    def _body_of(self, answer: httpx2.Response) -> dict[str, Any]:
        try:
            body = orjson.loads(answer.content)
        except orjson.JSONDecodeError:
            body = None
        error = error_in(body)
        if answer.status_code < 300 and error is None:
            if not isinstance(body, dict):
                raise EmbeddingFailed(f"Embeddings: {NOT_COMPATIBLE}", transient=False)
            return body
        status = answer.status_code if answer.status_code >= 300 else None
        judged = judge(error or ProviderError(), status, retry_after=retry_after(answer.headers))
        _log.info(
            "Embeddings: status %s, %s", answer.status_code, without_secrets(judged.logged, self.endpoint.api_key)
        )
        said = f"the texts were refused with status {status}." if status in _TOO_MUCH else judged.message
        message = f"Embeddings by {self.name!r}: {said}"
        if status in _TOO_MUCH:
            raise _TooMuch(message, transient=False)
        if judged.retry:
            raise _Again(message, wait=judged.retry_after, is_answer=True)
        raise EmbeddingFailed(message, transient=judged.code == "rate_limit_exceeded")


class _Again(EmbeddingFailed):
    """Worth another attempt, after the pause that the server asked for. `is_answer`: it is there, and said so."""

    def __init__(self, message: str, *, is_answer: bool, wait: float | None = None) -> None:
        super().__init__(message, transient=True)
        self.is_answer = is_answer
        self.wait = wait


def _vectors_in(body: dict[str, Any], count: int) -> list[list[float]]:
    """The vectors of an answer in the order of the texts, brought to length 1."""
    data = body.get("data")
    if not isinstance(data, list) or len(data) != count or not all(isinstance(each, dict) for each in data):
        found = len(data) if isinstance(data, list) else "no"
        raise EmbeddingFailed(f"The embedding server gave {found} vectors for {count} texts.", transient=False)
    order = [each.get("index") for each in data]
    if sorted(order, key=str) == sorted(range(count), key=str):
        data = sorted(data, key=lambda each: int(each["index"]))
    return [_unit(_numbers(each.get("embedding"))) for each in data]


def _numbers(embedding: object) -> Sequence[float]:
    try:
        if isinstance(embedding, str):
            packed = base64.b64decode(embedding, validate=True)
            return struct.unpack(f"<{len(packed) // 4}f", packed)
        if isinstance(embedding, list):
            return [float(value) for value in embedding]
    except (binascii.Error, struct.error, TypeError, ValueError):
        pass
    raise EmbeddingFailed("The embedding server gave a vector that cannot be read.", transient=False)


def _unit(vector: Sequence[float]) -> list[float]:
    if not 0 < len(vector) <= MAX_DIMENSION:
        raise EmbeddingFailed(
            f"The embedding model gives vectors of {len(vector):,} dimensions; PostgreSQL can keep 1 to "
            f"{MAX_DIMENSION:,}. Set EMBEDDING_DIMENSIONS if the model can shorten them (1024, say), or take another.",
            transient=False,
        )
    length = math.sqrt(math.fsum(value * value for value in vector))
    if not math.isfinite(length):
        raise EmbeddingFailed("The embedding server gave a vector that is not finite.", transient=False)
    return [value / length for value in vector] if length else list(vector)
