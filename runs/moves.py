"""What every run writes on its way, one statement each: its start, its claim, its message's beginning, its good end.

`actions.move` and Django's own statements would say the same in four, four, three and five, and twice the time. Each
begins with a guarded update, of the thread's row or, later, the run's, as every write of a run does; what belongs to it
is written only if that row was updated.
"""

import uuid
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.db import connection

from assistant_site.db import scope
from assistant_site.db.prepared import Prepared
from assistant_site.db.questions import Change, Place
from assistant_site.db.written import Columns
from assistant_site.metrics import counted
from runs import machine
from runs.machine import Status
from runs.models import Run, RunStep, StepStatus
from tenants import routes
from tenants.models import Tenant
from threads.actions import free_thread
from threads.models import Message, Thread

_RUN, _STEP, _MESSAGE = Columns(Run), Columns(RunStep), Columns(Message)
NEWEST = 20  # messages
_THREADS, _TENANTS = Thread._meta.db_table, Tenant._meta.db_table

# --- The beginning ---------------------------------------------------------------------------------------------------


@cache
def _taking_the_thread() -> Change:
    return Change(free_thread(Place("tenant"), Place("thread"), room=0), active_run_id=Place("run"))


@cache
def _starting() -> Prepared:
    return Prepared(f"""WITH taken AS ({_taking_the_thread().sql} RETURNING 1)
INSERT INTO {_RUN.table} ({_RUN.names}) SELECT {_RUN.places} FROM taken
""")  # noqa: S608


def start(run: Run) -> bool:
    """Stores a new run and lets it hold its thread. False: the thread takes none, or is not there."""
    given = _taking_the_thread().with_values({"tenant": run.tenant_id, "thread": run.thread_id, "run": run.pk})
    with connection.cursor() as cursor:
        cursor.execute(_starting(), [*given, *_RUN.values(run)])
        if not cursor.rowcount:
            return False
    run._state.adding, run._state.db = False, connection.alias
    counted.RUNS_STARTED.inc()
    return True


# --- The claim -------------------------------------------------------------------------------------------------------

_CLAIM = f"""UPDATE {_RUN.table} SET status = '{Status.IN_PROGRESS.value}', claim = %s, claimed_by = %s,
    lease_until = statement_timestamp() + %s, started_at = %s, attempt = attempt + 1,
    event_position = event_position + 1
FROM {_TENANTS} AS tenant
WHERE {_RUN.table}.id = %s AND {_RUN.table}.status = '{Status.QUEUED.value}' AND claim IS NULL
    AND expires_at > statement_timestamp() AND event_position <= %s AND queued_at > %s
    AND tenant.id = {_RUN.table}.tenant_id AND tenant.suspended_at IS NULL AND tenant.deletion_began_at IS NULL
    AND tenant.concurrent_runs IS NULL
RETURNING {_RUN.of_table}, EXISTS (SELECT FROM metering_budget WHERE tenant_id = {_RUN.table}.tenant_id)
"""  # noqa: S608 only names of this module
_NEWEST = f"""SELECT {_MESSAGE.names} FROM {_MESSAGE.table}
WHERE thread_id = (SELECT thread_id FROM {_RUN.table} WHERE id = %s) AND run_id IS DISTINCT FROM %s
ORDER BY id DESC LIMIT {NEWEST}
"""  # noqa: S608
# A claim that is lost with PostgreSQL leaves a queued run, which is claimed again; who had it fails at its next write.
_CLAIM_AND_READ = Prepared(_CLAIM, _NEWEST, waits_for_disk=False)
_CLAIM_AND_READ_ALL = Prepared(_CLAIM, _NEWEST, routes.QUESTION, waits_for_disk=False)


def claim_at_once(
    run_id: str,
    owner: str,
    *,
    tenant_id: str,
    now: datetime,
    lease: timedelta,
    queued_after: datetime,
    position: int,
) -> tuple[Run, bool] | None:
    """Takes a queued run whose tenant has no limit, if it was queued after that moment and its stream is no longer than
    that; with it, whether its tenant has budgets. None: it is not to be had, or not so simply.

    In the same visit comes what its first turn needs: the newest messages (`Run.newest`), and the tenant's routes.
    """
    machine.check(Status.QUEUED, Status.IN_PROGRESS)
    values: list[Any] = [uuid.uuid4(), owner, lease, now, run_id, position, queued_after, run_id, run_id]
    knows_routes = routes.is_known(tenant_id)
    with scope.of_tenant(tenant_id), connection.cursor() as cursor:
        if knows_routes:
            cursor.execute(_CLAIM_AND_READ, values)
        else:
            cursor.execute(_CLAIM_AND_READ_ALL, [*values, *routes.values_of(tenant_id)])
        found = cursor.fetchone()
        cursor.nextset()
        newest = cursor.fetchall()
        if not knows_routes:
            cursor.nextset()
            routes.keep(tenant_id, cursor.fetchall())
    if found is None:
        return None
    run = _RUN.row(found)
    run.newest = [_MESSAGE.row(row) for row in newest]
    return run, bool(found[-1])


# --- A message's beginning -------------------------------------------------------------------------------------------

_HELD = f"id = %s AND claim = %s AND status = '{Status.IN_PROGRESS.value}'"
_OPEN = Prepared(f"""WITH held AS (UPDATE {_RUN.table} SET event_position = %s WHERE {_HELD} RETURNING id),
message AS (INSERT INTO {_MESSAGE.table} ({_MESSAGE.names}) SELECT {_MESSAGE.places} FROM held)
INSERT INTO {_STEP.table} ({_STEP.names}) SELECT {_STEP.places} FROM held
""")  # noqa: S608


def open_message(run: Run, position: int, message: Message, step: RunStep) -> bool:
    """Stores a new message and its step; False: the claim is lost."""
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, [position, run.pk, run.claim, *_MESSAGE.values(message), *_STEP.values(step)])
        if not cursor.rowcount:
            return False
    for row in (message, step):
        row._state.adding, row._state.db = False, connection.alias
    return True


# --- The good end ----------------------------------------------------------------------------------------------------

# The thread comes before its message: so do all who lock both.
_FINISH = Prepared(f"""WITH ended AS (
    UPDATE {_RUN.table} SET status = %s, event_position = %s, spent = %s, turns = %s, completed_at = %s,
        incomplete_reason = %s, claim = NULL, lease_until = NULL, required_action = NULL, sealed = ''
    WHERE {_HELD} RETURNING id, thread_id
), freed AS (
    UPDATE {_THREADS} AS thread SET message_count = message_count + 1, active_run_id = nullif(active_run_id, ended.id)
    FROM ended WHERE thread.id = ended.thread_id RETURNING thread.id
), said AS (
    UPDATE {_MESSAGE.table} AS message SET status = %s, content = %s, completed_at = %s, incomplete_at = %s,
        incomplete_reason = %s
    FROM freed WHERE message.id = %s RETURNING message.id
)
UPDATE {_STEP.table} AS step SET status = '{StepStatus.COMPLETED.value}', completed_at = %s, spent = %s
FROM said WHERE step.id = %s
""")  # noqa: S608


def finish(run: Run, status: Status, position: int, message: Message, step: RunStep, **changes: Any) -> bool:
    """Ends the run with these `changes`, frees its thread and stores how its message and step ended, as they are now.

    False: the claim is lost.
    """
    machine.check(Status(run.status), status)
    values = [
        *(status.value, position, _RUN.value("spent", changes["spent"]), changes["turns"], changes["completed_at"]),
        *(changes.get("incomplete_reason"), run.pk, run.claim),
        *(message.status, _MESSAGE.value("content", message.content), message.completed_at, message.incomplete_at),
        *(message.incomplete_reason, message.pk, step.completed_at, _STEP.value("spent", step.spent), step.pk),
    ]
    with connection.cursor() as cursor:
        cursor.execute(_FINISH, values)
        if not cursor.rowcount:
            return False
    ended = {"claim": None, "lease_until": None, "required_action": None, "sealed": ""}
    for name, value in (changes | ended | {"status": status, "event_position": position}).items():
        setattr(run, name, value)
    counted.RUNS_ENDED.labels(status.value).inc()
    return True
