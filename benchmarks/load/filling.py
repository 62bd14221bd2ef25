"""Rows by the million: copies of rows that Holdfast has made itself, by PostgreSQL alone.

A template is a row of the installation that is filled. Its columns are read from the catalogue, so this knows only the
few that a copy must have of its own: ids, times, and whose it is.
"""

from typing import Any

import psycopg

from assistant_site.wire.ids import ALPHABET

Connection = psycopg.Connection[tuple[Any, ...]]
SECOND = 1_000_000


def sql(connection: Connection, text: str, *values: object) -> list[tuple[Any, ...]]:
    cursor = connection.execute(text, values or None)
    return cursor.fetchall() if cursor.description else []


def wire_id(prefix: str, moment: str) -> str:
    """SQL for an id of this moment (an expression in microseconds), as `assistant_site.wire.ids` makes them."""
    digits = "||".join(
        f"substr('{ALPHABET}', (({moment}) / {62**power} % 62 + 1)::int, 1)" for power in range(8, -1, -1)
    )
    return f"'{prefix}'||{digits}||substr(md5(random()::text), 1, 15)"


def at(moment: str) -> str:
    """SQL for a time of so many microseconds."""
    return f"(timestamptz 'epoch' + ({moment}) * interval '1 microsecond')"


def columns(connection: Connection, table: str) -> list[str]:
    """Those that can be written."""
    found = sql(
        connection,
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped "
        "AND attgenerated = '' AND attidentity <> 'a' ORDER BY attnum",
        table,
    )
    return [name for (name,) in found]


def copies(connection: Connection, table: str, template: str, own: dict[str, str], source: str) -> int:
    """Copies the row `template` (a condition) for each row of `source` (from FROM on); `own`: what differs, as SQL.

    What of `own` the table does not have is left out, and so is an automatic key that is not in it. The number of rows.
    """
    names = [name for name in columns(connection, table) if name != "id" or "id" in own]
    given = ", ".join(own.get(name, f'template."{name}"') for name in names)
    quoted = ", ".join(f'"{name}"' for name in names)
    text = (
        f"INSERT INTO {table} ({quoted}) SELECT {given} FROM (SELECT * FROM {table} WHERE {template} LIMIT 1) "
        f"AS template CROSS JOIN ({source}) AS made"
    )
    return connection.execute(text).rowcount


def lengthen(connection: Connection, thread: str, count: int) -> None:
    """Gives a thread that has one message of a user `count` more, questions and answers in turn, before that one."""
    ((first,),) = sql(
        connection,
        "SELECT (extract(epoch FROM created_at) * 1000000)::bigint FROM threads_thread WHERE id = %s",
        thread,
    )
    moment = f"({first} - ({count} - number) * {20 * SECOND}::bigint)"
    copies(
        connection,
        "threads_message",
        f"thread_id = '{thread}' AND role = 'user'",
        {
            "id": wire_id("msg_", moment),
            "created_at": at(moment),
            "completed_at": at(moment),
            "role": "CASE number % 2 WHEN 0 THEN 'user' ELSE 'assistant' END",
            "content": "jsonb_build_array(jsonb_build_object('type', 'text', 'text', jsonb_build_object('value', "
            "'message ' || number || ' of a long conversation about this and that', 'annotations', '[]'::jsonb)))",
        },
        f"SELECT number FROM generate_series(0, {count - 1}) AS number",
    )
    if "message_count" in columns(connection, "threads_thread"):
        sql(connection, "UPDATE threads_thread SET message_count = message_count + %s WHERE id = %s", count, thread)
    sql(connection, "ANALYZE threads_message")
