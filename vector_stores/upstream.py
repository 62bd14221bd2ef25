"""Calls to a tenant's providers while a file is read: transcriptions, descriptions of pictures.

Several that have the model are asked in turn, so that a second try is another provider's."""

import logging
import time
from typing import Any

import httpx2
import orjson
from django.conf import settings

from assistant_site.llm.chat import Endpoint
from assistant_site.llm.errors import ProviderError, error_in, judge, without_secrets
from assistant_site.llm.usage import usage_of
from assistant_site.tracing import spans
from assistant_site.tracing.providers import asked_at
from metering.budgets import InsufficientQuota, Spender
from metering.calls import Metered
from metering.models import EntryKind
from tenants.encryption import Undecryptable
from tenants.routes import Route, routes_for
from vector_stores.extraction import CannotExtract

logger = logging.getLogger(__name__)

ATTEMPTS = 3
PAUSE_SECONDS = 2.0
_WORTH_ANOTHER_TRY = {408, 409, 429, 500, 502, 503, 504}
_NOT_OF_THE_PROVIDER = {400, 413, 415, 422}  # the file is refused, and would be elsewhere


def post(
    tenant_id: str, path: str, what: str, *, model: str, prompt: int, completion: int, **request: Any
) -> dict[str, Any]:
    """A provider's JSON; `CannotExtract` if none gives any. `what` names the service for the file's owner.

    The model goes into the form's `data` or the `json`. The providers' own words stay in the log: they may name inner
    addresses. `prompt` and `completion` are the tokens that the tenant's budgets must have room for; what is counted is
    what the answer says was used.
    """
    waiting = _routes(tenant_id, what, model)
    try:
        metered = Metered.begin(EntryKind.CHAT, Spender(tenant_id), model, prompt, completion)
    except InsufficientQuota:
        raise CannotExtract("server_error", f"A budget is used up, so the {what} was not asked.") from None
    try:
        operation = "chat" if path == "chat/completions" else "transcription"
        with spans.span(
            f"{operation} {model}", kind="client", gen_ai__operation__name=operation, gen_ai__request__model=model
        ) as span:
            route, answer = _answer(waiting, path, what, **request)
            span.set(**asked_at(route.endpoint.base_url))
        metered.answered_by(route.provider_id, route.model)
        if used := usage_of(answer.get("usage")):
            metered.settle(used)
        return answer
    finally:
        metered.release()  # if there was no answer, or none that says what it took


def _answer(waiting: list[Route], path: str, what: str, **request: Any) -> tuple[Route, dict[str, Any]]:
    """Who answered, and what."""
    timeout = httpx2.Timeout(settings.LLM_SILENCE_SECONDS, connect=settings.LLM_CONNECT_SECONDS)
    status = 0
    body = "json" if "json" in request else "data"
    with httpx2.Client(timeout=timeout) as client:
        for attempt in range(max(ATTEMPTS, len(waiting))):
            if not waiting:
                break
            if attempt:
                time.sleep(PAUSE_SECONDS * attempt)
            route = waiting.pop(0)
            endpoint = route.endpoint
            try:
                answer = client.post(
                    f"{endpoint.base_url}/{path}",
                    headers={"Authorization": f"Bearer {endpoint.api_key}"},
                    **request | {body: request[body] | {"model": route.model}},
                )
            except httpx2.HTTPError as error:
                logger.warning("%s of %s did not answer: %r", what, endpoint.base_url, error)
                status = 0
                waiting.append(route)
                continue
            status = answer.status_code
            if status < 300:
                return route, _json(answer, what, endpoint)
            logger.warning("%s of %s answered %s: %s", what, endpoint.base_url, status, _said(answer, endpoint))
            if status in _WORTH_ANOTHER_TRY:
                waiting.append(route)
            elif status in _NOT_OF_THE_PROVIDER:
                break
    raise _refusal(status, what)


def _routes(tenant_id: str, what: str, model: str) -> list[Route]:
    try:
        found = routes_for(tenant_id, "", model)
    except Undecryptable as error:
        logger.error("%s: %s", what, error)
        raise CannotExtract("server_error", f"The credential for the {what} cannot be read.") from None
    if not found:
        raise CannotExtract("unsupported_file", f"The file type is not supported: no provider has a {what}.")
    return found


def _said(answer: httpx2.Response, endpoint: Endpoint) -> str:
    """An error for the log; some providers repeat the key that they refuse, or what they were sent."""
    try:
        error = error_in(orjson.loads(answer.content))
    except orjson.JSONDecodeError:
        error = None
    status = answer.status_code if answer.status_code >= 300 else None
    return without_secrets(judge(error or ProviderError(), status).logged, endpoint.api_key)[:400]


def _json(answer: httpx2.Response, what: str, endpoint: Endpoint) -> dict[str, Any]:
    try:
        body = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict) or "error" in body:
        logger.warning("%s answered without a result: %s", what, _said(answer, endpoint))
        raise CannotExtract("server_error", f"The {what} gave no result.")
    return body


def _refusal(status: int, what: str) -> CannotExtract:
    if status in (404, 405, 501):
        return CannotExtract("unsupported_file", f"The file type is not supported: the provider has no {what}.")
    if status in (400, 413, 415, 422):
        return CannotExtract("invalid_file", f"The file could not be parsed: the {what} refused it.")
    return CannotExtract("server_error", f"The {what} did not answer.")
