"""Which view answers at an address of the API: Django's own patterns, looked up instead of tried one after the other.

Django compares an address with every pattern before the one that fits, 70 for a run: a tenth of a small request. Here
those with the same number of parts and the same first part are compared. What is not plain (`models/<path:model>`,
what is unknown) is still resolved by Django.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, resolve
from django.urls.converters import StringConverter
from django.urls.resolvers import RoutePattern

View = Callable[..., Any]
_PART = re.compile(r"[^<>]*|<[^<>]+>")


@dataclass(frozen=True)
class Route:
    """A pattern such as `threads/<str:thread_id>/runs`: words that must be there, and names of what else is."""

    words: tuple[tuple[int, str], ...]
    names: tuple[tuple[int, str], ...]
    view: View
    pattern: str

    @classmethod
    def of(cls, route: str, view: View) -> "Route":
        parts = list(enumerate(route.split("/")))
        return cls(
            words=tuple((at, part) for at, part in parts if not part.startswith("<")),
            names=tuple((at, part.strip("<>").rpartition(":")[2]) for at, part in parts if part.startswith("<")),
            view=view,
            pattern=route,
        )

    def arguments(self, parts: list[str]) -> dict[str, str] | None:
        """What the view is given for an address with as many parts; None if it is not this route's."""
        for at, word in self.words:
            if parts[at] != word:
                return None
        found = {name: parts[at] for at, name in self.names}
        return found if all(found.values()) else None


class Routes:
    """The addresses behind any of these prefixes, which have the same patterns."""

    def __init__(self, patterns: Iterable[URLPattern | URLResolver], prefixes: tuple[str, ...]) -> None:
        self._prefixes = tuple(f"/{prefix}" for prefix in prefixes)
        self._routes: defaultdict[tuple[int, str], list[Route]] = defaultdict(list)
        fuzzy = set()  # first parts for which an earlier pattern might fit that is not plain
        for route, is_plain, view in _flat(patterns, ""):
            first = route.partition("/")[0]
            if not is_plain:
                fuzzy.add(first)
            elif first not in fuzzy:
                self._routes[route.count("/"), first].append(Route.of(route, view))

    def find(self, path: str) -> tuple[View, dict[str, Any], str]:
        """View and arguments for a path, and the pattern, without prefix. `Resolver404` if there is none."""
        for prefix in self._prefixes:
            if path.startswith(prefix):
                parts = path[len(prefix) :].split("/")
                for route in self._routes.get((len(parts) - 1, parts[0]), ()):
                    arguments = route.arguments(parts)
                    if arguments is not None:
                        return route.view, arguments, route.pattern
        match = resolve(path)
        prefix = next((each[1:] for each in self._prefixes if path.startswith(each)), "")
        return match.func, match.kwargs, match.route.removeprefix(prefix)


def _flat(patterns: Iterable[URLPattern | URLResolver], before: str) -> Iterator[tuple[str, bool, View]]:
    """Each pattern's whole route, whether it has texts only in its places, and its view."""
    for each in patterns:
        pattern = each.pattern
        if isinstance(each, URLResolver):
            yield from _flat(each.url_patterns, before + str(pattern))
            continue
        is_plain = isinstance(pattern, RoutePattern) and not each.default_args
        is_plain = is_plain and all(type(kind) is StringConverter for kind in pattern.converters.values())
        route = before + str(pattern)
        is_plain = is_plain and all(_PART.fullmatch(part) for part in route.split("/"))
        yield route, is_plain, each.callback
