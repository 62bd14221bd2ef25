"""Row-level security: the second wall around a tenant's rows, for the query that forgets to name the tenant.

`around(table)` is an operation for a migration of the table's app; a test finds tables that were forgotten. The
policies show what the scope of the connection allows (`scope`, `postgresql`): one tenant's rows, or none. Who logs in
as a superuser passes by every policy, so tenants' work is done as the role `holdfast_app`, which owns nothing.

`make_sure` makes that role and its rights, after each `migrate` and at each start: roles do not come along when a
database is restored elsewhere. docs/adr/0009 has the reasons and the figures.
"""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Warning
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations import RunSQL

ROLE = "holdfast_app"
SETTING = "holdfast.tenant"
OF_TENANT, READABLE, ADDABLE, OF_OWNER = "of_tenant", "readable", "addable", "of_owner"

# Stable, and not in a sub-select: together with the query's own condition on the tenant the planner asks it once, and
# its estimates stay what they were. A setting that was never made is null, one that was unmade is empty: no tenant.
_PRESENT = f"nullif(current_setting('{SETTING}', true), '')"

# An owner that is no superuser is held by the policies too (FORCE), and so has one that lets it see everything. By
# `coalesce` the planner expects it to let many rows pass.
_OWNER_POLICIES = f"""
DO $$
DECLARE
    walled regclass;
BEGIN
    IF (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) THEN
        RETURN;
    END IF;
    FOR walled IN
        SELECT polrelid FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid
        WHERE polname = '{OF_TENANT}' AND relnamespace = current_schema()::regnamespace
        AND pg_has_role(current_user, relowner, 'USAGE') AND NOT EXISTS (
            SELECT FROM pg_policy AS other
            WHERE other.polrelid = pg_policy.polrelid AND other.polname = '{OF_OWNER}'
            AND other.polroles = ARRAY[current_user::regrole::oid]
        )
    LOOP
        EXECUTE format('DROP POLICY IF EXISTS {OF_OWNER} ON %s', walled);
        EXECUTE format(
            'CREATE POLICY {OF_OWNER} ON %s TO CURRENT_USER USING (coalesce(current_setting(%L, true) = ''*'', false))',
            walled, '{SETTING}'
        );
    END LOOP;
END $$
"""  # noqa: S608 our own words

# Each step is left out where it is done, or where this login may not do it; `problem` tells what is missing then.
_ROLE = f"""
DO $$
DECLARE
    owned record;
    how text;
BEGIN
    IF to_regrole('{ROLE}') IS NULL THEN
        BEGIN
            CREATE ROLE {ROLE} NOLOGIN;
        EXCEPTION
            WHEN insufficient_privilege THEN RETURN;
            WHEN duplicate_object OR unique_violation THEN NULL;  -- another installation on this server, just now
        END;
    END IF;
    -- Since PostgreSQL 16 who has just made a role is its member, and yet may not become it.
    how := CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END;
    IF NOT pg_has_role(session_user, '{ROLE}', how) THEN
        BEGIN
            GRANT {ROLE} TO SESSION_USER;
        EXCEPTION WHEN insufficient_privilege THEN NULL;
        END;
    END IF;
    IF NOT has_schema_privilege('{ROLE}', current_schema(), 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO {ROLE}', current_schema());
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_default_acl, aclexplode(defaclacl)
        WHERE defaclrole = current_user::regrole AND defaclnamespace = current_schema()::regnamespace
        AND grantee = '{ROLE}'::regrole
    ) THEN
        EXECUTE format(
            'ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {ROLE}',
            current_schema()
        );
        EXECUTE format(
            'ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT USAGE, SELECT ON SEQUENCES TO {ROLE}', current_schema()
        );
    END IF;
    FOR owned IN
        SELECT oid::regclass AS name, relkind = 'S' AS is_sequence FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'S')
        AND pg_has_role(current_user, relowner, 'USAGE')
        AND CASE relkind
            WHEN 'S' THEN NOT has_sequence_privilege('{ROLE}', oid, 'USAGE')
            ELSE NOT has_table_privilege('{ROLE}', oid, 'DELETE')
        END
    LOOP
        IF owned.is_sequence THEN
            EXECUTE format('GRANT USAGE, SELECT ON %s TO {ROLE}', owned.name);
        ELSE
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO {ROLE}', owned.name);
        END IF;
    END LOOP;
END $$
"""  # noqa: S608 our own words


def around(
    table: str, *, column: str = "tenant_id", readable: str = "", addable: str = "", forced: bool = True
) -> RunSQL:
    """Shows and takes only rows whose `column` is the tenant of the scope.

    `readable` and `addable` are conditions on further rows that everybody may read, and that everybody may add.
    `forced=False` leaves the table's owner out: for one that is written by COPY, which policies forbid.
    """
    own = f"{column} = {_PRESENT}"
    names = (OF_TENANT, READABLE, ADDABLE, OF_OWNER)
    drop = [f"DROP POLICY IF EXISTS {name} ON {table};" for name in names]
    create = [f"CREATE POLICY {OF_TENANT} ON {table} USING ({own}) WITH CHECK ({own});"]
    if readable:
        create.append(f"CREATE POLICY {READABLE} ON {table} FOR SELECT USING ({readable});")
    if addable:
        create.append(f"CREATE POLICY {ADDABLE} ON {table} FOR INSERT WITH CHECK ({addable});")
    force = "FORCE" if forced else "NO FORCE"
    switch = f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, {force} ROW LEVEL SECURITY;"
    back = f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;"
    return RunSQL(
        sql=[(" ".join([*drop, *create, switch]), None), (_OWNER_POLICIES, None)],
        reverse_sql=[(" ".join([*drop, back]), None)],
    )


def make_sure(using: str = DEFAULT_DB_ALIAS, **signal: Any) -> None:
    """Makes the role with its rights on all tables, and the owner's policies, as far as this login may."""
    connection: Any = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(_ROLE)
        cursor.execute(_OWNER_POLICIES)
    connection.forget_scope()  # there may be a role now that was not there


def problem(using: str = DEFAULT_DB_ALIAS) -> str:
    """Why a query that forgets the tenant would get another's rows, and what to do about it; empty if it would not."""
    connection: Any = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT session_user, (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user), "
            "(SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) AND to_regrole(%s) IS NULL",
            [ROLE],
        )
        user, bypasses, is_to_be_made = cursor.fetchone()
    if connection.app_role or is_to_be_made:
        return ""
    remedy = (
        f"Let an administrator of PostgreSQL say: CREATE ROLE {ROLE} NOLOGIN; GRANT {ROLE} TO {user}; and then run "
        "manage.py migrate."
    )
    if bypasses:
        return (
            f"PostgreSQL's row-level security does not hold for the role {user}, which passes by it, and it may not "
            f"become {ROLE}. {remedy}"
        )
    return f"Passages of vector stores have no row-level security, because {user} may not become {ROLE}. {remedy}"


def check(*, databases: Sequence[str] | None = None, **options: Any) -> list[CheckMessage]:
    """For `manage.py check --database default`, and before each `migrate`."""
    problems = [problem(using) for using in databases or ()]
    return [Warning(text, id="holdfast.W001") for text in problems if text]
