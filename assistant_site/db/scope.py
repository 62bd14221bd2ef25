"""Whose rows the database shows: nobody's, one tenant's, or everybody's. PostgreSQL itself holds to it (`walls`).

A scope belongs to the context (`contextvars`) of a thread or task. A web request begins closed, and authentication
opens it; what works for the installation (commands, a worker's chores) has everything. The connection tells PostgreSQL
before a statement if it was told something else before (`assistant_site.db.postgresql`).
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

# As PostgreSQL is told: a tenant's id, or one of these.
CLOSED = ""
EVERYTHING = "*"

_scope: ContextVar[str] = ContextVar("scope", default=EVERYTHING)

present = _scope.get  # () -> str


def enter(scope: str) -> None:
    """From here on the present request or task is shown rows of this scope: a tenant's id, EVERYTHING or CLOSED."""
    _scope.set(scope)


@contextlib.contextmanager
def within(scope: str) -> Iterator[None]:
    """Inside, rows of this scope are shown."""
    before = _scope.set(scope)
    try:
        yield
    finally:
        _scope.reset(before)


def of_tenant(tenant_id: str) -> contextlib.AbstractContextManager[None]:
    """Inside, rows of this tenant are shown, and what tenants share."""
    if tenant_id in (CLOSED, EVERYTHING):
        raise ValueError("That is no tenant's id.")
    return within(tenant_id)


def everything() -> contextlib.AbstractContextManager[None]:
    """Inside, every tenant's rows are shown. Easy to grep: each use is a door in the wall."""
    return within(EVERYTHING)


def closed() -> contextlib.AbstractContextManager[None]:
    """Inside, no tenant's rows are shown, until somebody enters a scope; what was entered ends here too."""
    return within(CLOSED)
