"""A web request sees no tenant's rows until somebody has found out who makes it (`scope`)."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from assistant_site.db import scope

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class ClosedMiddleware:
    """Authentication opens what is the tenant's (`tenants.auth`); the answer ends it.

    What of the answer is made later, in the event loop, is made in the scope that the request came to: `scope_of`.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with scope.closed():
            response = self.get_response(request)
            response._scope = scope.present()  # type: ignore[attr-defined]
            return response


def scope_of(response: HttpResponseBase) -> str:
    """The scope in which the rest of an answer is to be made."""
    return getattr(response, "_scope", scope.CLOSED)


class StaffMiddleware:
    """The admin shows every tenant to whoever is let into it. To be placed behind Django's authentication."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        match, user = request.resolver_match, request.user
        if match is not None and "admin" in match.app_names and user.is_active and user.is_staff:
            scope.enter(scope.EVERYTHING)
