"""Views that speak OpenAI's REST: JSON in, JSON out, every failure in the error envelope."""

import logging
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ClassVar, Literal, TypeVar

import orjson
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from django.http.request import RawPostDataException, UnreadablePostError
from django.http.response import HttpResponseBase
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from assistant_site.db.errors import first_line
from assistant_site.wire import errors, grammar
from assistant_site.wire.fields import RequestSerializer
from assistant_site.wire.grammar import Fault
from assistant_site.wire.headers import request_id
from assistant_site.wire.rendering import WireJSONRenderer

logger = logging.getLogger(__name__)
AnyResponse = TypeVar("AnyResponse", bound=HttpResponseBase)


def too_large(most: int | None = None, what: str = "request body") -> errors.TooLarge:
    megabytes = (most or settings.MAX_BODY_BYTES) // (1024 * 1024)
    return errors.TooLarge(f"The {what} is too large: at most {megabytes} MB are accepted.")


def raw_body(request: HttpRequest) -> bytes:
    """The request's body as it is; `?` for one that cannot be read."""
    try:
        raw = request.body
    except RequestDataTooBig:
        raise too_large() from None
    except (RawPostDataException, UnreadablePostError):
        raw = b"?"
    return raw.removeprefix(b"\xef\xbb\xbf")  # some libraries put a byte order mark in front


def json_body(request: HttpRequest) -> Any:
    """The request's JSON, whatever its content type says; no body at all counts as `{}`."""
    raw = raw_body(request)
    if not raw.strip():
        return {}
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise errors.InvalidRequest(
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "
            "library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you "
            "have trouble figuring out how to fix this, please contact the operator of this server.)"
        ) from None


@cache
def prepared(serializer: type[RequestSerializer], partial: bool) -> RequestSerializer:
    """One instance for all requests: validating changes nothing in it, and making it costs more than validating."""
    return serializer(partial=partial)


# How the ids in paths and bodies begin.
ID_WORDS = {
    "assistant_id": "asst",
    "thread_id": "thread",
    "message_id": "msg",
    "run_id": "run",
    "step_id": "step",
    "upload_id": "upload",
    "vector_store_id": "vs",
    "batch_id": "vsfb",
    "action_id": "action_",
}


class WireView(APIView):
    """Base of all API views."""

    # What apps above check of an authenticated request before it is answered: each may refuse it. The headers that they
    # return go out with the answer.
    admissions: ClassVar[list[Callable[["WireView", Request], dict[str, str]]]] = []

    needs_beta = False
    keeps_answers = True  # for repetitions with the same Idempotency-Key
    # Who may ask: `tenant`, with an API token; `operator`, with the admin token; `both`.
    audience: Literal["tenant", "operator", "both"] = "tenant"
    # Methods by which a model is asked, now or later.
    costs_tokens: frozenset[str] = frozenset()
    # The kind of thing that it is about, as the scopes of tokens name it: `threads` in `threads.read`.
    resource = ""
    # What a verb does where that is not as usual (GET reads, others write): a search by POST reads.
    deeds: ClassVar[Mapping[str, Literal["read", "write"]]] = {}
    # Scopes that are needed beside that of its resource, by verb.
    needs: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @property
    def token(self) -> Any:
        """The API token that came with the request; `tenants.auth.OPERATOR` where the operator asks."""
        return self.request.auth

    @property
    def tenant(self) -> Any:
        """The tenant whose token came with the request; None where the operator asks."""
        return self.token.tenant

    @classmethod
    def scopes_for(cls, verb: str) -> tuple[str, ...]:
        """What a token needs for a request with this verb."""
        deed = cls.deeds.get(verb) or ("read" if verb in ("GET", "HEAD", "OPTIONS") else "write")
        return (f"{cls.resource}.{deed}", *cls.needs.get(verb, ()))

    @classmethod
    def check_caller(cls, asked_by: Any, verb: str) -> None:
        """Raises a WireError unless whoever this is may make such a request here."""
        is_operator = asked_by.tenant is None
        if is_operator and cls.audience == "tenant":
            raise errors.Unauthorized(
                "The admin token is of no tenant. Use an API token here; POST /v1/tokens makes one.",
                code="invalid_api_key",
            )
        if not is_operator and cls.audience == "operator":
            raise errors.PermissionDenied("Only the operator of this server, with the admin token, may do this.")
        asked_by.require(*cls.scopes_for(verb))

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.perform_authentication(request)
        self.check_caller(request.auth, str(request.method))
        self.answer_headers: dict[str, str] = {}
        for admit in self.admissions:
            self.answer_headers |= admit(self, request)
        if self.needs_beta and settings.REQUIRE_BETA_HEADER:
            betas = [beta.strip() for beta in request.headers.get("OpenAI-Beta", "").split(",")]
            if "assistants=v2" not in betas:
                raise errors.InvalidRequest(
                    "You must provide the 'OpenAI-Beta' header to access the Assistants API. Please try again by "
                    "setting the header 'OpenAI-Beta: assistants=v2'.",
                    code="invalid_beta",
                )
        for name, id in kwargs.items():
            word = ID_WORDS.get(name, "")
            if not id.startswith(word):
                raise grammar.wrong_id(id, word).under(name)
            if "\x00" in id:
                raise grammar.unstorable().under(name)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        token: Any = getattr(request, "_auth", None)
        if token is not None and token.tenant_id:
            response.headers["openai-organization"] = token.tenant_id
        for name, value in getattr(self, "answer_headers", {}).items():
            response.headers[name] = value
        return response

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        return WireJSONRenderer(), WireJSONRenderer.media_type  # whatever `Accept` says

    def parse(self, serializer: type[RequestSerializer], *, partial: bool = False) -> dict[str, Any]:
        """The validated body; see `RequestSerializer` for what is in it."""
        body = json_body(self.request._request)
        if not isinstance(body, dict):
            raise errors.InvalidRequest(
                f"Invalid type for the request body: expected an object, but got {grammar.type_word(body)} instead.",
                code="invalid_type",
            )
        checked: dict[str, Any] = prepared(serializer, partial).run_validation(body)
        return checked

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        raise errors.MethodNotAllowed(
            str(request.method), request.path, [m for m in self.allowed_methods if m not in ("OPTIONS", "HEAD")]
        )

    options = http_method_not_allowed  # DRF would describe the view instead


def as_wire_error(exception: BaseException, request: HttpRequest) -> errors.WireError:
    """Any exception as what the caller is told; what only the operator may know goes to the log."""
    if isinstance(exception, Fault):
        return exception.error()
    if isinstance(exception, errors.WireError):
        return exception
    if isinstance(exception, Http404):
        return invalid_url(request)
    if isinstance(exception, OperationalError | InterfaceError) and not was_rolled_back(exception):
        logger.error("%s %s: the database did not answer: %s", request.method, request.path, first_line(exception))
        return errors.Unavailable("The server's database cannot be reached at the moment. Please try again.")
    if isinstance(exception, exceptions.APIException) and exception.status_code < 500:
        return errors.InvalidRequest(str(exception.detail))
    logger.error("%s %s failed [%s]", request.method, request.path, request_id(request), exc_info=exception)
    return errors.bug(request_id(request))


def was_rolled_back(exception: BaseException) -> bool:
    """Whether PostgreSQL ended this one transaction (a deadlock, say) and is well otherwise: SQLSTATE class 40."""
    return str(getattr(exception.__cause__, "sqlstate", None) or "").startswith("40")


def handle_exception(exception: Exception, context: dict[str, Any]) -> Response:
    error = as_wire_error(exception, context["request"]._request)
    return logged(Response(error.body(), status=error.status, headers=error.headers))


def logged(response: AnyResponse) -> AnyResponse:
    """Marks an error answer as told to the operator, so that Django does not log it once more."""
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def invalid_url(request: HttpRequest) -> errors.NotFound:
    return errors.NotFound(f"Invalid URL ({request.method} {request.path})")


def error_response(error: errors.WireError) -> JsonResponse:
    """The envelope outside of DRF."""
    return logged(JsonResponse(error.body(), status=error.status, headers=error.headers))
