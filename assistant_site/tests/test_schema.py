"""Which indexes the tables have, and how rows are read."""

from datetime import UTC
from importlib import import_module

import pytest
from django.db import connection
from django.db.models import F

from tenants.models import Tenant

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


def test_no_column_in_byte_order_has_a_second_index_for_like() -> None:
    assert twins() == []


def test_an_upgrade_drops_those_that_were_made_before() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE INDEX threads_thread_id_692cdca9_like ON threads_thread (id varchar_pattern_ops)")
        cursor.execute("CREATE INDEX tenants_tenant_name_like ON tenants_tenant (name varchar_pattern_ops)")
        cursor.execute(import_module("tenants.migrations.0010_no_like_indexes").DROP)
        assert twins() == []
        cursor.execute("SELECT to_regclass('tenants_tenant_name_like') IS NOT NULL")  # of another collation
        assert cursor.fetchone() == (True,)


def test_the_beginning_of_an_id_is_found_by_a_plain_index() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN SELECT id FROM threads_thread WHERE id LIKE 'thread\\_abc%'")
        assert "Index Cond: ((id >= 'thread_abc'::text)" in "\n".join(line for (line,) in cursor.fetchall())


def test_a_model_is_read_alike_by_remembered_columns_and_by_others() -> None:
    made = Tenant.objects.create(name="remembered", fetch_allowed_hosts="inner.example")
    for _ in range(2):  # the first one may have to remember
        whole = Tenant.objects.get(pk=made.pk)
        assert (whole.name, whole.fetch_allowed_hosts) == ("remembered", "inner.example")
    named = Tenant.objects.annotate(called=F("name")).get(pk=made.pk)
    assert named.called == "remembered"
    assert named.created_at == whole.created_at
    partly = Tenant.objects.only("name").get(pk=made.pk)
    assert partly.get_deferred_fields()
    assert partly.fetch_allowed_hosts == "inner.example"
    (raw,) = Tenant.objects.raw("SELECT id, name FROM tenants_tenant WHERE id = %s", [made.pk])
    assert raw.fetch_allowed_hosts == "inner.example"
    assert list(Tenant.objects.filter(pk=made.pk).union(Tenant.objects.filter(pk=made.pk))) == [whole]
    assert Tenant.objects.filter(pk__in=Tenant.objects.filter(name="remembered")).get() == whole
    assert whole.created_at.tzinfo is UTC
