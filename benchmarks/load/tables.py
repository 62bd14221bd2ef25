"""Sizes, dead rows and visits of the tables of an installation, and what Valkey holds."""

from dataclasses import dataclass
from pathlib import Path

import redis

from benchmarks.load.filling import Connection, sql

MIB = 2**20


@dataclass(frozen=True)
class Table:
    name: str
    live: int
    dead: int
    autovacuums: int
    bytes: int  # with what is stored beside the rows
    index_bytes: int
    inserted: int
    updated: int
    updated_in_place: int  # "HOT": without touching an index
    scans: int  # from the first row to the last
    scanned: int  # rows that these read

    @property
    def total_bytes(self) -> int:
        return self.bytes + self.index_bytes


def tables(connection: Connection) -> dict[str, Table]:
    sql(connection, "SELECT pg_stat_clear_snapshot()")
    rows = sql(
        connection,
        "SELECT relname, n_live_tup, n_dead_tup, autovacuum_count, pg_table_size(relid), pg_indexes_size(relid), "
        "n_tup_ins, n_tup_upd, n_tup_hot_upd, seq_scan, seq_tup_read FROM pg_stat_user_tables",
    )
    return {row[0]: Table(*row) for row in rows}


def indexes(connection: Connection) -> dict[str, int]:
    """Bytes of each index."""
    return dict(sql(connection, "SELECT indexrelname, pg_relation_size(indexrelid) FROM pg_stat_user_indexes"))


def busiest(before: dict[str, Table], after: dict[str, Table], count: int = 8) -> list[str]:
    """The tables that got the most rows, new or changed."""

    def written(name: str) -> int:
        old = before.get(name)
        return after[name].inserted + after[name].updated - (old.inserted + old.updated if old else 0)

    # What Django brings is written by `migrate`, and PostgreSQL counts that late.
    ordered = sorted((name for name in after if not name.startswith(("auth_", "django_"))), key=written, reverse=True)
    return [name for name in ordered[:count] if written(name)]


def growth(before: dict[str, Table], after: dict[str, Table], runs: int) -> list[list[float | int | str | None]]:
    """Of the busiest tables: rows, dead rows, autovacuums, updates in place, and bytes for each of so many runs."""
    made: list[list[float | int | str | None]] = []
    for name in busiest(before, after):
        old, new = before.get(name), after[name]
        updated = new.updated - (old.updated if old else 0)
        in_place = new.updated_in_place - (old.updated_in_place if old else 0)
        more = new.bytes - (old.bytes if old else 0)
        more_index = new.index_bytes - (old.index_bytes if old else 0)
        made.append(
            [
                name,
                new.live,
                new.dead,
                new.autovacuums - (old.autovacuums if old else 0),
                f"{100 * in_place / updated:.0f} %" if updated else None,
                more / MIB,
                more_index / MIB,
                more / max(runs, 1),
                more_index / max(runs, 1),
            ]
        )
    return made


GROWTH_HEAD = (
    *("table", "rows", "dead", "autovacuums", "updates in place", "grew, MiB", "its indexes, MiB"),
    *("bytes a run", "of indexes a run"),
)


def valkey(folder: Path) -> dict[str, float]:
    """MiB that Valkey holds, its keys, and the commands so far; of the embedded one of this folder."""
    server = redis.Redis(unix_socket_path=str(folder / "run" / "valkey.sock"))
    try:
        told = server.info()
        return {
            "MiB": told["used_memory"] / MIB,
            "keys": float(server.dbsize()),
            "commands": float(told["total_commands_processed"]),
        }
    finally:
        server.close()
