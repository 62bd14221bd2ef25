"""Writing the audit log. Who acts is known from the request, the command or the task, so that callers only say what.

`record` belongs into the transaction of what it tells of: both stand or neither does.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from django.db import models

from audit.models import ActorKind, AuditEntry

HIDDEN = "***"


@dataclass(frozen=True)
class Actor:
    kind: ActorKind = ActorKind.SYSTEM
    id: str = ""
    name: str = ""
    address: str = ""
    request_id: str = ""


_actor: ContextVar[Actor] = ContextVar("actor", default=Actor())  # noqa: B039 frozen


@contextlib.contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """What is recorded inside was done by this one."""
    before = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(before)


def known_as(kind: ActorKind, id: str, name: str) -> None:
    """Says who it is that makes the present request; its address is known already."""
    _actor.set(replace(_actor.get(), kind=kind, id=id, name=name))


def record(
    action: str,
    *,
    tenant_id: str = "",
    object_type: str = "",
    object_id: str = "",
    object_name: str = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> AuditEntry:
    """Adds an entry. With both `before` and `after`, only what differs is kept. Secrets must be hidden already."""
    if before is not None and after is not None:
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        before, after = ({name: value for name, value in side.items() if name in changed} for side in (before, after))
    actor = _actor.get()
    return AuditEntry.objects.create(
        tenant_id=tenant_id,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_name=actor.name[:200],
        address=actor.address,
        request_id=actor.request_id,
        action=action,
        object_type=object_type,
        object_id=object_id,
        object_name=object_name[:256],
        before=before,
        after=after,
    )


def snapshot(row: models.Model, hidden: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The row's columns as `record` takes them; those of `hidden` only as set or not."""
    taken: dict[str, Any] = {}
    for field in row._meta.concrete_fields:
        value = field.value_from_object(row)
        taken[field.attname] = (HIDDEN if value else value) if field.attname in hidden else value
    return taken
