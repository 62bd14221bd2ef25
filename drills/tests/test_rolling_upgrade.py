"""The previous release on the new schema, and an upgrade under load with the way back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from drills import releases


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The previous release's files."""
    try:
        release = releases.previous()
    except releases.NoPreviousRelease as why:
        pytest.skip(str(why))
    return release.unpack(tmp_path_factory.mktemp("old"))


# What the models of a checkout know, printed by its own code: table, column, type.
COLUMNS = """
import json, django
django.setup()
from django.apps import apps
from django.db import connection
models = apps.get_models(include_auto_created=True)
fields = [(model._meta.db_table, field) for model in models for field in model._meta.local_concrete_fields]
print(json.dumps([[table, field.column, field.db_type(connection)] for table, field in fields]))
"""


@pytest.mark.slow
def test_the_new_schema_has_what_the_previous_release_reads_and_demands_nothing_else(old: Path, db: None) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", COLUMNS], cwd=old, env=dict(os.environ), capture_output=True, text=True, check=True
    )
    known = {(table, column): kind for table, column, kind in json.loads(ran.stdout)}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, attname, format_type(atttypid, atttypmod), "
            "attnotnull AND NOT atthasdef AND attidentity = '' FROM pg_attribute "
            "JOIN pg_class ON pg_class.oid = attrelid "
            "WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped"
        )
        there = {(table, column): (kind, demanded) for table, column, kind, demanded in cursor.fetchall()}
    tables = {table for table, _ in known}
    assert len(known) > 300
    missing = sorted(set(known) - set(there))
    other = {
        name: (kind, there[name][0]) for name, kind in known.items() if name in there and not fits(kind, there[name][0])
    }
    demanded = [name for name, (_, must) in there.items() if must and name[0] in tables and name not in known]
    assert (missing, other, demanded) == ([], {}, [])


def fits(django: str, postgresql: str) -> bool:
    """Whether what old code has in mind for a column finds room in it as it now is."""
    wanted, there = django.replace("varchar", "character varying").replace(", ", ","), postgresql
    if wanted.startswith("character varying") and there.startswith(("character varying", "text")):
        longest = [int(kind.partition("(")[2].rstrip(")") or sys.maxsize) for kind in (wanted, there)]
        return longest[0] <= longest[1]
    return wanted == there or (wanted, there) == ("integer", "bigint")


@pytest.mark.slow
def test_an_upgrade_and_its_way_back_are_noticed_by_nobody(old: Path) -> None:
    command = [sys.executable, "-m", "drills.rolling_upgrade", "--from", str(old)]
    ran = subprocess.run(
        [*command, "--callers", "1", "--calm", "0.5", "--longest", "4"],
        cwd=releases.PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "No request failed, no stream broke, no run was lost or handed on." in ran.stdout
