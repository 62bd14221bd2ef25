"""Queries that are put into SQL once give what the querysets give; what is prepared is as what is not."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import ProgrammingError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from psycopg.pq import TransactionStatus

from assistant_site.db import scope
from assistant_site.db.prepared import Prepared
from assistant_site.db.questions import loads
from assistant_site.tests.callers import LocalCaller
from assistant_site.wire.lists import PageQuery, rows_of_page
from tenants.models import Tenant
from threads.models import Message, Thread


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"a": [1, 2.5, null, true, "ü\\n"]}',
        "123456789012345678901234567890",
        "-18446744073709551617",
        "1e2",
    ],
)
def test_json_of_a_column_is_read_exactly(text: str) -> None:
    assert loads(text) == json.loads(text)
    assert type(loads(text)) is type(json.loads(text))


def test_a_row_is_as_its_queryset_gives_it(alice: LocalCaller) -> None:
    id = alice.post("threads", {"metadata": {"a": "b"}})["id"]

    found, wanted = Thread.objects.fetch(alice.tenant, id), Thread.objects.of(alice.tenant).fetch(id)

    assert found == wanted
    assert {**vars(found), "_state": 0} == {**vars(wanted), "_state": 0}
    assert (found._state.adding, found._state.db) == (wanted._state.adding, wanted._state.db)
    found.change(title="Changed")
    assert Thread.objects.fetch(alice.tenant, id).title == "Changed"


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize(("after", "before"), [(None, None), (1, None), (None, 4), (0, 3), (3, 0)])
def test_a_page_is_as_its_queryset_gives_it(
    alice: LocalCaller, descending: bool, after: int | None, before: int | None
) -> None:
    hello = [{"role": "user", "content": f"hello {number}"} for number in range(6)]
    thread = alice.post("threads", {"messages": hello})["id"]
    ids = list(Message.objects.of(alice.tenant).filter(thread_id=thread).values_list("pk", flat=True).order_by("pk"))
    cursors = {name: None if at is None else ids[at] for name, at in (("after", after), ("before", before))}
    query = PageQuery(limit=2, descending=descending, **cursors)

    rows = Message.objects.of(alice.tenant).filter(thread_id=thread)
    assert Message.objects.page(alice.tenant, query, thread_id=thread) == rows_of_page(rows, query)


@pytest.fixture
def another(db: None) -> Iterator[Any]:
    """A connection of its own, on which transactions are real."""
    made = connections["another"] = connections.create_connection("default")
    made.alias = "another"
    yield made
    made.close()
    del connections["another"]


def test_a_transaction_begins_with_its_first_statement(another: Any) -> None:
    another.ensure_connection()
    pgconn = another.connection.pgconn
    with transaction.atomic(using="another"):
        assert pgconn.transaction_status == TransactionStatus.IDLE
        with another.cursor() as cursor:
            with pytest.raises(Exception, match="NUL"):
                cursor.execute("SELECT %s", ["\x00"])  # never sent
            assert pgconn.transaction_status == TransactionStatus.IDLE
            cursor.execute("SELECT %s", ["%"])
            assert cursor.fetchall() == [("%",)]
        assert pgconn.transaction_status == TransactionStatus.INTRANS
        with another.chunked_cursor() as on_the_servers_side:
            on_the_servers_side.execute("SELECT 1")
            assert on_the_servers_side.fetchall() == [(1,)]
    assert pgconn.transaction_status == TransactionStatus.IDLE


def test_a_page_of_messages_is_one_query(alice: LocalCaller) -> None:
    thread = alice.post("threads", {"messages": [{"role": "user", "content": "hello"}]})["id"]
    with CaptureQueriesContext(connection) as queries:
        assert len(alice.get(f"threads/{thread}/messages")["data"]) == 1
    assert len([query for query in queries if "threads_" in query["sql"]]) == 1


COUNTED = Prepared("SELECT count(*) FROM threads_thread WHERE tenant_id = %s AND '100%%' = '100%%'")
TWO = Prepared("SELECT %s::text || 'a'", "SELECT id FROM tenants_tenant WHERE id = %s")


def asked(cursor: Any, statement: Prepared, *values: str) -> Any:
    cursor.execute(statement, values)
    return cursor.fetchone()[0]


def test_what_is_prepared_is_told_the_present_scope_each_time(alice: LocalCaller, bob: LocalCaller) -> None:
    alice.thread()
    with connection.cursor() as cursor:
        with scope.within(alice.tenant.pk):
            assert asked(cursor, COUNTED, alice.tenant.pk) == 1
        with scope.within(bob.tenant.pk):
            assert asked(cursor, COUNTED, alice.tenant.pk) == 0
        with scope.everything():
            assert asked(cursor, COUNTED, alice.tenant.pk) == 1


def test_several_prepared_statements_go_in_one_message(alice: LocalCaller) -> None:
    with CaptureQueriesContext(connection) as queries, connection.cursor() as cursor:
        assert asked(cursor, TWO, "b", alice.tenant.pk) == "ba"
        assert cursor.nextset()
        assert cursor.fetchone() == (alice.tenant.pk,)
    [query] = queries
    assert "FROM tenants_tenant WHERE id = '" in query["sql"]  # in words that say something


def test_what_does_not_wait_for_the_disk_leaves_the_next_one_waiting(another: Any) -> None:
    lazily = Prepared("SELECT 'a' || %s", "SELECT 2", waits_for_disk=False)
    warnings: list[Any] = []
    with another.cursor() as cursor:
        cursor.connection.add_notice_handler(warnings.append)
        cursor.execute("SET synchronous_commit = on")  # the servers of tests never wait
        assert asked(cursor, lazily, "b") == "ab"
        assert cursor.nextset()
        assert cursor.fetchone() == (2,)
        cursor.execute("SHOW synchronous_commit")
        assert cursor.fetchone() == ("on",)
        with transaction.atomic(using="another"):
            asked(cursor, lazily, "b")
            cursor.execute("SHOW synchronous_commit")
            assert cursor.fetchone() == ("off",)  # so it was sent
    assert not warnings


def test_what_is_prepared_outlives_a_rollback_but_not_its_connection(another: Any) -> None:
    hello = Prepared("SELECT 'hello ' || %s")
    nonsense = Prepared("SELECT nonsense WHERE 'a' = %s")
    with transaction.atomic(using=another.alias), another.cursor() as cursor:
        assert asked(cursor, hello, "you") == "hello you"
        with pytest.raises(ProgrammingError):
            cursor.execute(nonsense, ["a"])
        transaction.set_rollback(True, using=another.alias)
    with another.cursor() as cursor:
        assert asked(cursor, hello, "again") == "hello again"
    another.close()
    with another.cursor() as cursor:
        assert asked(cursor, hello, "anew") == "hello anew"


def test_what_is_prepared_reads_no_table_whole(db: None) -> None:
    """Its plan outlives the size that the table had, so it goes by the index though one page would be quicker read."""
    names = "SELECT name FROM tenants_tenant WHERE id = %s"
    Tenant.objects.create(name="Carol")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE tenants_tenant")
        for sql, how in ((names, "Seq Scan"), (Prepared(names), "Index Scan"), (names, "Seq Scan")):
            explained = f"EXPLAIN {sql}"
            cursor.execute(Prepared(explained) if isinstance(sql, Prepared) else explained, ["tenant_x"])
            assert how in str(cursor.fetchall())


def test_a_rollback_does_not_make_others_go_by_index(another: Any) -> None:
    def setting(cursor: Any) -> Any:
        cursor.execute("SELECT current_setting('enable_seqscan')")
        return cursor.fetchone()[0]

    with another.cursor() as cursor:
        assert asked(cursor, Prepared("SELECT current_setting('enable_seqscan') || %s"), "") == "off"
        with transaction.atomic(using=another.alias):
            assert setting(cursor) == "on"
            transaction.set_rollback(True, using=another.alias)
        assert setting(cursor) == "on"
        with transaction.atomic(using=another.alias):
            assert asked(cursor, Prepared("SELECT current_setting('enable_seqscan') || %s"), "") == "off"
            transaction.set_rollback(True, using=another.alias)
        assert asked(cursor, Prepared("SELECT current_setting('enable_seqscan') || %s"), "") == "off"
