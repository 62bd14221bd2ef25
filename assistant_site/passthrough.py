"""`/models`, `/chat/completions` and `/embeddings`: handed on to the tenant's provider as they are.

Bodies go through byte for byte, streams as they come. The tenant's own token stays here; the provider's credential
and address are never shown.
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

from assistant_site.llm.chat import Endpoint
from assistant_site.llm.errors import ProviderError, error_in, judge, shown_to_tenant
from assistant_site.wire import errors, grammar, rest
from assistant_site.wire.late import LateResponse
from assistant_site.wire.rest import WireView
from tenants import providers
from tenants.encryption import Undecryptable
from tenants.models import ApiToken

logger = logging.getLogger(__name__)

_clients: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx2.AsyncClient]" = weakref.WeakKeyDictionary()
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


async def forward(endpoint: Endpoint, path: str, body: bytes) -> HttpResponseBase:
    try:
        upstream = await ask(endpoint, "POST", path, body)
    except UpstreamFailed as failed:
        return rest.error_response(failed.error)
    if upstream.status_code >= 400:
        answer: HttpResponseBase = refusal(upstream.status_code, await whole(upstream))
    elif upstream.headers.get("content-type", "").startswith("text/event-stream"):
        answer = StreamingHttpResponse(pieces(upstream))
        answer.headers["Cache-Control"] = "no-cache"
        answer.headers["X-Accel-Buffering"] = "no"
    else:
        answer = HttpResponse(await whole(upstream), status=upstream.status_code)
    for name in _PASSED_HEADERS:
        if name in upstream.headers and not (name == "content-type" and upstream.status_code >= 400):
            answer.headers[name] = upstream.headers[name]
    for name, value in upstream.headers.items():
        if name.startswith("x-ratelimit-"):
            answer.headers[name] = value
    return answer


async def whole(upstream: httpx2.Response) -> bytes:
    try:
        return await upstream.aread()
    except httpx2.HTTPError:
        return b""
    finally:
        await upstream.aclose()


async def pieces(upstream: httpx2.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in upstream.aiter_bytes():
            yield piece
    except httpx2.HTTPError as error:
        logger.error("The model provider's stream broke: %r", error)
        failed = errors.ServerError("The model provider's stream broke.")
        yield b"data: " + orjson.dumps(failed.body()) + b"\n\n"
    finally:
        await upstream.aclose()


class ProviderView(WireView):
    """Finds the tenant's provider; a credential that cannot be read is the operator's matter."""

    resource = "models"

    def endpoint(self) -> Endpoint:
        try:
            return providers.endpoint_for(self.tenant)
        except Undecryptable as error:
            logger.error("Tenant %s: %s", self.tenant.pk, error)
            raise errors.ServerError("The credential of the model provider cannot be read.") from None


class ForwardView(ProviderView):
    """A POST that the provider answers."""

    path = ""
    keeps_answers = False

    def post(self, request: Request) -> HttpResponseBase:
        asked = rest.json_body(request._request)  # what is no JSON is answered here, in the documented words
        return LateResponse(partial(forward, self.endpoint(), self.path, self.allowed(asked, request._request.body)))

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
        listed = orjson.loads(body)["data"]
        return [
            {
                "id": model["id"],
                "object": "model",
                "created": int(model.get("created") or 0),
                "owned_by": str(model.get("owned_by") or "provider"),
            }
            for model in listed
        ]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        logger.error("The model provider does not list its models: HTTP %s", upstream.status_code)
        raise UpstreamFailed(
            errors.ServerError(f"The model provider does not list its models (HTTP status {upstream.status_code}).")
        ) from None


class ModelListView(ProviderView):
    operation_ids = {"GET": "listModels"}

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> HttpResponseBase:
        return LateResponse(partial(self.listed, self.endpoint(), self.token))

    @staticmethod
    async def listed(endpoint: Endpoint, token: ApiToken) -> HttpResponseBase:
        try:
            body = {"object": "list", "data": [m for m in await models_of(endpoint) if token.may_use(m["id"])]}
        except UpstreamFailed as failed:
            return rest.error_response(failed.error)
        return HttpResponse(orjson.dumps(body), content_type="application/json")


class ModelDetailView(ProviderView):
    """Decided by the list alone: gateways answer unknown models in many ways, some with a 200."""

    operation_ids = {"GET": "retrieveModel"}

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, model: str) -> HttpResponseBase:
        return LateResponse(partial(self.found, self.endpoint(), self.token, unquote(model)))

    @staticmethod
    async def found(endpoint: Endpoint, token: ApiToken, wanted: str) -> HttpResponseBase:
        try:
            for model in await models_of(endpoint):
                if model["id"] == wanted and token.may_use(wanted):
                    return HttpResponse(orjson.dumps(model), content_type="application/json")
        except UpstreamFailed as failed:
            return rest.error_response(failed.error)
        missing = errors.NotFound(f"The model '{wanted}' does not exist", param="model", code="model_not_found")
        return rest.error_response(missing)
