"""What was used: the ledger's settled entries added up by day, and what is not added up yet, read together.

Each entry is in exactly one of the two at any moment (`is_rolled_up` and the day's row change in one transaction), and
a reader sees both in one statement: so the sums are those of the ledger, to the token, at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date
from decimal import Decimal
from typing import Any, Literal, get_args

from django.db import connection, transaction
from django.utils import timezone

Dimension = Literal["day", "tenant", "token", "model", "assistant", "end_user", "kind"]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)

ROLLED_UP_AT_ONCE = 2_000
_ONE_AT_A_TIME = 0x4C45_4447  # an advisory lock's number

_KEYS = ("tenant_id", "day", "kind", "token_id", "model", "assistant_id", "end_user", "currency")
_SUMS = (
    "requests",
    "runs",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "tool_calls",
    "code_seconds",
    "cost",
)
_COLUMN_OF: dict[Dimension, str] = {
    "day": "day",
    "tenant": "tenant_id",
    "token": "token_id",
    "model": "model",
    "assistant": "assistant_id",
    "end_user": "end_user",
    "kind": "kind",
}
_DAY_OF_ENTRY = "(settled_at AT TIME ZONE 'UTC')::date"


@dataclass(frozen=True)
class Total:
    """Sums of one group, and one currency. What is not grouped by is None."""

    day: date | None
    tenant: str | None
    token: str | None  # its id; empty: of no token
    model: str | None  # as it was asked for
    assistant: str | None
    end_user: str | None
    kind: str | None  # a value of `EntryKind`
    currency: str
    requests: int
    runs: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    tool_calls: int
    code_seconds: float
    cost: Decimal

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


def today() -> date:
    """The present day in UTC, by which usage and budgets are counted."""
    return timezone.now().astimezone(UTC).date()


def totals(
    *,
    start: date | None = None,
    end: date | None = None,
    group_by: Sequence[Dimension] = (),
    tenant_id: str | None = None,
    token_id: str | None = None,
    end_user: str | None = None,
) -> list[Total]:
    """Sums from day `start` to day `end`, both included (UTC), in the order of `group_by`; None: without that bound.

    One `Total` for each group and currency; costs of several currencies are never added. Of one tenant, API token, end
    user if these are given. Two index scans: of the days, and of the entries that are not yet among them.
    """
    conditions: dict[str, date | str | None] = {"day >= %s": start, "day <= %s": end}
    conditions |= {"tenant_id = %s": tenant_id, "token_id = %s": token_id, "end_user = %s": end_user}
    given = {text: value for text, value in conditions.items() if value is not None}
    where = f"WHERE {' AND '.join(given)}" if given else ""
    keys = [_COLUMN_OF[dimension] for dimension in group_by]
    groups = ", ".join([*keys, "currency"])
    sums = ", ".join(f"sum({name}) AS {name}" for name in _SUMS)
    columns = ", ".join([*_KEYS, *_SUMS])
    entry = columns.replace("day", f"{_DAY_OF_ENTRY} AS day", 1).replace("requests", "1 AS requests", 1)
    # Only names of this module are put into the text; what comes from outside are parameters.
    query = f"""
        SELECT {groups}, {sums} FROM (
            SELECT {columns} FROM metering_usageday {where}
            UNION ALL
            SELECT {columns} FROM (
                SELECT {entry} FROM metering_ledgerentry WHERE NOT is_rolled_up AND state = 'settled'
            ) AS rest {where}
        ) AS used GROUP BY {groups} ORDER BY {groups}
    """  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(query, [*given.values(), *given.values()])
        names = [column.name for column in cursor.description]
        return [_total(dict(zip(names, row, strict=True)), group_by) for row in cursor.fetchall()]


def _total(row: dict[str, Any], group_by: Sequence[Dimension]) -> Total:
    keys: dict[str, Any] = {name: row[_COLUMN_OF[name]] if name in group_by else None for name in DIMENSIONS}
    sums: dict[str, Any] = {name: int(row[name]) for name in _SUMS if name not in ("code_seconds", "cost")}
    return Total(**keys, **sums, currency=row["currency"], code_seconds=float(row["code_seconds"]), cost=row["cost"])


def roll_up(most: int = ROLLED_UP_AT_ONCE) -> int:
    """Adds up to so many settled entries to their days, each exactly once; returns how many.

    Only one process does it at a time; others return 0 at once.
    """
    columns = ", ".join([*_KEYS, *_SUMS])
    keys = ", ".join(_KEYS)
    grouped = keys.replace("day", f"{_DAY_OF_ENTRY} AS day")
    sums = ", ".join("count(*)" if name == "requests" else f"sum({name})" for name in _SUMS)
    added = ", ".join(f"{name} = metering_usageday.{name} + EXCLUDED.{name}" for name in _SUMS)
    query = f"""
        WITH chosen AS (
            SELECT id FROM metering_ledgerentry WHERE NOT is_rolled_up AND state = 'settled'
            ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
        ), marked AS (
            UPDATE metering_ledgerentry SET is_rolled_up = true FROM chosen WHERE metering_ledgerentry.id = chosen.id
            RETURNING metering_ledgerentry.*
        ), added AS (
            INSERT INTO metering_usageday ({columns})
            SELECT {grouped}, {sums} FROM marked GROUP BY {keys.replace("day", _DAY_OF_ENTRY)}
            ON CONFLICT ({keys}) DO UPDATE SET {added}
        )
        SELECT count(*) FROM marked
    """  # noqa: S608
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_ONE_AT_A_TIME])
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute(query, [most])
        return int(cursor.fetchone()[0])
