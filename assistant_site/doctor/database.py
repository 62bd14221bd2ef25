"""What PostgreSQL says of itself, and what can be told of the rows in it."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from assistant_site.db import scope, walls
from assistant_site.doctor.findings import Finding, warning, well, wrong
from assistant_site.embedded import first_start
from assistant_site.wire.ids import moment_id
from runs.machine import Status
from runs.models import Run
from tenants import rotation
from vector_stores.models import Removal, StoreFile, StoreFileStatus

OLDEST_POSTGRESQL = 150_000
OLDEST_PGVECTOR = (0, 8)
MOST_CONNECTIONS = 0.8
MOST_SKEW_SECONDS = 2.0
STATEMENT_SECONDS = 10
SAMPLE = 200  # of each column's secrets, the newest
LONG_QUEUE = timedelta(minutes=1)
LONG_SILENCE = timedelta(minutes=1)
LONG_INGESTION = timedelta(minutes=30)


def _asked(sql: str, values: Any = None, *, of: Any = connection) -> Any:
    """The first row that PostgreSQL answers."""
    with of.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchone()


def look_whether_it_answers() -> Iterator[Finding]:
    """From here on no statement of ours takes longer than `STATEMENT_SECONDS`."""
    part = "postgresql"
    if told := first_start.database_problem():
        remedy = (
            "Start it: make run."
            if settings.EMBEDDED_DATABASE
            else "Check that it runs and that DATABASE_URL is right."
        )
        yield wrong(part, told, f"{remedy} (docs/operations.md#postgresql-is-lost)")
        return
    _asked("SELECT set_config('statement_timeout', %s, false)", [f"{STATEMENT_SECONDS}s"])
    number, version, fsync, in_recovery = _asked(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version'), "
        "current_setting('fsync'), pg_is_in_recovery()"
    )
    if number < OLDEST_POSTGRESQL:
        yield wrong(part, f"It is version {version}.", "Holdfast needs 15 or newer: upgrade it.")
    else:
        yield well(part, f"It answers, version {version}.")
    if in_recovery:
        yield wrong(part, "It is a standby, and takes no writes.", "Name the primary in DATABASE_URL, or promote it.")
    if fsync != "on":
        yield wrong(
            part,
            "Its fsync is off: a power cut may destroy the database.",
            "ALTER SYSTEM SET fsync = on, and reload it.",
        )


def look_at_connections() -> Iterator[Finding]:
    part = "connections"
    used, most = _asked(
        "SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), "
        "current_setting('max_connections')::int"
    )
    told = f"{used} of PostgreSQL's {most} connections are used."
    if used > MOST_CONNECTIONS * most:
        yield warning(part, told, "Raise max_connections, or run fewer processes (docs/scaling.md).")
    else:
        yield well(part, told)
    if _is_shared_between_transactions():
        told = "A pooler, such as PgBouncer, gives one session to several connections: tenants' rows could be mixed."
        yield wrong(part, told, "Set it to pool_mode = session, or name PostgreSQL itself in DATABASE_URL.")


def _is_shared_between_transactions() -> bool:
    """Whether two connections that are open at once are one session of the server."""
    other = connection.copy()
    try:
        return any(_asked("SELECT pg_backend_pid()") == _asked("SELECT pg_backend_pid()", of=other) for _ in range(5))
    finally:
        other.close()


def look_at_tables() -> Iterator[Finding]:
    """Whether they are those of this version."""
    part = "tables"
    loader = MigrationLoader(connection)
    applied, known = set(loader.applied_migrations), set(loader.graph.nodes)
    if missing := sorted(known - applied):
        shown = ", ".join(".".join(each) for each in missing[:3])
        yield wrong(
            part,
            f"{len(missing)} migrations are not applied: {shown}{', …' if len(missing) > 3 else ''}.",
            "manage.py migrate",
        )
        return
    apps_of_ours = {app for app, _ in known}
    newer = sorted(each for each in applied - set(loader.disk_migrations) if each[0] in apps_of_ours)
    if newer:
        told = f"The database is of a newer version than this code: {'.'.join(newer[0])} is unknown here."
        yield warning(part, told, "Fine during an upgrade; else install the newer version.")
    else:
        yield well(part, "All migrations are applied.")


def look_at_pgvector() -> Iterator[Finding]:
    found = _asked("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
    if found is None:
        told, remedy = "It is not in Holdfast's database.", "Let a superuser say CREATE EXTENSION vector there."
        yield wrong("pgvector", told, f"{remedy} Debian's package is postgresql-NN-pgvector.")
    elif tuple(int(part) for part in found[0].split(".")[:2]) < OLDEST_PGVECTOR:
        yield wrong(
            "pgvector",
            f"It is version {found[0]}.",
            "Holdfast needs 0.8: upgrade it, then ALTER EXTENSION vector UPDATE.",
        )
    else:
        yield well("pgvector", f"It is there, version {found[0]}.")


def look_at_walls() -> Iterator[Finding]:
    """Whether row-level security holds: by what the catalogue says, and by trying."""
    part = "walls"
    remedy = "manage.py migrate makes what is missing (docs/configuration.md#a-database-of-your-own)."
    if problem := walls.problem():
        yield wrong(part, problem, "")
        return
    tables = {
        model._meta.db_table
        for model in apps.get_models()
        if any(each.attname == "tenant_id" for each in model._meta.concrete_fields)
    }
    [open_tables] = _asked(
        "SELECT array_agg(relname::text ORDER BY relname) FROM pg_class "
        "WHERE relname = ANY(%s) AND relkind IN ('r', 'p') AND NOT relrowsecurity",
        [sorted(tables)],
    )
    if open_tables:
        yield wrong(part, f"Without row-level security: {', '.join(open_tables)}.", remedy)
        return
    with scope.closed():
        [seen] = _asked("SELECT EXISTS (SELECT FROM tenants_tenant) OR EXISTS (SELECT FROM threads_message)")
    if seen:
        yield wrong(part, "A query that names no tenant is shown tenants' rows.", remedy)
    else:
        yield well(part, f"Row-level security holds, on {len(tables)} tables.")


def look_at_clocks() -> Iterator[Finding]:
    """This machine's against the database's, which leases go by."""
    before = time.time()
    [database] = _asked("SELECT extract(epoch FROM clock_timestamp())::float8")
    skew = database - (before + time.time()) / 2
    told = f"This machine's clock and PostgreSQL's are {abs(skew):.1f} s apart."
    if abs(skew) > MOST_SKEW_SECONDS:
        yield wrong("clock", told, "Ids, limits and expiries go by both: keep them right by NTP (timedatectl).")
    else:
        yield well("clock", told)


def look_at_stored_secrets() -> Iterator[Finding]:
    """Whether what is stored can be decrypted; of each column, the newest rows."""
    part, current, old, unreadable = "encryption", 0, 0, []
    for column in rotation.rotate(only_count=True, most=SAMPLE):
        current, old = current + column.current, old + column.renewed
        unreadable += [f"{column.column} {key}" for key in column.unreadable]
    if unreadable:
        told = f"{len(unreadable)} stored secrets fit none of ENCRYPTION_KEYS, such as {unreadable[0]}."
        yield wrong(
            part,
            told,
            "Put their key back into ENCRYPTION_KEYS (or secrets.json), or enter them again.",
        )
    elif old:
        yield well(
            part,
            f"All {current + old} stored secrets that were tried can be read, {old} with an older key "
            "(manage.py rotate_encryption_keys).",
        )
    else:
        yield well(part, f"All {current} stored secrets that were tried can be read.")


def look_at_work() -> Iterator[Finding]:
    """Runs and files that wait longer than they should, and what could not be done."""
    part, found = "work", []
    runs, files = Run.objects.across_tenants(), StoreFile.objects.across_tenants()
    if waiting := runs.filter(status=Status.QUEUED, queued_at__lt=Now() - LONG_QUEUE).count():
        found.append(
            warning(
                part, f"{waiting} runs have been queued for more than a minute.", "docs/operations.md#the-queue-grows"
            )
        )
    held = Q(status__in=(Status.IN_PROGRESS, Status.CANCELLING), lease_until__lt=Now() - LONG_SILENCE)
    if silent := runs.filter(held).count():
        told = f"{silent} runs are held by workers that have gone silent, and no other takes them up."
        found.append(wrong(part, told, "docs/operations.md#no-worker"))
    if waiting := files.filter(status=StoreFileStatus.IN_PROGRESS, queued_at__lt=Now() - LONG_INGESTION).count():
        found.append(
            warning(
                part,
                f"{waiting} files of vector stores have waited for more than half an hour.",
                "docs/operations.md#ingestion-is-stuck",
            )
        )
    yesterday = moment_id("vsf_", timezone.now() - timedelta(days=1))
    broken = Q(last_error__code="server_error")
    if failed := files.filter(broken, status=StoreFileStatus.FAILED, pk__gte=yesterday).count():
        found.append(
            warning(
                part,
                f"{failed} files that were added in the last day failed by our fault.",
                "The ingestion's log says why; add them again.",
            )
        )
    undone = Removal.objects.across_tenants().exclude(problem="")
    if (count := undone.count()) and (last := undone.order_by("-due_at").first()) is not None:
        found.append(
            warning(
                part,
                f"{count} removals of passages have not succeeded yet: {last.problem}",
                "They are tried again by themselves.",
            )
        )
    yield from found or [well(part, "Nothing waits for long.")]
