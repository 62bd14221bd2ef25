"""The end of old entries, which is itself recorded."""

from datetime import datetime

from django.db import connection, transaction

from audit import log
from audit.models import AuditEntry

BATCH = 5_000


def prune(before: datetime) -> int:
    """Removes entries from before this moment, in batches of a transaction each; returns how many there were."""
    removed = 0
    while count := _prune_some(before):
        removed += count
    log.record("audit.pruned", object_type="audit_log", after={"before": before, "entries": removed})
    return removed


def _prune_some(before: datetime) -> int:
    old = AuditEntry.objects.filter(at__lt=before).order_by("pk").values_list("pk", flat=True)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('holdfast.audit_pruned_before', %s, true)", [before.isoformat()])
        some = AuditEntry.objects.filter(pk__in=list(old[:BATCH]))
        count = some._raw_delete(some.db)
        cursor.execute("SELECT set_config('holdfast.audit_pruned_before', '', true)")  # where this is not outermost
    return count
