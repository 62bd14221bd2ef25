"""Reading the audit log: efficient at any size, newest first, for REST, the admin and exports."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from assistant_site.wire.ids import moment_id
from audit.models import AuditEntry

PREFIX = "audit_"
BATCH = 500  # entries that an export holds at once
_SLACK = timedelta(minutes=5)  # between an entry's moment and the one in its id


def between(
    entries: QuerySet[AuditEntry], since: datetime | None = None, until: datetime | None = None
) -> QuerySet[AuditEntry]:
    """Entries from `since` on and before `until`; ids are in the order of time, so this is a range of the key."""
    if since is not None:
        entries = entries.filter(pk__gte=moment_id(PREFIX, since - _SLACK), at__gte=since)
    if until is not None:
        entries = entries.filter(pk__lt=moment_id(PREFIX, until + _SLACK), at__lt=until)
    return entries


def containing(entries: QuerySet[AuditEntry], text: str) -> QuerySet[AuditEntry]:
    """Entries with the text in an id, a name, the address or a value; reads on until enough are found."""
    named = Q()
    for field in ("action", "object_id", "object_name", "actor_id", "actor_name", "address", "request_id"):
        named |= Q(**{f"{field}__icontains": text})
    return entries.alias(was=Cast("before", TextField()), became=Cast("after", TextField())).filter(
        named | Q(was__icontains=text) | Q(became__icontains=text)
    )


def search(
    *,
    tenant_id: str | None = None,
    actor: str | None = None,
    action: str | None = None,
    object_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    text: str | None = None,
) -> QuerySet[AuditEntry]:
    """Entries by what is given. `actor` is an id or a whole name, `action` the beginning of one."""
    entries = between(AuditEntry.objects.all(), since, until)
    if tenant_id is not None:
        entries = entries.filter(tenant_id=tenant_id)
    if actor:
        entries = entries.filter(Q(actor_id=actor) | Q(actor_name=actor))
    if action:
        entries = entries.filter(action__startswith=action)
    if object_id:
        entries = entries.filter(object_id=object_id)
    return containing(entries, text) if text else entries


def all_of(entries: QuerySet[AuditEntry]) -> Iterator[AuditEntry]:
    """The entries in the order of time, a batch in memory at once; no transaction is held open meanwhile."""
    last = ""
    while batch := list(entries.filter(pk__gt=last).order_by("pk")[:BATCH]):
        yield from batch
        last = batch[-1].pk


def of_tenant(tenant_id: str) -> QuerySet[AuditEntry]:
    """What was done to a tenant and what it owns, newest first; also after its end."""
    return AuditEntry.objects.filter(tenant_id=tenant_id).order_by("-pk")


def values_of(entry: AuditEntry) -> dict[str, Any]:
    """An entry as it is answered and exported."""
    return {
        "id": entry.pk,
        "object": "audit_log.entry",
        "created_at": int(entry.at.timestamp()),
        "tenant_id": entry.tenant_id or None,
        "actor": {
            "type": entry.actor_kind,
            "id": entry.actor_id or None,
            "name": entry.actor_name or None,
            "address": entry.address or None,
        },
        "action": entry.action,
        "target": {
            "type": entry.object_type or None,
            "id": entry.object_id or None,
            "name": entry.object_name or None,
        },
        "before": entry.before,
        "after": entry.after,
        "request_id": entry.request_id or None,
    }
