"""Queries that are put into SQL once give what the querysets give."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from psycopg.pq import TransactionStatus

from assistant_site.db.questions import loads
from assistant_site.tests.callers import LocalCaller
from assistant_site.wire.lists import PageQuery, rows_of_page
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
