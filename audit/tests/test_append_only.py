"""Entries are added and never changed; what is old goes by one command, which is recorded."""

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.utils import ProgrammingError
from django.utils import timezone

from audit import log
from audit.models import ActorKind, AuditEntry


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_auditentry SET actor_name = 'somebody else'",
        "DELETE FROM audit_auditentry",
        "TRUNCATE audit_auditentry",
    ],
)
def test_sql_cannot_change_entries(db: None, statement: str) -> None:
    entry = log.record("thing.done")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL holdfast.audit_may_be_emptied = 'off'")  # which is on for tests
        with pytest.raises(ProgrammingError, match="append-only"), transaction.atomic():
            cursor.execute(statement)
    assert AuditEntry.objects.get(pk=entry.pk).actor_name == ""


def test_old_entries_are_pruned_and_that_is_recorded(db: None) -> None:
    old = AuditEntry.objects.create(action="thing.done", actor_kind="system", at=timezone.now() - timedelta(days=400))
    new = log.record("thing.done")
    said = io.StringIO()
    day = (timezone.now() - timedelta(days=365)).date().isoformat()
    call_command("prune_audit", before=day, stdout=said)
    assert f"entries from before {day}" in said.getvalue()
    assert not AuditEntry.objects.filter(pk=old.pk).exists()
    assert AuditEntry.objects.filter(pk=new.pk).exists()
    told = AuditEntry.objects.filter(action="audit.pruned").latest("pk")
    assert told.actor_kind == ActorKind.COMMAND
    assert told.actor_name == "manage.py prune_audit"
    assert told.after is not None
    assert told.after["entries"] >= 1
    with pytest.raises(ProgrammingError, match="append-only"), transaction.atomic():
        new.delete()


@pytest.mark.parametrize("given", ["soon", "2999-01-01"])
def test_a_wrong_date_prunes_nothing(db: None, given: str) -> None:
    with pytest.raises(CommandError, match="expected a date in the past"):
        call_command("prune_audit", before=given)
