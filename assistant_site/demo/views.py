"""The demo model's endpoints. No authentication: there is nothing here to protect, and nothing to spend."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import orjson
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from assistant_site.demo.completion import Completion, hang
from assistant_site.demo.embedding import embeddings_of
from assistant_site.demo.script import BadRequest, Faults, answer_to

MAX_BODY_BYTES = 16 * 1024 * 1024

_faults = Faults()
_CREATED = 1_767_225_600  # 2026-01-01


def _error(status: int, message: str, kind: str, *, code: str | None = None, param: str | None = None) -> HttpResponse:
    return _json({"error": {"message": message, "type": kind, "param": param, "code": code}}, status)


def _json(value: object, status: int = 200) -> HttpResponse:
    return HttpResponse(orjson.dumps(value), status=status, content_type="application/json")


def _posted(view: Callable[[HttpRequest, dict[str, Any]], HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Gives the view the decoded body of a POST; answers everything else in OpenAI's envelope."""

    @csrf_exempt
    @wraps(view)
    def checked(request: HttpRequest) -> HttpResponseBase:
        if request.method != "POST":
            return _error(405, f"Not allowed to {request.method} on {request.path}.", "invalid_request_error")
        try:
            return view(request, _body(request))
        except RequestDataTooBig:
            return _error(413, f"The body is larger than {MAX_BODY_BYTES} bytes.", "invalid_request_error")
        except BadRequest as wrong:
            return _error(400, str(wrong), "invalid_request_error", param=wrong.param)

    return checked


def _body(request: HttpRequest) -> dict[str, Any]:
    try:
        raw = request.body
        body = orjson.loads(raw) if len(raw) <= MAX_BODY_BYTES else None
    except (orjson.JSONDecodeError, UnreadablePostError):
        raise BadRequest("We could not parse the JSON body of your request.") from None
    if len(raw) > MAX_BODY_BYTES:
        raise RequestDataTooBig
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    return body


@_posted
def chat_completions(request: HttpRequest, body: dict[str, Any]) -> HttpResponseBase:
    answer = answer_to(body, _faults, authorized="Authorization" in request.headers)
    streamed = bool(body.get("stream"))
    if answer.fault == "429":
        return _error(429, "Rate limit reached (demo).", "requests", code="rate_limit_exceeded")
    if answer.fault == "500" or (answer.fault == "midstream" and not streamed):
        return _error(500, "The server had an error (demo).", "server_error")
    kind = "text/event-stream; charset=utf-8" if streamed else "application/json"
    if answer.fault == "hang":
        return _streaming(StreamingHttpResponse(hang(), content_type=kind))
    completion = Completion.of(body, answer)
    if not streamed:
        return _json(completion.whole())
    return _streaming(StreamingHttpResponse(completion.streamed(), content_type=kind))


def _streaming(response: StreamingHttpResponse) -> StreamingHttpResponse:
    response["Cache-Control"] = "no-cache"
    response["X-Accel-Buffering"] = "no"  # nginx would gather the stream
    return response


@_posted
def embeddings(request: HttpRequest, body: dict[str, Any]) -> HttpResponseBase:
    return _json(embeddings_of(body))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "holdfast"}


def models(request: HttpRequest) -> HttpResponse:
    return _json({"object": "list", "data": [_model("demo"), _model("demo-instant")]})


def model(request: HttpRequest, name: str) -> HttpResponse:
    """Every name is a model: assistants made for another provider work with the demo as they are."""
    return _json(_model(name))
