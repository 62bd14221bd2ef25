"""The log as a stream of lines, JSON or CSV: of any length, with a batch in memory."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from assistant_site.wire.rendering import dumps
from audit import queries
from audit.models import AuditEntry

Format = Literal["jsonl", "csv"]
CONTENT_TYPES: dict[str, str] = {"jsonl": "application/jsonl", "csv": "text/csv; charset=utf-8"}
COLUMNS = (
    "id",
    "at",
    "tenant_id",
    "actor_kind",
    "actor_id",
    "actor_name",
    "address",
    "action",
    "object_type",
    "object_id",
    "object_name",
    "before",
    "after",
    "request_id",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet would carry out


def lines(entries: Iterable[AuditEntry], form: Format) -> Iterator[bytes]:
    """The export, line by line."""
    if form == "jsonl":
        for entry in entries:
            yield dumps(queries.values_of(entry)) + b"\n"
        return
    yield _row(COLUMNS)
    for entry in entries:
        yield _row(_cell(getattr(entry, name)) for name in COLUMNS)


def pieces(entries: Iterable[AuditEntry], form: Format, size: int = 64 * 1024) -> Iterator[bytes]:
    """The same in pieces of some size, for a connection."""
    held = bytearray()
    for line in lines(entries, form):
        held += line
        if len(held) >= size:
            yield bytes(held)
            held.clear()
    yield bytes(held)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return dumps(value).decode()
    written = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return f"'{written}" if written.startswith(_FORMULA) else written


def _row(cells: Iterable[str]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerow(cells)
    return written.getvalue().encode()
