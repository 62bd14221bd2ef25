"""The response headers that OpenAI's clients read or expect."""

import secrets
import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from assistant_site import logs

API_PREFIXES = ("v1/", "api/v1/")
IDEMPOTENCY_KEY = "Idempotency-Key"  # of requests; see assistant_site.idempotency


def request_id(request: HttpRequest) -> str:
    """This request's id, as in its `x-request-id` header."""
    return str(getattr(request, "wire_id", "") or "req_unknown")


def client_address(request: HttpRequest) -> str:
    """The network address that the request came from; behind a trusted proxy, the one that this proxy saw."""
    return caller_address(request.META.get("HTTP_X_FORWARDED_FOR", ""), str(request.META.get("REMOTE_ADDR") or ""))


def caller_address(forwarded: str, peer: str) -> str:
    """`client_address` of what the header X-Forwarded-For says and who is at the other end of the connection."""
    seen = forwarded.rpartition(",")[2].strip() if settings.TRUST_PROXY_HEADERS else ""
    return seen or peer


class WireHeadersMiddleware:
    """Gives each request an id and each answer `x-request-id` and `openai-processing-ms`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        request.wire_id = f"req_{secrets.token_hex(16)}"  # type: ignore[attr-defined]
        noted = logs.note({"request_id": request.wire_id})  # type: ignore[attr-defined]
        try:
            response = self.get_response(request)
        finally:
            logs.forget(noted)
        headers = response.headers
        headers["x-request-id"] = request.wire_id  # type: ignore[attr-defined]
        headers["access-control-expose-headers"] = "X-Request-ID"
        headers.setdefault("openai-version", "2020-10-01")
        headers["openai-processing-ms"] = str(max(1, round(1000 * (time.perf_counter() - started))))
        return response
