"""Who is asking from where, for the audit log: known before any view, forgotten after it."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from assistant_site.wire.headers import client_address, request_id
from audit import staff
from audit.log import Actor, acting

View = Callable[[HttpRequest], HttpResponseBase]


class ActorMiddleware:
    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with acting(Actor(address=client_address(request), request_id=request_id(request))):
            return self.get_response(request)


class StaffMiddleware:
    """Behind Django's authentication: what is done in the admin is done by its user. API requests cost nothing."""

    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path.startswith("/admin/"):
            user: Any = getattr(request, "user", None)
            if user is not None and user.is_authenticated:
                staff.known(user)
        return self.get_response(request)
