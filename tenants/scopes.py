"""What tokens may do: `read`, `write`, `admin`, and for one kind of resource `threads.read`, `threads.write` …

docs/tokens.md has the table. A view says of which resource it is (`WireView.resource`); GET reads, other verbs write,
unless the view says otherwise.
"""

from collections.abc import Iterable
from functools import lru_cache

# For each resource: the general scopes with which its reading and its writing come. `admin` has everything.
RESOURCES: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("assistants", "threads", "runs", "files", "vector_stores", "actions", "models"), ("read", "write")
    ),
    **dict.fromkeys(("usage", "budgets", "end_users"), ("read", "admin")),
    **dict.fromkeys(("tokens", "audit_log"), ("admin", "admin")),
}
GENERAL = ("read", "write", "admin")
SCOPES = (*GENERAL, *(f"{resource}.{deed}" for resource in RESOURCES for deed in ("read", "write")))


@lru_cache(maxsize=1_000)
def granted(scopes: tuple[str, ...]) -> frozenset[str]:
    """All that comes with these scopes, resource by resource. `write` includes `read`; an unknown one gives nothing."""
    given = {*scopes, *(["read", "write"] if "admin" in scopes else []), *(["read"] if "write" in scopes else [])}
    found = set()
    for resource, (reading, writing) in RESOURCES.items():
        if {writing, f"{resource}.write"} & given:
            found |= {f"{resource}.read", f"{resource}.write"}
        elif {reading, f"{resource}.read"} & given:
            found.add(f"{resource}.read")
    return frozenset(found)


def missing(scopes: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Those of `wanted` (`threads.read` …) that do not come with `scopes`."""
    have = granted(tuple(scopes))
    return [scope for scope in wanted if scope not in have]


def are_within(scopes: Iterable[str], others: Iterable[str]) -> bool:
    """Whether `others` allow all that `scopes` do."""
    return granted(tuple(scopes)) <= granted(tuple(others))
