"""`/models`, `/chat/completions` and `/embeddings`: handed on to the tenant's providers as they are.

Bodies go through byte for byte, streams as they come; only the model's name is another one where an alias says so. When
a provider fails before the first byte of its answer, the next one that has the model is asked. The tenant's own token
stays here; the providers' credentials and addresses are never shown.
"""

import asyncio
import logging
import weakref
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from urllib.parse import unquote

import httpx2
import orjson
from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from assistant_site.db.threads import of_this_loop
from assistant_site.llm.chat import Endpoint
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
from assistant_site.wire import errors, grammar, rest
from assistant_site.wire.late import LateResponse
from assistant_site.wire.rest import WireView
from tenants import health
from tenants.encryption import Undecryptable
from tenants.models import ApiToken
from tenants.routes import Directory, Route, Upstream, directory_of, from_environment, routes_for

logger = logging.getLogger(__name__)

_clients: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx2.AsyncClient]" = weakref.WeakKeyDictionary()
_notes: "set[asyncio.Task[None]]" = set()  # a task that nobody holds may be lost
LIST_SECONDS = 10.0
_PASSED_HEADERS = ("content-type", "retry-after", "retry-after-ms", "x-should-retry")


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


class Forwarding:
    """One request on its way to whoever answers it. `route` is the last that was asked."""

    def __init__(self, routes: list[Route], path: str, raw: bytes, body: Any) -> None:
        self.routes = routes
        self.path = path
        self.raw = raw
        self.body = body
        self.route = routes[0]

    async def answer(self) -> HttpResponseBase:
        """Of the first provider that does not fail for a reason of its own; of the last one whatever it is."""
        for left in range(len(self.routes) - 1, -1, -1):
            self.route = self.routes[-1 - left]
            answer, failure = await self.attempt(self.route)
            if failure is not None and failure.elsewhere:
                health.note(self.route.provider_id, self.route.model, failure, self.route.endpoint.api_key)
                if left:
                    logger.warning("%s failed; %s is asked next.", self.route.name, self.routes[-left].name)
                    answer.close()
                    continue
            break
        if failure is None:
            health.succeeded(self.route.provider_id, self.route.model)
        if health.is_due():
            _notes.add(note := asyncio.create_task(of_this_loop().run(health.write)))
            note.add_done_callback(_notes.discard)
        return answer

    def body_for(self, route: Route) -> bytes:
        if isinstance(self.body, dict) and self.body.get("model", route.model) != route.model:
            return as_json({**self.body, "model": route.model})
        return self.raw

    async def attempt(self, route: Route) -> tuple[HttpResponseBase, TurnFailed | None]:
        """What the caller would be told, and in which way it is a failure."""
        answer: HttpResponseBase
        failure: TurnFailed | None = None
        try:
            upstream = await ask(route.endpoint, "POST", self.path, self.body_for(route))
        except UpstreamFailed as failed:
            return rest.error_response(failed.error), TurnFailed("server_error", failed.error.message)
        if upstream.status_code >= 400:
            content = await whole(upstream)
            answer, failure = refusal(upstream.status_code, content), judged(content, upstream)
        elif upstream.headers.get("content-type", "").startswith("text/event-stream"):
            began = Stream(upstream, route)
            failure = await began.begin()
            answer = StreamingHttpResponse(began.pieces())
            answer.headers["Cache-Control"] = "no-cache"
            answer.headers["X-Accel-Buffering"] = "no"
        else:
            content = await whole(upstream)
            if b'"error"' in content[:64] or not content:  # One API's, with a status of 200
                failure = judged(content, upstream)
            elif upstream.headers.get("content-type", "").startswith("text/html"):
                failure = TurnFailed("server_error", NOT_COMPATIBLE)
            answer = HttpResponse(content, status=upstream.status_code)
        for name in _PASSED_HEADERS:
            if name in upstream.headers and not (name == "content-type" and upstream.status_code >= 400):
                answer.headers[name] = upstream.headers[name]
        for name, value in upstream.headers.items():
            if name.startswith("x-ratelimit-"):
                answer.headers[name] = value
        return answer, failure


def judged(content: bytes, upstream: httpx2.Response) -> TurnFailed:
    """What a refusal means, or a body that should have been an answer."""
    told = error_told(content)
    status = upstream.status_code if upstream.status_code >= 400 else None
    return judge(told or ProviderError(), status, retry_after=retry_after(upstream.headers))


def error_told(content: bytes) -> ProviderError | None:
    try:
        return error_in(orjson.loads(content))
    except orjson.JSONDecodeError:
        return None


class Stream:
    """A provider's stream of events, handed on as it comes."""

    def __init__(self, upstream: httpx2.Response, route: Route) -> None:
        self.upstream = upstream
        self.route = route
        self.coming = upstream.aiter_bytes()
        self.first = b""
        self.broken = False

    async def begin(self) -> TurnFailed | None:
        """Waits for the first piece; why there is no answer, if it shows that already."""
        try:
            self.first = await anext(self.coming, b"")
        except httpx2.HTTPError as error:
            self.broken = True
            await self.upstream.aclose()
            return TurnFailed("server_error", ENDED_EARLY, detail=type(error).__name__)
        if not self.first:
            return TurnFailed("server_error", ENDED_EARLY)
        lines = (line.removeprefix(b"data:") for line in self.first.splitlines() if line.startswith(b"data:"))
        told = error_told(next(lines, b""))
        return judge(told, None) if told is not None else None

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            if self.broken:
                yield _broke()
                return
            yield self.first
            async for piece in self.coming:
                yield piece
        except httpx2.HTTPError as error:
            logger.error("The model provider's stream broke: %r", error)
            health.note(self.route.provider_id, self.route.model, TurnFailed("server_error", ENDED_EARLY), "")
            yield _broke()
        finally:
            await self.upstream.aclose()


def _broke() -> bytes:
    return b"data: " + orjson.dumps(errors.ServerError("The model provider's stream broke.").body()) + b"\n\n"


async def whole(upstream: httpx2.Response) -> bytes:
    try:
        return await upstream.aread()
    except httpx2.HTTPError:
        return b""
    finally:
        await upstream.aclose()


class ProviderView(WireView):
    """Finds the providers of the tenant or token; a credential that cannot be read is the operator's matter."""

    resource = "models"

    def found(self, model: str) -> list[Route]:
        """Whom to ask for the model; `NotFound` if nobody has it."""
        try:
            routes = routes_for(self.tenant.pk, self.token.pk, model)
        except Undecryptable as error:
            logger.error("Tenant %s: %s", self.tenant.pk, error)
            raise errors.ServerError("The credential of the model provider cannot be read.") from None
        if not routes:
            raise no_model(model)
        return routes


def no_model(model: str) -> errors.NotFound:
    return errors.NotFound(f"The model '{model}' does not exist", param="model", code="model_not_found")


class ForwardView(ProviderView):
    """A POST that a provider answers."""

    path = ""
    keeps_answers = False

    def post(self, request: Request) -> HttpResponseBase:
        asked = rest.json_body(request._request)  # what is no JSON is answered here, in the documented words
        body = self.allowed(asked, request._request.body)
        model = asked.get("model") if isinstance(asked, dict) else None
        routes = self.found(model if isinstance(model, str) else "")
        return LateResponse(Forwarding(routes, self.path, body, asked).answer)

    def allowed(self, asked: Any, body: bytes) -> bytes:
        """The body to send, if the token may use the model that it names."""
        if not self.token.allowed_models:
            return body
        model = asked.get("model") if isinstance(asked, dict) else None
        if not isinstance(model, str):
            raise grammar.missing("model")
        self.token.require_model(model)
        return orjson.dumps(asked)  # of a name that is given twice, other readers may take the first


@extend_schema(request=OpenApiTypes.OBJECT, responses=OpenApiTypes.OBJECT)
class ChatCompletionsView(ForwardView):
    path = "chat/completions"
    operation_ids = {"POST": "createChatCompletion"}


@extend_schema(request=OpenApiTypes.OBJECT, responses=OpenApiTypes.OBJECT)
class EmbeddingsView(ForwardView):
    path = "embeddings"
    operation_ids = {"POST": "createEmbedding"}


async def models_of(endpoint: Endpoint) -> list[dict[str, Any]]:
    """The provider's models, with the fields clients expect; `UpstreamFailed` if it does not tell."""
    upstream = await ask(endpoint, "GET", "models", None)
    body = await whole(upstream)
    try:
        return [as_model(model["id"], model) for model in orjson.loads(body)["data"]]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        logger.error("The model provider does not list its models: HTTP %s", upstream.status_code)
        raise UpstreamFailed(
            errors.ServerError(f"The model provider does not list its models (HTTP status {upstream.status_code}).")
        ) from None


def as_model(name: str, told: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": int(told.get("created") or 0),
        "owned_by": str(told.get("owned_by") or "provider"),
    }


async def models_at(upstream: Upstream) -> list[dict[str, Any]]:
    """Under the names by which they can be asked for; what is known without asking, if it does not tell."""
    try:
        async with asyncio.timeout(LIST_SECONDS):
            listed = {model["id"]: model for model in await models_of(upstream.endpoint)}
    except (UpstreamFailed, TimeoutError, Undecryptable):
        listed = {}
        if not upstream.models_of_list([]):
            raise
    return [as_model(name, listed.get(name, {})) for name in upstream.models_of_list(list(listed))]


async def all_models(directory: Directory, token_id: str) -> list[dict[str, Any]]:
    """What may be asked for: the models of those who serve, each once, and other names for models that they have.

    Providers that do not tell are passed over, unless none does: `UpstreamFailed`.
    """
    serving = directory.serving(token_id)
    if serving is None:
        told: list[Any] = [await models_of(from_environment())]
    else:
        told = await asyncio.gather(*(models_at(each) for each in serving), return_exceptions=True)
    failures = [each for each in told if isinstance(each, BaseException)]
    if failures and len(failures) == len(told):
        raise upstream_failed(failures[-1])
    models = {model["id"]: model for each in told if not isinstance(each, BaseException) for model in each}
    for alias, theirs in directory.aliases.items():
        if serving is None or any(each.model_here(theirs) is not None for each in serving):
            models[alias] = as_model(alias, models.get(theirs, {}))
    return list(models.values())


def upstream_failed(failure: BaseException) -> UpstreamFailed:
    if isinstance(failure, UpstreamFailed):
        return failure
    if isinstance(failure, Undecryptable):
        logger.error("%s", failure)
        return UpstreamFailed(errors.ServerError("The credential of the model provider cannot be read."))
    if isinstance(failure, TimeoutError):
        return UpstreamFailed(errors.Unavailable("The model provider did not answer in time."))
    raise failure


class ModelListView(ProviderView):
    operation_ids = {"GET": "listModels"}

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> HttpResponseBase:
        return LateResponse(partial(self.listed, directory_of(self.tenant.pk), self.token))

    @staticmethod
    async def listed(directory: Directory, token: ApiToken) -> HttpResponseBase:
        try:
            models = await all_models(directory, token.pk)
            body = {"object": "list", "data": [model for model in models if token.may_use(model["id"])]}
        except UpstreamFailed as failed:
            return rest.error_response(failed.error)
        return HttpResponse(orjson.dumps(body), content_type="application/json")


class ModelDetailView(ProviderView):
    """Decided by the lists alone: gateways answer unknown models in many ways, some with a 200."""

    operation_ids = {"GET": "retrieveModel"}

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, model: str) -> HttpResponseBase:
        return LateResponse(partial(self.one, directory_of(self.tenant.pk), self.token, unquote(model)))

    @staticmethod
    async def one(directory: Directory, token: ApiToken, wanted: str) -> HttpResponseBase:
        try:
            for model in await all_models(directory, token.pk):
                if model["id"] == wanted and token.may_use(wanted):
                    return HttpResponse(orjson.dumps(model), content_type="application/json")
        except UpstreamFailed as failed:
            return rest.error_response(failed.error)
        return rest.error_response(no_model(wanted))
