"""Which indexes the tables have."""

from importlib import import_module

import pytest
from django.db import connection

pytestmark = pytest.mark.django_db

_TWINS = """
SELECT pg_class.relname FROM pg_index
JOIN pg_class ON pg_class.oid = indexrelid
JOIN pg_opclass ON pg_opclass.oid = indclass[0]
JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
JOIN pg_collation ON pg_collation.oid = attcollation
WHERE opcname IN ('varchar_pattern_ops', 'text_pattern_ops') AND collname = 'C'
"""


def twins() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(_TWINS)
        return [name for (name,) in cursor.fetchall()]


def test_no_column_in_byte_order_has_a_second_index_for_like():
    assert twins() == []


def test_an_upgrade_drops_those_that_were_made_before():
    with connection.cursor() as cursor:
        cursor.execute("CREATE INDEX threads_thread_id_692cdca9_like ON threads_thread (id varchar_pattern_ops)")
        cursor.execute("CREATE INDEX tenants_tenant_name_like ON tenants_tenant (name varchar_pattern_ops)")
        cursor.execute(import_module("tenants.migrations.0010_no_like_indexes").DROP)
        assert twins() == []
        cursor.execute("SELECT to_regclass('tenants_tenant_name_like') IS NOT NULL")  # of another collation
        assert cursor.fetchone() == (True,)


def test_the_beginning_of_an_id_is_found_by_its_primary_key():
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN SELECT id FROM threads_thread WHERE id LIKE 'thread\\_abc%'")
        assert "threads_thread_pkey" in "\n".join(line for (line,) in cursor.fetchall())
