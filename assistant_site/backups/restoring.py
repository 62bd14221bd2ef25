"""Restores a backup into an empty installation, and says whether it became what it was.

Files first, then secrets, then the database in one transaction: an end in the middle leaves an empty database, and the
same command goes on.
"""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from assistant_site.backups import contents, programs
from assistant_site.backups.contents import CannotRestore, Manifest
from assistant_site.db import walls
from assistant_site.secrets import kept_in
from files import moving, storage
from files.blobs import Owned
from files.local import LocalBlobs

_BATCH = 500


def restore(
    folder: Path,
    *,
    without_keys: bool = False,
    programs_in: Path | None = None,
    threads: int = 4,
    tell: Callable[[str], None] = lambda _: None,
) -> Manifest:
    """Puts what is in the backup into this installation, which must be empty. Raises CannotRestore.

    `without_keys`: although nobody has the keys any more that the providers' keys in the backup are encrypted with.
    """
    manifest = Manifest.read(folder)
    contents.check(folder, [contents.DATABASE, contents.MANIFEST])
    _refuse_newer(manifest)
    _refuse_unless_empty()
    try:
        # An older pg_restore does not read what a newer pg_dump wrote.
        program, _ = programs.found(
            "pg_restore", least=max(manifest.program, programs.server_version()), folder=programs_in
        )
    except programs.NoProgram as problem:
        raise CannotRestore(str(problem)) from None
    secrets = _secrets(folder, manifest, without_keys=without_keys)
    if manifest.with_files:
        _restore_files(folder, manifest, threads, tell)
    if secrets is not None:
        _put_secrets(secrets, tell)
    _restore_database(folder, program)
    tell("database: restored")
    walls.make_sure()  # an owner who is no superuser sees nothing before
    _compare(manifest)
    tell(f"database: {len(manifest.tables)} tables have the rows that they had")
    call_command("migrate", verbosity=0, interactive=False)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    if warning := walls.problem():
        tell(warning)
    return manifest


def _refuse_newer(manifest: Manifest) -> None:
    loader = MigrationLoader(None)
    replaced = [key for migration in loader.replacements.values() for key in migration.replaces]
    known = {".".join(key) for key in [*loader.disk_migrations, *replaced]}
    present = {name.partition(".")[0] for name in known}  # apps that are not installed any more do not count
    for name in manifest.migrations:
        if name not in known and name.partition(".")[0] in present:
            raise CannotRestore(
                f"The backup was taken by a newer Holdfast ({manifest.version}): this one does not know the migration "
                f"{name}. Restore it with that version or a later one."
            )


def _refuse_unless_empty() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace "
            "AND relkind IN ('r', 'p', 'v', 'S') AND NOT EXISTS "
            "(SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e') LIMIT 1"
        )
        if cursor.fetchone() is None:
            return
    how = (
        "Set HOLDFAST_VAR to a new folder"
        if settings.EMBEDDED_DATABASE
        else "Make an empty one (createdb) and name it in DATABASE_URL"
    )
    raise CannotRestore(f"The database is not empty, and nothing in it is overwritten. {how}, and restore there.")


def _secrets(folder: Path, manifest: Manifest, *, without_keys: bool) -> dict[str, str] | None:
    """The backup's generated secrets, if they are to be ours; None if what we have is enough."""
    needed = set(manifest.keys)
    if needed <= set(contents.fingerprints(settings.ENCRYPTION_KEYS)):
        return None
    own = kept_in(settings.VAR_DIR)
    if [own["encryption_key"]] == settings.ENCRYPTION_KEYS and (folder / contents.SECRETS).is_file():
        contents.check(folder, [contents.SECRETS])
        theirs = dict(json.loads((folder / contents.SECRETS).read_text()))
        if needed <= set(contents.fingerprints([theirs["encryption_key"]])):
            # The database's password is the one that the embedded PostgreSQL was made with here.
            return theirs | {"database_password": own["database_password"]}
    if without_keys:
        return None
    raise CannotRestore(
        "The backup's secrets are encrypted with keys that are not here. Set ENCRYPTION_KEYS to what it was in the "
        "installation of the backup (or put these keys behind your own), or say --without-keys: then the keys of "
        "providers and the secrets of actions have to be entered again."
    )


def _put_secrets(secrets: dict[str, str], tell: Callable[[str], None]) -> None:
    file = settings.VAR_DIR / contents.SECRETS
    kept = file.with_name(f"secrets.before-{datetime.now(UTC):%Y%m%dT%H%M%S}.json")
    draft = file.with_name(f"secrets.{os.getpid()}.tmp")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        json.dump(secrets, out)
    os.link(file, kept)
    draft.rename(file)
    tell(f"secrets: restored; those that were here are in {kept}")


def _restore_files(folder: Path, manifest: Manifest, threads: int, tell: Callable[[str], None]) -> None:
    place = folder / contents.FILES
    source: Any = LocalBlobs(location=place)
    prefix = f"{contents.FILES}/"
    done = 0

    def owned() -> Iterator[Owned]:
        for name, sha256 in contents.sums(folder):
            if name.startswith(prefix):
                path = folder / name
                yield Owned(name.removeprefix(prefix), path.stat().st_size if path.is_file() else -1, sha256)

    todo = owned()
    with ThreadPoolExecutor(threads, "restore") as pool:
        while batch := list(islice(todo, _BATCH)):
            results = pool.map(partial(moving.bring, source=source, target=storage.blobs()), batch)
            for each, result in zip(batch, results, strict=True):
                if result.end is moving.End.FAILED:
                    raise CannotRestore(f"{result.why} Then start again: the database is still empty.")
                if result.end in moving.BAD:
                    raise CannotRestore(
                        f"{place / each.blob} is missing or damaged. Use another copy of the backup, or, to do without "
                        f"this file, take its line out of {contents.SUMS}."
                    )
                done += each.bytes
            tell(f"files: {done:,} of {manifest.bytes:,} bytes")


def _restore_database(folder: Path, program: Path) -> None:
    """In one transaction, without the policies for the owner who was: `migrate` makes those for the present one."""
    dump = folder / contents.DATABASE
    listed = subprocess.run([program, "--list", dump], capture_output=True, text=True, check=False)
    if listed.returncode:
        raise CannotRestore(f"pg_restore cannot read {dump}. It said: {listed.stderr.strip()}")
    entries = [
        line for line in listed.stdout.splitlines() if not (" POLICY " in line and f" {walls.OF_OWNER} " in line)
    ]
    address, environment = programs.connecting()
    with (
        tempfile.NamedTemporaryFile("w", prefix="holdfast-restore-") as list_file,
        tempfile.TemporaryFile() as said,
    ):
        list_file.write("\n".join(entries) + "\n")
        list_file.flush()
        reading = subprocess.Popen(
            [program, "--file=-", f"--use-list={list_file.name}", "--no-owner", "--no-privileges", dump],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
        )
        writing = subprocess.Popen(
            [
                program.with_name("psql"),
                f"--dbname={address}",
                "--no-psqlrc",
                "--quiet",
                "--set=ON_ERROR_STOP=1",
            ],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        with writing, reading:
            assert reading.stdout is not None
            assert writing.stdin is not None
            # Not psql's --single-transaction: it would take the end of what it reads, if we were killed, for the end of
            # the script, and commit the half.
            with contextlib.suppress(BrokenPipeError):  # psql has ended, and said why
                writing.stdin.write(b"BEGIN;\n")
                _pass_on(reading.stdout, writing.stdin)
                if reading.wait() == 0:
                    writing.stdin.write(b"COMMIT;\n")
            reading.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                writing.stdin.close()
        if reading.returncode or writing.returncode:
            said.seek(0)
            words = said.read().decode(errors="replace").strip()
            raise CannotRestore(f"The database could not be restored, and is empty still. PostgreSQL said: {words}")


def _pass_on(script: IO[bytes], to: IO[bytes]) -> None:
    """Without a setting that servers older than 17 do not know, and newer pg_restores make."""
    for line in script:
        if not line.startswith(b"SET transaction_timeout"):
            to.write(line)
        if line.startswith((b"CREATE ", b"COPY ")):  # from here on lines may be people's
            break
    shutil.copyfileobj(script, to, 1024 * 1024)


def _compare(manifest: Manifest) -> None:
    present = contents.table_sums()
    if present != manifest.tables:
        differ = sorted(
            name for name in present.keys() | manifest.tables.keys() if present.get(name) != manifest.tables.get(name)
        )
        raise CannotRestore(
            f"The database was restored, but has not what it had in: {', '.join(differ)}. Do not use it; keep the "
            "backup, and report this."
        )
