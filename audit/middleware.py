"""Who is asking from where, for the audit log: known before any view, forgotten after it."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from assistant_site.wire.headers import client_address, request_id
from audit.log import Actor, acting


class ActorMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with acting(Actor(address=client_address(request), request_id=request_id(request))):
            return self.get_response(request)
