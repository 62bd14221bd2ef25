"""Writing the audit log. Who acts is known from the request, the command or the task, so that callers only say what.

`record` belongs into the transaction of what it tells of: both stand or neither does.
"""

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from django.db import models, transaction

from audit import values
from audit.models import ActorKind, AuditEntry
from audit.values import Secret

# How the log calls things whose models have other names.
_NOUNS = {
    "tenants.apitoken": "token",
    "tenants.enduser": "end_user",
    "tenants.modelalias": "model_alias",
    "tenants.modelprofile": "model_profile",
    "vector_stores.vectorstore": "vector_store",
    "vector_stores.storefile": "vector_store.file",
    "vector_stores.filebatch": "vector_store.file_batch",
    "vector_stores.retrievalserver": "r2r_server",
    "tools.mcpserver": "mcp_server",
    "tools.searchkey": "search_key",
}


@dataclass(frozen=True)
class Actor:
    kind: ActorKind = ActorKind.SYSTEM
    id: str = ""
    name: str = ""
    address: str = ""
    request_id: str = ""


_actor: ContextVar[Actor] = ContextVar("actor", default=Actor())  # noqa: B039 frozen
_watched: ContextVar[set[tuple[str, str]] | None] = ContextVar("watched", default=None)


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


def actor() -> Actor:
    """Who acts at present."""
    return _actor.get()


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
    """Adds an entry. With both `before` and `after`, only what differs is kept; secrets and long texts never are."""
    if before is not None and after is not None:
        before, after = values.changed(before, after)
    watched = _watched.get()
    if watched is not None:
        watched.add((object_type, object_id))
    actor = _actor.get()
    return AuditEntry.objects.create(
        tenant_id=tenant_id,
        actor_kind=actor.kind,
        actor_id=actor.id[:150],
        actor_name=values.text(actor.name)[:200],
        address=actor.address[:64],
        request_id=actor.request_id[:64],
        action=action[:64],
        object_type=object_type[:64],
        object_id=object_id[:128],
        object_name=values.text(object_name)[:256],
        before=values.shown(before),
        after=values.shown(after),
    )


def snapshot(row: models.Model, hidden: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The row's columns as `record` takes them; those of `hidden` are compared, and shown only as set or not."""
    taken: dict[str, Any] = {}
    for field in row._meta.concrete_fields:
        value = field.value_from_object(row)
        taken[field.attname] = Secret(value) if value and field.attname in hidden else value
    return taken


# --- Rows -------------------------------------------------------------------------------------------------------------


def noun_of(model: type[models.Model]) -> str:
    """What the log calls rows of the model, as in `vector_store.deleted`."""
    return _NOUNS.get(model._meta.label_lower, str(model._meta.model_name))


def tenant_id_of(row: models.Model) -> str:
    """Whose the row is; empty for the installation's own."""
    if row._meta.label_lower == "tenants.tenant":
        return str(row.pk)
    return str(getattr(row, "tenant_id", None) or "")


def record_row(
    row: models.Model,
    what: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    name: str | None = None,
) -> AuditEntry:
    """Adds an entry on a row: `what` as in `created`. `name` is the row's own word for itself by default."""
    noun = noun_of(type(row))
    return record(
        f"{noun}.{what}",
        tenant_id=tenant_id_of(row),
        object_type=noun,
        object_id=str(row.pk),
        object_name=str(getattr(row, "name", "") or "") if name is None else name,
        before=before,
        after=after,
    )


def created(row: models.Model) -> AuditEntry:
    return record_row(row, "created", after=snapshot(row))


def created_together(rows: Sequence[models.Model]) -> None:
    """One entry for rows that one request has made; none for none. On one row, as `created`."""
    if len(rows) == 1:
        created(rows[0])
    elif rows:
        ids = [row.pk for row in rows]
        told = {"number": len(rows), "ids": ids, "names": [str(getattr(row, "name", "")) for row in rows]}
        noun = noun_of(type(rows[0]))
        record(f"{noun}.created", tenant_id=tenant_id_of(rows[0]), object_type=noun, object_id=ids[0], after=told)


def deleted(row: models.Model) -> AuditEntry:
    """To be called before the row is deleted, in the same transaction."""
    return record_row(row, "deleted", before=snapshot(row))


@contextlib.contextmanager
def changing(row: models.Model, what: str = "modified") -> Iterator[None]:
    """Records what the block changes of the row, if anything; both in one transaction."""
    with transaction.atomic():
        before = snapshot(row)
        yield
        after = snapshot(row)
        if before != after:
            record_row(row, what, before=before, after=after)


@contextlib.contextmanager
def watching() -> Iterator[set[tuple[str, str]]]:
    """Type and id of each object on which something is recorded inside, for who fills in what is missing."""
    seen: set[tuple[str, str]] = set()
    before = _watched.set(seen)
    try:
        yield seen
    finally:
        _watched.reset(before)
