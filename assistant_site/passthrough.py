"""`/models`, `/chat/completions` and `/embeddings`: handed on to the tenant's providers as they are.

Bodies go through byte for byte; only the model's name is another one where an alias says so, and an answer's length is
limited where a budget applies. The tenant's own token stays here; the providers' credentials and addresses are never
shown.
"""

import asyncio
import logging
from functools import partial
from typing import Any
from urllib.parse import unquote

import orjson
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from assistant_site.forwarding import Forwarding, UpstreamFailed, ask, metered_call, whole
from assistant_site.llm.chat import Endpoint
from assistant_site.wire import errors, grammar, rest
from assistant_site.wire.late import LateResponse
from assistant_site.wire.rest import WireView
from metering import budgets
from metering.budgets import Spender
from metering.models import EntryKind
from tenants import end_users
from tenants.encryption import Undecryptable
from tenants.models import ApiToken
from tenants.routes import Directory, Route, Upstream, directory_of, from_environment, routes_for

logger = logging.getLogger(__name__)

LIST_SECONDS = 10.0
LONGEST_NAME = 256  # of a model


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


def name_in(asked: Any, name: str) -> str:
    """The text of this name in a body; empty if there is none. Refused is what the ledger could not write down."""
    given = asked.get(name) if isinstance(asked, dict) else None
    if not isinstance(given, str):
        return ""
    if "\x00" in given:
        raise grammar.unstorable().under(name)
    return given


class ForwardView(ProviderView):
    """A POST that a provider answers."""

    path = ""
    kind: EntryKind
    keeps_answers = False
    costs_tokens = frozenset({"POST"})

    def post(self, request: Request) -> HttpResponseBase:
        asked = rest.json_body(request._request)  # what is no JSON is answered here, in the documented words
        model, user = name_in(asked, "model"), name_in(asked, "user")
        body = self.allowed(asked, request._request.body)
        if len(model) > LONGEST_NAME:
            raise no_model(model)
        routes = self.found(model)
        end_user = end_users.named(request, user[:128])
        end_users.admit(self.tenant.pk, end_user, costs_tokens=True)
        spender = Spender(self.tenant.pk, self.token.pk, end_user)
        budgets.refuse_if_exhausted(spender)
        metered = metered_call(self.kind, spender, asked)
        return LateResponse(Forwarding(routes, self.path, body, asked, metered).answer)

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
    kind = EntryKind.CHAT
    operation_ids = {"POST": "createChatCompletion"}


@extend_schema(request=OpenApiTypes.OBJECT, responses=OpenApiTypes.OBJECT)
class EmbeddingsView(ForwardView):
    path = "embeddings"
    kind = EntryKind.EMBEDDING
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
