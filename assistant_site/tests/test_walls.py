"""The second wall: what PostgreSQL itself shows and takes, whatever the query says."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from django.apps import apps
from django.db import DataError, IntegrityError, ProgrammingError, connection, connections, transaction
from django.http import StreamingHttpResponse

from assistant_site.db import scope, walls
from assistant_site.db.postgresql.base import DatabaseWrapper
from assistant_site.db.questions import Place
from assistant_site.db.threads import DatabaseThreads
from assistant_site.handler import Handler
from assistant_site.tests.callers import LiveCaller, LocalCaller, new_tenant
from tenants.models import Provider, TenantManager, TenantModel, TenantQuerySet, scoping
from threads.models import Message
from tools.models import Action

UNFORCED = {"vector_stores_chunk", "vector_stores_embedding"}
REFUSED = "row-level security"

# Something for each column that must have something. `%s` is a text of the row's own.
numbers = itertools.count(1)
FILLERS = {
    "bigint": "{number}",
    "boolean": "false",
    "bytea": "''",
    "character varying": "left(%s, {length})",
    "date": "current_date",
    "double precision": "1",
    "integer": "1",
    "jsonb": "'{{}}'",
    "numeric": "1",
    "smallint": "1",
    "text": "%s",
    "timestamp with time zone": "now()",
    "tsvector": "''",
    "USER-DEFINED": "'[1]'",  # a vector
    "uuid": "gen_random_uuid()",
}


def walled_tables() -> dict[str, str]:
    """Every table with a tenant, and the column that names it: as the models say, not as the policies do."""
    tables = {"tenants_tenant": "id", "vector_stores_embedding": "tenant_id"}
    for model in apps.get_models():
        if any(field.attname == "tenant_id" for field in model._meta.concrete_fields):
            tables[model._meta.db_table] = "tenant_id"
    return tables


def asked(sql: str, values: Any = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())


def done(sql: str, values: Any = None) -> int:
    """How many rows a statement changes; the change itself is taken back."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, values)
        transaction.set_rollback(True)
        return int(cursor.rowcount)


def insertion(table: str, column: str, tenant_id: str, name: str) -> tuple[str, list[str]]:
    """An INSERT of a row that has what it must have, for this tenant."""
    columns = asked(
        "SELECT column_name, data_type, character_maximum_length FROM information_schema.columns "
        "WHERE table_name = %s AND (column_name = %s OR is_nullable = 'NO' AND column_default IS NULL "
        "AND is_identity = 'NO')",
        [table, column],
    )
    names, fillers, values = [], [], []
    for each, kind, length in columns:
        filler = "%s" if each == column else FILLERS[kind].format(length=length or 64, number=next(numbers))
        names.append(f'"{each}"')
        fillers.append(filler)
        values += [tenant_id if each == column else f"{name} {each}"] if "%s" in filler else []
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(fillers)})", values


def test_every_table_with_a_tenant_has_its_wall(db: None) -> None:
    walled = dict(
        asked(
            "SELECT relname, relforcerowsecurity FROM pg_class JOIN pg_policy ON polrelid = pg_class.oid "
            "WHERE relrowsecurity AND polname = %s",
            [walls.OF_TENANT],
        )
    )
    assert walled == {table: table not in UNFORCED for table in walled_tables()}
    assert walls.problem() == ""


def test_raw_sql_that_names_no_tenant_gets_and_changes_only_what_the_scope_allows(db: None) -> None:
    mine, others = "tenant_mine", "tenant_others"
    asked("SELECT set_config('session_replication_role', 'replica', true)")  # rows without what they belong to
    for table, column in walled_tables().items():
        for tenant_id in (mine, others):
            done_for_good, values = insertion(table, column, tenant_id, tenant_id)
            with connection.cursor() as cursor:
                cursor.execute(done_for_good, values)

        select = f"SELECT {column} FROM {table}"
        assert {row[0] for row in asked(select)} >= {mine, others}, table
        for inside, seen in ((mine, [(mine,)]), (others, [(others,)]), ("tenant_of_nobody", []), (scope.CLOSED, [])):
            with scope.within(inside):
                assert asked(select) == seen, (table, inside)
                assert done(f"UPDATE {table} SET {column} = {column}") == len(seen), (table, inside)
                assert done(f"DELETE FROM {table}") == len(seen), (table, inside)
                assert asked(f"{select} WHERE {column} = %s", [others]) == [row for row in seen if row == (others,)]
                with pytest.raises(ProgrammingError, match=REFUSED):
                    done(*insertion(table, column, "tenant_another", "another"))
        with scope.of_tenant(mine):
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute(f"DELETE FROM {table}")
                assert done(*insertion(table, column, mine, "another")) == 1, table
                transaction.set_rollback(True)
            with pytest.raises(ProgrammingError, match=REFUSED):
                done(f"UPDATE {table} SET {column} = %s", [others])


def test_what_tenants_share_is_read_by_all_and_written_by_none(alice: LocalCaller, bob: LocalCaller) -> None:
    Provider.objects.create(name="shared", base_url="http://shared.example/v1")
    Provider.objects.create(name="of bob", base_url="http://bob.example/v1", tenant=bob.tenant)
    for everyone in (True, False):
        Action.objects.create(tenant=bob.tenant, name=str(everyone), operation={}, use_for_everyone=everyone)

    with scope.of_tenant(alice.tenant.pk):
        assert asked("SELECT name FROM tenants_provider") == [("shared",)]
        assert asked("SELECT name FROM tools_action") == [("True",)]
        assert done("UPDATE tenants_provider SET name = ''") == done("DELETE FROM tools_action") == 0
        assert done(*insertion("audit_auditentry", "tenant_id", "", "of the installation")) == 1
        assert asked("SELECT * FROM audit_auditentry WHERE tenant_id = ''") == []


def rows_of_anybody(model: type[TenantModel], columns: tuple[str, ...]) -> TenantQuerySet[TenantModel]:
    """`scoping._rows`, if it forgot the tenant."""
    return TenantQuerySet(model).filter(**{column: Place(column) for column in columns})


def test_a_view_that_forgets_the_tenant_finds_nothing(
    alice: LocalCaller, bob: LocalCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = alice.post("threads")["id"]
    alice.post("assistants", {"model": "demo", "name": "Alice's"})
    monkeypatch.setattr(TenantManager, "of", lambda manager, tenant: manager.across_tenants())
    monkeypatch.setattr(scoping, "_rows", rows_of_anybody)
    for question in ("_fetching", "_paging"):
        monkeypatch.setattr(scoping, question, getattr(scoping, question).__wrapped__)  # none is kept

    assert bob.get(f"threads/{thread}").status == 404
    assert bob.call("POST", f"threads/{thread}", {"metadata": {"mine": "now"}}).status == 404
    assert bob.call("DELETE", f"threads/{thread}").status == 404
    assert bob.get("assistants")["data"] == []
    assert alice.get(f"threads/{thread}")["metadata"] == {}

    monkeypatch.setattr(scope, "enter", lambda wanted: scope._scope.set(scope.EVERYTHING))  # without the second wall
    assert bob.get(f"threads/{thread}").status == 200
    assert "Alice's" in [assistant["name"] for assistant in bob.get("assistants")["data"]]


def test_a_run_shows_its_model_only_what_is_its_tenants(lena: LiveCaller) -> None:
    """What a thread has is asked for by the thread only: whose it is, the wall knows."""
    thread = lena.post("threads", {"messages": [{"role": "user", "content": "tag:mine"}]})["id"]
    stranger, _ = new_tenant("Bob")
    text = {"type": "text", "text": {"value": "tag:theirs", "annotations": []}}
    Message.objects.create(tenant=stranger, thread_id=thread, role="user", content=[text])

    lena.run(thread, lena.post("assistants", {"model": "demo-instant"})["id"])

    assert [message["role"] for message in lena.messages(thread)] == ["user", "assistant"]
    assert lena.last_text(thread).startswith("[mine]")


# --- The connection ---------------------------------------------------------------------------------------------------


@pytest.fixture
def another(db: None) -> Iterator[DatabaseWrapper]:
    """A connection of its own, on which transactions are real."""
    made: Any = connections.create_connection("default")
    yield made
    made.close()


def told(connection: Any) -> tuple[str, str]:
    """The role and the tenant, as PostgreSQL knows them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, current_setting('holdfast.tenant', true)")
        role, tenant = cursor.fetchone()
    return role, tenant


def test_a_connection_does_what_the_present_scope_says(another: Any) -> None:
    login = another.settings_dict["USER"]
    for inside in ("tenant_a", "tenant_a", "tenant_b", scope.CLOSED, "tenant'; --", scope.EVERYTHING, "tenant_b"):
        with scope.within(inside):
            assert told(another) == (login if inside == scope.EVERYTHING else walls.ROLE, inside)
    assert told(another) == (login, scope.EVERYTHING)
    with scope.of_tenant("tenant_a"):
        another.close()
        assert told(another) == (walls.ROLE, "tenant_a")


def test_a_rollback_does_not_open_what_was_closed_before(another: Any) -> None:
    def in_a_transaction(using: str, *, savepoint: bool, failing: str) -> None:
        with transaction.atomic(using=using):
            told(another)
            with scope.of_tenant("tenant_b"), transaction.atomic(using=using, savepoint=savepoint):
                assert told(another) == (walls.ROLE, "tenant_b")
                with another.cursor() as cursor:
                    cursor.execute(failing)
                raise IntegrityError

    connections["another"] = another
    another.alias = "another"
    try:
        for savepoint in (True, False):
            for failing in ("SELECT 1", "SELECT 1 / 0"):
                for inside in ("tenant_a", "tenant_b", scope.CLOSED):
                    with scope.within(inside):
                        with pytest.raises((IntegrityError, DataError)):
                            in_a_transaction("another", savepoint=savepoint, failing=failing)
                        assert told(another) == (walls.ROLE, inside)
        with scope.of_tenant("tenant_a"), transaction.atomic(using="another"):
            with pytest.raises(IntegrityError):
                in_a_transaction("another", savepoint=True, failing="SELECT 1")
            assert told(another) == (walls.ROLE, "tenant_a")
        with scope.of_tenant("tenant_a"):  # an error that is swallowed makes a rollback of the commit
            another.set_autocommit(False)
            told(another)
            with scope.of_tenant("tenant_b"):
                told(another)
                with pytest.raises(DataError), another.cursor() as cursor:
                    cursor.execute("SELECT 1 / 0")
            another.commit()
            another.set_autocommit(True)
            assert told(another) == (walls.ROLE, "tenant_a")
    finally:
        del connections["another"]


def test_every_way_to_send_a_statement_is_behind_the_wall_and_the_usual_one_costs_no_round_trip(
    another: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Mock(side_effect=another._ask)
    monkeypatch.setattr(another, "_ask", ask)
    now = "SELECT current_setting('holdfast.tenant')"

    def executemany(cursor: Any) -> str:
        cursor.executemany("SELECT set_config('test.seen', current_setting('holdfast.tenant') || %s, false)", [("",)])
        cursor.execute("SELECT current_setting('test.seen')")
        return str(cursor.fetchone()[0])

    def stream(cursor: Any) -> str:
        return str(next(iter(cursor.stream(now)))[0])

    def copy(cursor: Any) -> str:
        with cursor.copy(f"COPY ({now}) TO STDOUT") as rows:
            return str(next(rows.rows())[0])

    told(another)
    for number, send in enumerate((executemany, stream, copy)):
        with scope.of_tenant(f"tenant_{number}"), another.cursor() as cursor:
            assert send(cursor) == f"tenant_{number}"
    with scope.of_tenant("tenant_s"), another.chunked_cursor() as cursor:
        cursor.execute(now)
        assert cursor.fetchone()[0] == "tenant_s"

    ask.reset_mock()
    for inside in ("tenant_a", "tenant_a", "100%s", "100%s", "tenant_b"):  # told along with the statement, or known
        with scope.of_tenant(inside), another.cursor() as cursor:
            cursor.execute("SELECT current_setting('holdfast.tenant') || %s FROM generate_series(1, 2)", ["!"])
            assert (cursor.rowcount, cursor.fetchall()) == (2, [(f"{inside}!",)] * 2)
    assert ask.call_count == 0


def test_a_stream_is_made_in_the_scope_of_its_request() -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(3):
            yield scope.present().encode()

    async def streamed() -> list[bytes]:
        scope.enter("tenant_a")
        return [piece async for piece in Handler().stepwise(StreamingHttpResponse(pieces()))]

    with scope.closed():
        assert asyncio.run(streamed()) == [b"tenant_a"] * 3


def test_work_beside_an_event_loop_is_done_in_the_scope_of_whoever_asks() -> None:
    async def work() -> list[str]:
        threads = DatabaseThreads(1)
        try:
            with scope.of_tenant("tenant_a"):
                inside = await threads.run(scope.present)
                await threads.run(scope.enter, "tenant_b")  # its own affair
            return [inside, await threads.run(scope.present)]
        finally:
            threads.close()

    assert asyncio.run(work()) == ["tenant_a", scope.EVERYTHING]


# --- Other people's databases -----------------------------------------------------------------------------------------


def administer(*statements: str) -> None:
    """As the server's superuser, and outside of transactions."""
    administrator: Any = connections.create_connection("default")
    with administrator.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    administrator.close()


@pytest.fixture
def foreign(db: None) -> Iterator[DatabaseWrapper]:
    """A database of an ordinary role, which is no superuser and may make no roles; its tables have their walls."""
    administer("CREATE ROLE ordinary LOGIN PASSWORD 'ordinary'", "CREATE DATABASE foreign_walls OWNER ordinary")
    login = {"NAME": "foreign_walls", "USER": "ordinary", "PASSWORD": "ordinary"}
    made = DatabaseWrapper({**connection.settings_dict, **login}, alias="foreign")
    connections["foreign"] = made
    with made.cursor() as cursor:
        for table, forced in (("things", True), ("passages", False)):
            cursor.execute(f"CREATE TABLE {table} (tenant_id varchar(64))")
            cursor.execute(f"INSERT INTO {table} VALUES ('tenant_a'), ('tenant_b')")
            for sql in walls.around(table, forced=forced).sql:
                cursor.execute(sql[0])
    try:
        yield made
    finally:
        made.close()
        del connections["foreign"]
        administer("DROP DATABASE foreign_walls", "DROP ROLE ordinary")


def seen(table: str) -> dict[str, list[str]]:
    """What there is in the foreign database, by scope."""
    found = {}
    for inside in (scope.EVERYTHING, "tenant_a", scope.CLOSED):
        with scope.within(inside), connections["foreign"].cursor() as cursor:
            cursor.execute(f"SELECT tenant_id FROM {table} ORDER BY 1")
            found[inside] = [row[0] for row in cursor.fetchall()]
    return found


def test_the_owner_of_the_tables_is_held_too_and_told_what_is_missing(foreign: DatabaseWrapper) -> None:
    walled = {scope.EVERYTHING: ["tenant_a", "tenant_b"], "tenant_a": ["tenant_a"], scope.CLOSED: []}
    walls.make_sure("foreign")
    assert seen("things") == walled
    assert "GRANT holdfast_app TO ordinary" in walls.problem("foreign")
    assert [warning.id for warning in walls.check(databases=["foreign"])] == ["holdfast.W001"]
    with scope.of_tenant("tenant_a"), pytest.raises(ProgrammingError, match=REFUSED), foreign.cursor() as cursor:
        cursor.execute("INSERT INTO things VALUES ('tenant_b')")

    administer("GRANT holdfast_app TO ordinary")
    walls.make_sure("foreign")
    assert walls.problem("foreign") == ""
    assert seen("things") == seen("passages") == walled

    administer("REVOKE holdfast_app FROM ordinary", "ALTER ROLE ordinary BYPASSRLS")
    foreign.close()
    assert "does not hold for the role ordinary" in walls.problem("foreign")


def test_an_owner_who_has_made_the_role_becomes_it(foreign: DatabaseWrapper) -> None:
    """What `CREATE ROLE` gives to who is no superuser, since PostgreSQL 16."""
    administer("GRANT holdfast_app TO ordinary WITH ADMIN TRUE, SET FALSE, INHERIT FALSE")
    assert "GRANT holdfast_app TO ordinary" in walls.problem("foreign")

    walls.make_sure("foreign")

    assert walls.problem("foreign") == ""
    assert seen("passages")["tenant_a"] == ["tenant_a"]
