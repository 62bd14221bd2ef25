"""Requests to the API leave the chain of middleware here: what follows is for pages, with their sessions and forms."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.utils.module_loading import import_string

from assistant_site import logs
from assistant_site.routing import Routes
from assistant_site.wire.headers import API_PREFIXES

# What the middleware for pages would add, and browsers are to hear of the API's answers too.
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


class ApiMiddleware:
    """Answers a request to the API through `API_MIDDLEWARE`; any other goes on to the rest of `MIDDLEWARE`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        from assistant_site.urls import api  # which imports every view

        self.routes = Routes(api, API_PREFIXES)
        answer: Any = self.answer_of_view
        for name in reversed(settings.API_MIDDLEWARE):
            answer = import_string(name)(answer)
        self.answer: Any = convert_exception_to_response(answer)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info[1:].startswith(API_PREFIXES):
            return self.get_response(request)
        response: HttpResponseBase = self.answer(request)
        headers = response.headers
        for name, value in _SECURITY.items():
            headers.setdefault(name, value)
        if not response.streaming and "Content-Length" not in headers:
            headers["Content-Length"] = str(len(response.content))  # type: ignore[attr-defined]
        return response

    def answer_of_view(self, request: HttpRequest) -> HttpResponseBase:
        view, arguments, request.route = self.routes.find(request.path_info)  # type: ignore[attr-defined]
        logs.note(arguments)  # until the request is over
        response: HttpResponseBase = view(request, **arguments)
        return response.render() if isinstance(response, SimpleTemplateResponse) else response


class HostMiddleware:
    """Refuses a `Host` that is none or not among ALLOWED_HOSTS, as Django's CommonMiddleware does."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.get_host()
        return self.get_response(request)
