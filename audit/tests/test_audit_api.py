"""`/v1/audit_log`: tenants see their own entries, the operator all; pages, filters, downloads."""

import csv
import io
import json
from typing import Any

import pytest
from django.core.management import call_command

from assistant_site.tests.callers import LocalCaller
from audit import log, queries


@pytest.fixture
def operator(alice: LocalCaller, settings: Any) -> LocalCaller:
    settings.ADMIN_TOKEN = "operators-own-token"
    return LocalCaller(alice.tenant, "operators-own-token")


@pytest.fixture
def entries(alice: LocalCaller, bob: LocalCaller) -> list[str]:
    """Four entries of Alice's, one of Bob's."""
    token = alice.tenant.tokens.get()
    token.scopes = ["read", "write", "admin"]
    token.save()
    made = [
        log.record("assistant.created", tenant_id=alice.tenant.pk, object_id="asst_1", after={"name": "=1+1"}),
        log.record("assistant.deleted", tenant_id=alice.tenant.pk, object_id="asst_1", object_name="Ann"),
        log.record("thread.deleted", tenant_id=alice.tenant.pk, object_id="thread_1", before={"messages": 3}),
        log.record("staff.login", tenant_id=alice.tenant.pk, object_name="=evil()"),
        log.record("assistant.created", tenant_id=bob.tenant.pk, object_id="asst_2"),
    ]
    return [entry.pk for entry in made]


def ids(answer: Any) -> list[str]:
    return [each["id"] for each in answer["data"]]


def test_tenants_see_their_own_and_the_operator_all(
    alice: LocalCaller, bob: LocalCaller, operator: LocalCaller, entries: list[str]
) -> None:
    assert ids(alice.get("audit_log")) == entries[3::-1]
    assert ids(operator.get("audit_log?limit=5")) == entries[::-1]
    assert ids(operator.get(f"audit_log?tenant={bob.tenant.pk}")) == entries[4:]
    assert alice.get(f"audit_log?tenant={bob.tenant.pk}").status == 400
    assert ids(alice.get(f"audit_log?limit=2&after={entries[2]}")) == entries[1::-1]
    shown = alice.get("audit_log?limit=1&action=thread.")["data"][0]
    assert shown["object"] == "audit_log.entry"
    assert shown["target"] == {"type": None, "id": "thread_1", "name": None}
    assert shown["before"] == {"messages": 3}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("action=assistant.", [1, 0]),
        ("object=asst_1&action=assistant.deleted", [1]),
        ("text=ANN", [1]),
        ("text=%3D1%2B1", [0]),
        ("from=2020-01-01&to=2999-01-01T00:00:00Z", [3, 2, 1, 0]),
        ("to=1600000000", []),
        ("from=2999-01-01", []),
        ("actor=nobody", []),
    ],
)
def test_filters(alice: LocalCaller, entries: list[str], query: str, found: list[int]) -> None:
    assert ids(alice.get(f"audit_log?{query}")) == [entries[n] for n in found]


def test_a_wrong_moment_is_refused(alice: LocalCaller, entries: list[str]) -> None:
    refused = alice.get("audit_log?from=yesterday")
    assert refused.status == 400
    assert refused.error["param"] == "from"


def test_downloads_are_whole_and_in_order(
    alice: LocalCaller, entries: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "BATCH", 2)
    answer = alice.get("audit_log?format=jsonl")
    assert [json.loads(line)["id"] for line in answer.body.splitlines()] == entries[:4]
    table = alice.get("audit_log?format=csv")
    rows = list(csv.DictReader(io.StringIO(table.body.decode())))
    assert [row["id"] for row in rows] == entries[:4]
    assert rows[3]["object_name"] == "'=evil()"  # a spreadsheet must not carry it out
    assert json.loads(rows[2]["before"]) == {"messages": 3}


def test_the_command_writes_the_same(
    alice: LocalCaller, entries: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("export_audit", tenant=alice.tenant.pk, action="assistant.")
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == entries[:2]
