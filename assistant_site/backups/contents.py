"""What lies in a backup's folder, and how one knows that it is whole (docs/backup.md)."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.db import connection

DATABASE = "database.dump"  # pg_dump's custom format
SECRETS = "secrets.json"
MANIFEST = "manifest.json"
FILES = "files"  # blobs under their own names
SUMS = "SHA256SUMS"  # of everything else, as sha256sum writes and reads it; written last: without it a backup is none
FORM = 1  # of all this; another one is refused


class CannotBackUp(Exception):
    """A whole sentence for the operator."""


class CannotRestore(Exception):
    """A whole sentence for the operator."""


@dataclass
class Manifest:
    """What a backup says of itself. `tables` has the number of rows and a checksum of each; `keys` are fingerprints."""

    form: int
    version: str
    taken_at: str
    program: int  # the major version of the pg_dump that wrote the dump
    server: int  # and of the PostgreSQL it is of
    migrations: list[str]
    keys: list[str]
    tables: dict[str, list[Any]]
    with_files: bool
    blobs: int = 0
    bytes: int = 0
    missing: list[str] = field(default_factory=list)  # blobs that rows tell of, and that could not be had

    def write(self, folder: Path) -> None:
        (folder / MANIFEST).write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Raises CannotRestore."""
        if not (folder / SUMS).is_file():
            raise CannotRestore(
                f"{folder} is no whole backup: it has no {SUMS}, which is written at the end of one. "
                "Name the folder that manage.py backup has made, or take another backup."
            )
        try:
            found = json.loads((folder / MANIFEST).read_text())
            if found["form"] != FORM:
                raise CannotRestore(f"The backup in {folder} was made by a newer Holdfast. Restore it with that one.")
            return cls(**found)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CannotRestore(f"{folder / MANIFEST} is damaged ({error}). Use another backup.") from None


def fingerprints(keys: Iterable[str]) -> list[str]:
    """By what one knows encryption keys again. They are random, so a hash tells nothing of them."""
    return [hashlib.sha256(key.encode()).hexdigest()[:16] for key in keys]


def table_sums() -> dict[str, list[Any]]:
    """Of each table its number of rows, and a sum over their texts that does not depend on their order."""
    found = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' "
            "ORDER BY relname"
        )
        for (table,) in cursor.fetchall():
            quoted = connection.ops.quote_name(table)
            cursor.execute(
                f"SELECT count(*), coalesce(sum(hashtextextended(present::text, 0)), 0)::text FROM {quoted} AS present"  # noqa: S608
            )
            found[table] = list(cursor.fetchone())
    return found


def sha256_of(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def sums(folder: Path) -> Iterator[tuple[str, str]]:
    """Names, relative to the folder, and what their contents must hash to. Raises CannotRestore."""
    with open(folder / SUMS) as lines:
        for line in lines:
            sha256, _, name = line.rstrip("\n").partition("  ")
            if len(sha256) != 64 or not name or ".." in Path(name).parts or Path(name).is_absolute():
                raise CannotRestore(f"{folder / SUMS} is damaged at the line {line[:100]!r}. Use another backup.")
            yield name, sha256


def check(folder: Path, names: Iterable[str]) -> None:
    """Raises CannotRestore if one of these is missing or not what it was."""
    wanted = dict(sums(folder))
    for name in names:
        try:
            is_good = name in wanted and sha256_of(folder / name) == wanted[name]
        except OSError:
            is_good = False
        if not is_good:
            raise CannotRestore(
                f"{folder / name} is missing or damaged. Use another backup, or another copy of this one."
            )
