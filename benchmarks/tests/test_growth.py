"""Logged statements are gathered by their form."""

from benchmarks.growth import EMPTY, GROWN, form_of, statements_of, verdict
from benchmarks.load.report import Report

LOG = """2026-11-29 23:59:00.000 UTC [7] LOG:  duration: 0.200 ms  statement: SET ROLE app; SET holdfast.tenant = \
'tenant_a'; SELECT "runs_run"."id" FROM "runs_run" WHERE "runs_run"."id" = 'run_a' LIMIT 21
2026-11-29 23:59:00.001 UTC [8] LOG:  duration: 0.400 ms  statement: SELECT "runs_run"."id" FROM "runs_run"
\tWHERE "runs_run"."id" = 'run_''b' LIMIT 3
2026-11-29 23:59:00.002 UTC [8] LOG:  duration: 0.010 ms  statement: BEGIN
2026-11-29 23:59:00.003 UTC [8] LOG:  duration: 0.500 ms  statement: UPDATE "a" SET "n" = 1 WHERE "id" IN (1, 2, 3)
2026-11-29 23:59:00.003 UTC [8] LOG:  checkpoint starting: time
"""


def test_statements_that_differ_in_values_are_one() -> None:
    run, update = statements_of(LOG)
    assert run.text == "SELECT id FROM runs_run WHERE id = ? LIMIT ?"
    assert run.times == [0.2, 0.4]
    assert run.example.startswith('SELECT "runs_run"')
    assert update.text == "UPDATE a SET n = ? WHERE id IN (…)"


def test_the_form_of_a_statement_has_no_values_of_any_kind() -> None:
    assert form_of("SELECT '{\"a\": 1}'::jsonb, 1.5, 'it''s'::text[]") == "SELECT ?, ?, ?"


def test_what_became_worse_is_named() -> None:
    report = Report([EMPTY, GROWN])
    for row, empty, grown in (
        ("**runs a second**", 100, 60),
        ("get run: requests a second", 100, 99),
        ("first page", 5, 6),
        ("runs of the largest tenant", 5, 50),
    ):
        report.note("some", row, EMPTY, empty)
        report.note("some", row, GROWN, grown)
    assert verdict(report) == "Worse by more than 1.3: runs a second (1.67), runs of the largest tenant (10.00)."
