"""The queue as it is in the database: who waits, and whose oldest runs are next.

Both questions walk the partial index `runs_waiting`, so that what they cost depends on how many tenants wait, and not
on how many runs.
"""

from collections.abc import Collection, Mapping
from datetime import timedelta

from django.db import connection
from django.db.models.functions import Now

from runs.machine import Status
from runs.models import Run
from runs.sharing import Waiting

# From one tenant to the next along the index; those whose runs are limited with the number of runs they have at work.
_WAITING = """
WITH RECURSIVE walk(tenant_id) AS (
    (SELECT tenant_id FROM runs_run WHERE status = 'queued' ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT r.tenant_id FROM runs_run r
        WHERE r.status = 'queued' AND r.tenant_id > walk.tenant_id ORDER BY r.tenant_id LIMIT 1
    )
    FROM walk WHERE walk.tenant_id IS NOT NULL
)
SELECT
    walk.tenant_id,
    CASE WHEN t.concurrent_runs IS NOT NULL THEN greatest(0, t.concurrent_runs - (
        SELECT count(*) FROM runs_run r
        WHERE r.tenant_id = walk.tenant_id AND r.status IN ('in_progress', 'cancelling')
    )) END
FROM walk JOIN tenants_tenant t ON t.id = walk.tenant_id
WHERE t.suspended_at IS NULL AND t.deletion_began_at IS NULL
"""


def waiting() -> list[Waiting]:
    """The tenants that have queued runs and are not suspended."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITING)
        return [Waiting(tenant_id, room) for tenant_id, room in cursor.fetchall()]


def oldest(turns: Mapping[str, int], *, but: Collection[str], queued_for: float) -> list[tuple[str, str]]:
    """So many of each tenant's oldest runs that wait for `queued_for` seconds: (tenant's id, run's id).

    `but`: runs that are being claimed already.
    """
    queued = Run.objects.across_tenants().filter(status=Status.QUEUED, expires_at__gt=Now())
    if queued_for:
        queued = queued.filter(queued_at__lt=Now() - timedelta(seconds=queued_for))
    found: list[tuple[str, str]] = []
    for tenant_id, most in turns.items():
        # Not `=`: with a constant the planner may walk all runs by their age, past everybody else's.
        rows = queued.filter(tenant_id__gte=tenant_id, tenant_id__lte=tenant_id).exclude(pk__in=but)
        rows = rows.order_by("tenant_id", "queued_at")
        found += [(tenant_id, run_id) for run_id in rows.values_list("pk", flat=True)[:most]]
    return found
