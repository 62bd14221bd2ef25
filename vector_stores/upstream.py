"""Calls to a tenant's provider while a file is read: transcriptions, descriptions of pictures."""

import logging
import time
from typing import Any

import httpx2
import orjson
from django.conf import settings

from assistant_site.llm.chat import Endpoint
from assistant_site.llm.errors import without_secrets
from tenants import providers
from tenants.encryption import Undecryptable
from vector_stores.extraction import CannotExtract

logger = logging.getLogger(__name__)

ATTEMPTS = 3
PAUSE_SECONDS = 2.0
_WORTH_ANOTHER_TRY = {408, 409, 429, 500, 502, 503, 504}


def post(tenant_id: str, path: str, what: str, **request: Any) -> dict[str, Any]:
    """The provider's JSON; `CannotExtract` if it gives none. `what` names the service for the file's owner.

    The provider's own words stay in the log: they may name inner addresses.
    """
    endpoint = _endpoint(tenant_id, what)
    timeout = httpx2.Timeout(settings.LLM_SILENCE_SECONDS, connect=settings.LLM_CONNECT_SECONDS)
    status = 0
    with httpx2.Client(timeout=timeout) as client:
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(PAUSE_SECONDS * attempt)
            try:
                answer = client.post(
                    f"{endpoint.base_url}/{path}", headers={"Authorization": f"Bearer {endpoint.api_key}"}, **request
                )
            except httpx2.HTTPError as error:
                logger.warning("%s of %s did not answer: %r", what, endpoint.base_url, error)
                status = 0
                continue
            status = answer.status_code
            if status < 300:
                return _json(answer, what, endpoint)
            logger.warning("%s of %s answered %s: %s", what, endpoint.base_url, status, _said(answer, endpoint))
            if status not in _WORTH_ANOTHER_TRY:
                break
    raise _refusal(status, what)


def _endpoint(tenant_id: str, what: str) -> Endpoint:
    try:
        return providers.endpoint_for(tenant_id)
    except Undecryptable as error:
        logger.error("%s: %s", what, error)
        raise CannotExtract("server_error", f"The credential for the {what} cannot be read.") from None


def _said(answer: httpx2.Response, endpoint: Endpoint) -> str:
    """The beginning of an answer for the log; some providers repeat the key that they refuse."""
    return without_secrets(answer.text, endpoint.api_key)[:300]


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
