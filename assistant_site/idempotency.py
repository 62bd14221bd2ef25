"""`Idempotency-Key` on a POST: the same key and body get the stored answer, so a repeated request makes no twin.

The answer is kept in the same transaction as what the request made. A second request with the key waits at the unique
index until the first has committed, or has come to nothing; a process that dies in between leaves neither. Only what
succeeded is kept: a refusal made nothing, and may be asked for again. Keys belong to a tenant and hold for 24 hours. A
stored answer is given to those only who might make the request.
"""

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve

from assistant_site.db import scope
from assistant_site.db.afterwards import one_transaction
from assistant_site.wire import rest
from assistant_site.wire.errors import InvalidRequest, WireError
from assistant_site.wire.headers import IDEMPOTENCY_KEY, client_address
from assistant_site.wire.late import AskAgain, LateResponse
from assistant_site.wire.rest import WireView
from runs.streaming import RunStream
from tenants import auth
from tenants.models import KeptAnswer, Tenant

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_PIECE = 1024 * 1024
_KEPT_HEADERS = ("openai-poll-after-ms", "openai-organization")


class IdempotencyMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        key = request.headers.get(IDEMPOTENCY_KEY)
        if key is None or request.method != "POST":
            return self.get_response(request)
        view = view_at(request.path_info)
        if view is None or not view.keeps_answers:
            return self.get_response(request)
        try:
            if not _KEY.fullmatch(key):
                raise InvalidRequest(
                    f"Invalid '{IDEMPOTENCY_KEY}': it must have 1 to 255 visible ASCII characters.",
                    code="invalid_value",
                    param=IDEMPOTENCY_KEY,
                )
            caller = auth.caller_of(request.headers, client_address(request))
            view.check_caller(caller, "POST")
            scope.enter(caller.tenant_id or scope.EVERYTHING)
            digest = digest_of(request)
        except WireError as error:
            return rest.error_response(error)
        if caller.tenant is None:
            return self.get_response(request)
        with one_transaction():
            return self.answer_once(request, caller.tenant, key, digest)

    def answer_once(self, request: HttpRequest, tenant: Tenant, key: str, digest: str) -> HttpResponseBase:
        kept, is_new = KeptAnswer.reserve(tenant, key, digest)
        if not is_new:
            return again(kept, digest)
        response = self.get_response(request)
        if not 200 <= response.status_code < 300 or isinstance(response, LateResponse | AskAgain):
            transaction.set_rollback(True)
            return response
        if isinstance(response, RunStream):
            kept.run_id, kept.after = response.run_id, response.after
        elif isinstance(response, HttpResponse):
            kept.body = response.content
        kept.status = response.status_code
        kept.headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        kept.save()
        return response


def view_at(path: str) -> type[WireView] | None:
    """The view that answers at this path, if it is one of the API's."""
    try:
        found = getattr(resolve(path).func, "view_class", None)
    except Resolver404:
        return None
    return found if found is not None and issubclass(found, WireView) else None


def digest_of(request: HttpRequest) -> str:
    """What must be the same for a request to be the same: address and body."""
    path = request.path.removeprefix("/api")
    digest = hashlib.sha256(b"\n".join([path.encode(), request.META.get("QUERY_STRING", "").encode(), b""]))
    if boundary := boundary_of(request):
        for piece in without(boundary, read_ahead(request)):
            digest.update(piece)
        return digest.hexdigest()
    with contextlib.suppress(Exception):  # the view tells in the documented words what is wrong with the body
        digest.update(request.body)
    return digest.hexdigest()


def boundary_of(request: HttpRequest) -> bytes:
    """What divides the parts of a multipart body; b"" for any other."""
    is_form = request.content_type == "multipart/form-data"
    return (request.content_params or {}).get("boundary", "").encode() if is_form else b""


def read_ahead(request: HttpRequest) -> Iterator[bytes]:
    """The body in pieces, with nothing of it held in memory; the view finds it unread."""
    stream = request._stream
    if not stream.seekable():  # Django's test client
        yield request.body
        return
    try:
        while piece := stream.read(_PIECE):
            yield piece
    finally:
        stream.seek(0)


def without(boundary: bytes, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """A body without its boundaries: a client makes new ones for each attempt at the same form."""
    kept = b""
    for piece in pieces:
        *whole, kept = (kept + piece).split(boundary)
        yield from whole
        # A boundary may have begun at the end.
        safe = max(len(kept) - len(boundary) + 1, 0)
        yield kept[:safe]
        kept = kept[safe:]
    yield kept


def again(kept: KeptAnswer, digest: str) -> HttpResponseBase:
    """The stored answer; a stream is told from its beginning."""
    if kept.digest != digest:
        error = InvalidRequest(
            f"The {IDEMPOTENCY_KEY} '{kept.key}' was already used with another request. "
            "Use a new key for a new request.",
            code="idempotency_key_in_use",
            param=IDEMPOTENCY_KEY,
        )
        return rest.error_response(error)
    response: HttpResponseBase
    if kept.run_id:
        response = RunStream(kept.run_id, after=kept.after)
    else:
        response = HttpResponse(bytes(kept.body), content_type="application/json", status=kept.status)
    for name, value in kept.headers.items():
        response.headers[name] = value
    response.headers["Idempotent-Replayed"] = "true"
    return response
