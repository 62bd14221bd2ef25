"""Addresses of the API are looked up as Django would resolve them."""

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from assistant_site.routing import Routes
from assistant_site.urls import api
from assistant_site.wire.headers import API_PREFIXES


def patterns_below(resolver: URLResolver, before: str = "") -> list[str]:
    found = []
    for each in resolver.url_patterns:
        route = before + str(each.pattern)
        found += patterns_below(each, route) if isinstance(each, URLResolver) else [route]
        assert isinstance(each, URLPattern | URLResolver)
    return found


def addresses() -> list[str]:
    routes = [route for route in patterns_below(get_resolver()) if route.startswith(API_PREFIXES) and "^" not in route]
    filled = ["/" + "/".join("some.thing" if "<" in part else part for part in route.split("/")) for route in routes]
    worse = [address + end for address in filled for end in ("/", "/more", "%")] + [
        f"/v1{address}" for address in filled
    ]
    return [*filled, *worse, *(address.replace("some.thing", "") for address in filled), "/v1/", "/v1/threads/a\nb"]


def test_every_address_is_found_as_django_resolves_it() -> None:
    routes = Routes(api, API_PREFIXES)
    for address in addresses():
        if address.startswith(("/v1/", "/api/v1/")):
            wanted = resolve(address)
            view, arguments, pattern = routes.find(address)
            assert (view, arguments) == (wanted.func, wanted.kwargs), address
            assert wanted.route.endswith(pattern), address


@pytest.mark.parametrize("path", ["/v1/threads/runs", "/v1/threads/thread_1/runs/run_1", "/api/v1/assistants"])
def test_hot_addresses_need_no_resolving(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assistant_site.routing.resolve", None)
    Routes(api, API_PREFIXES).find(path)
