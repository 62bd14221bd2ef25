"""Takes a backup of a running installation that is one moment of it: the database, and every blob its rows tell of.

The database comes first, then the files. A blob is written before the row that owns it is committed, so what the rows
of the dump tell of is there; and it is removed after its row is gone, which every process puts off meanwhile
(`files.blobs.kept`). So nothing is missing, however long the copying takes, and nobody waits for it.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from django.conf import settings
from django.db import connection, transaction
from django.db.migrations.recorder import MigrationRecorder

from assistant_site import owner_only
from assistant_site.backups import contents, programs
from assistant_site.backups.contents import CannotBackUp, Manifest
from files import blobs, moving, storage
from files.blobs import Owned
from files.local import LocalBlobs

_LIST = "blobs.part"  # what the rows of the snapshot tell of; gone when the backup is whole
_BATCH = 500


def take(
    folder: Path,
    *,
    with_files: bool = True,
    programs_in: Path | None = None,
    threads: int = 4,
    tell: Callable[[str], None] = lambda _: None,
) -> Manifest:
    """Writes a backup into this folder, which must be empty or not be there. Raises CannotBackUp."""
    try:
        program, version = programs.found("pg_dump", least=programs.server_version(), folder=programs_in)
    except programs.NoProgram as problem:
        raise CannotBackUp(str(problem)) from None
    try:
        with owner_only.files():
            _make(folder)
            with blobs.kept() as is_alone:
                if not is_alone:
                    raise CannotBackUp("Another backup is being taken just now. Wait for its end.")
                manifest = _snapshot(folder, program, version, with_files=with_files, tell=tell)
                with open(folder / f"{contents.SUMS}.part", "w") as sums:
                    if with_files:
                        _copy_files(folder, manifest, sums, threads, tell)
                    _copy_secrets(folder)
                    manifest.write(folder)
                    for name in (contents.DATABASE, contents.SECRETS, contents.MANIFEST):
                        if (folder / name).is_file():
                            sums.write(f"{contents.sha256_of(folder / name)}  {name}\n")
            (folder / _LIST).unlink()
            os.sync()  # the last file says that all others are there
            (folder / f"{contents.SUMS}.part").rename(folder / contents.SUMS)
            os.sync()
    except OSError as error:
        where = error.filename or folder
        raise CannotBackUp(f"{where} cannot be written: {error.strerror or error}. The backup is not whole.") from None
    return manifest


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise CannotBackUp(f"{folder} is not empty, and nothing in it is overwritten. Name a new folder.")
    folder.chmod(0o700)


def _snapshot(folder: Path, program: Path, version: int, *, with_files: bool, tell: Callable[[str], None]) -> Manifest:
    """Dumps the database, and writes down what it had at the same moment."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        cursor.execute("SELECT pg_export_snapshot(), now()")
        snapshot, moment = cursor.fetchone()
        address, environment = programs.connecting()
        dumping = subprocess.Popen(
            [
                program,
                f"--dbname={address}",
                f"--snapshot={snapshot}",
                "--format=custom",
                f"--file={folder / contents.DATABASE}",
                "--enable-row-security",
                # Owners, rights and roles are the other server's own matter; `migrate` makes what we need of them.
                "--no-owner",
                "--no-privileges",
                "--no-comments",
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            manifest = Manifest(
                form=contents.FORM,
                version=settings.VERSION,
                taken_at=moment.astimezone(UTC).isoformat(timespec="seconds"),
                program=version,
                server=programs.server_version(),
                migrations=sorted(".".join(key) for key in MigrationRecorder(connection).applied_migrations()),
                keys=contents.fingerprints(settings.ENCRYPTION_KEYS),
                tables=contents.table_sums(),
                with_files=with_files,
            )
            with open(folder / _LIST, "w") as todo:
                for batch in blobs.owned():
                    for owned in batch:
                        manifest.blobs += 1
                        manifest.bytes += owned.bytes
                        todo.write(json.dumps([owned.blob, owned.bytes, owned.sha256]) + "\n")
        except BaseException:
            dumping.kill()
            raise
        finally:
            _, said = dumping.communicate()
        if dumping.returncode:
            raise CannotBackUp(f"pg_dump could not dump the database. It said: {said.strip()}")
    tell(f"database: {(folder / contents.DATABASE).stat().st_size:,} bytes, {_rows(manifest):,} rows")
    return manifest


def _rows(manifest: Manifest) -> int:
    return sum(rows for rows, _ in manifest.tables.values())


def _todo(folder: Path) -> Iterator[list[Owned]]:
    with open(folder / _LIST) as lines:
        while batch := [Owned(*json.loads(line)) for line in islice(lines, _BATCH)]:
            yield batch


def _copy_files(folder: Path, manifest: Manifest, sums: TextIO, threads: int, tell: Callable[[str], None]) -> None:
    target: Any = LocalBlobs(location=folder / contents.FILES)
    done = 0
    with ThreadPoolExecutor(threads, "backup") as pool:
        for batch in _todo(folder):
            results = pool.map(partial(moving.bring, source=storage.blobs(), target=target), batch)
            for owned, result in zip(batch, results, strict=True):
                if result.end is moving.End.FAILED:
                    raise CannotBackUp(f"The file storage failed, and the backup is not whole. {result.why}")
                if result.end in moving.BAD:
                    manifest.missing.append(owned.blob)
                    tell(f"{owned.blob}: {'missing' if result.end is moving.End.MISSING else result.end}. {result.why}")
                    continue
                done += owned.bytes
                sums.write(f"{result.sha256}  {contents.FILES}/{owned.blob}\n")
            tell(f"files: {done:,} of {manifest.bytes:,} bytes")


def _copy_secrets(folder: Path) -> None:
    """The file of generated secrets. What is given in the environment is not written anywhere by us."""
    with open(settings.VAR_DIR / contents.SECRETS, "rb") as secrets, open(folder / contents.SECRETS, "xb") as copy:
        shutil.copyfileobj(secrets, copy)
