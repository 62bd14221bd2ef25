"""Backups as an operator takes and restores them: `manage.py backup` and `restore`, on servers of one's own."""

import json
import os
import secrets
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from assistant_site.backups import programs
from assistant_site.db.locks import Kind
from assistant_site.embedded.services import Services
from assistant_site.tests.callers import LocalCaller
from files import actions, blobs
from files.models import File, UnclaimedBlob

PROJECT = Path(__file__).resolve().parents[3]


@dataclass
class Installation:
    """One on a database and a folder of its own."""

    var: Path
    database_url: str

    def python(self, *programs: str, **values: str) -> Any:
        """What the programs call `answer` at last; they know `manage`, which says what a command has said."""
        known = "".join(f"{name} = {value!r}\n" for name, value in values.items())
        own = {"HOLDFAST_VAR": str(self.var), "DATABASE_URL": self.database_url, "REDIS_URL": settings.VALKEY_URL}
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "-v0", "-c", "".join([known, MANAGE, *programs, ANSWER])],
            cwd=PROJECT,
            env=os.environ | own,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def new_installation(embedded_servers: Services, tmp_path: Path) -> Iterator[Any]:
    """Makes installations, each with an empty database that a login without any special right owns."""
    made: list[str] = []
    host = quote(str(settings.EMBEDDED_SOCKET_DIR), safe="")

    def make() -> Installation:
        name = f"backup_{secrets.token_hex(4)}"
        administer(
            f"CREATE ROLE {name} LOGIN PASSWORD 'hush-{name}'",
            f"CREATE DATABASE {name} OWNER {name}",
            "DO $$ BEGIN CREATE ROLE holdfast_app NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
            f"GRANT holdfast_app TO {name}",
        )
        made.append(name)
        return Installation(tmp_path / name, f"postgres://{name}:hush-{name}@{host}/{name}")

    def administer(*statements: str) -> None:
        with psycopg.connect(**login(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    yield make
    for name in made:
        administer(f"DROP DATABASE {name} WITH (FORCE)", f"DROP ROLE {name}")


def login() -> dict[str, Any]:
    """As who owns the test database."""
    known = connection.get_connection_params()
    return {name: known[name] for name in ("dbname", "user", "password", "host")}


MANAGE = """
import io, json, pathlib
from django.conf import settings
from django.db import connection
from django.core.management import CommandError, call_command
def manage(*words):
    out = io.StringIO()
    try:
        call_command(*words, stdout=out, stderr=out)
    except (CommandError, SystemExit) as ended:
        out.write(f"ended: {ended}")
    return out.getvalue()
"""
ANSWER = """
print(json.dumps(answer))
"""
FILL = """
from files import actions
from tenants.actions import ensure_tenant
from tenants.models import Provider
manage("migrate", "-v0")
for name in ("Alice", "Bob"):
    tenant = ensure_tenant(name)
    for number in range(3):
        actions.create_file(tenant=tenant, filename=f"{number}", purpose="assistants", pieces=[name.encode() * 1000])
    provider = Provider(tenant=tenant, name="p", base_url="https://model.example.com/v1")
    provider.set_api_key(f"sk-{name}")
    provider.save()
"""
READ = """
from assistant_site.backups import contents
from assistant_site.db import walls
from files import storage
from files.models import File
from tenants.models import Provider
found = {"keys": {}, "files": [], "walls": walls.problem(), "tables": contents.table_sums()}
for provider in Provider.objects.all():
    found["keys"][provider.tenant.name] = provider.api_key
for file in File.objects.across_tenants().order_by("pk"):
    with storage.opened(file.blob) as content:
        found["files"].append(content.read().decode())
del found["tables"]["auth_group_permissions"]  # each `migrate` looks after these
"""


@pytest.mark.slow
def test_a_backup_becomes_what_it_was_under_another_owner(new_installation: Any, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    one, two, three = (new_installation() for _ in range(3))
    take = "said = [manage('backup', folder), manage('backup', folder)]\nanswer = [found, said]"
    before, said = one.python(FILL, READ, take, folder=str(folder))
    assert before["keys"] == {"Alice": "sk-Alice", "Bob": "sk-Bob"}
    assert sorted(before["files"]) == sorted([name * 1000 for name in ("Alice", "Bob")] * 3)
    assert "is whole" in said[0]
    assert "is not empty, and nothing in it is overwritten" in said[1]
    for path in [folder, *folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
        assert path.is_dir() or b"hush-" not in path.read_bytes()
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)

    restore = "said = [manage('restore', folder), manage('restore', folder)]\n"
    said = two.python(restore, "answer = said", folder=str(folder))
    assert "Restored as of" in said[0]
    assert "The database is not empty" in said[1]
    # The keys in `secrets.json` are read at a start.
    assert two.python(READ, "answer = found") == before
    mine, theirs = (json.loads((each.var / "secrets.json").read_text()) for each in (two, one))
    assert (mine["encryption_key"], mine["secret_key"]) == (theirs["encryption_key"], theirs["secret_key"])
    assert mine["database_password"] != theirs["database_password"]

    # A file that is missing does not keep the rest from being saved.
    next(path for path in (one.var / "files").rglob("*") if path.is_file()).unlink()
    assert "1 files are missing" in one.python("answer = manage('backup', folder)", folder=str(tmp_path / "lacking"))
    answer = three.python(SPOILING, "answer = said", folder=str(folder), lacking=str(tmp_path / "lacking"))
    for expected, line in zip(REFUSALS, answer, strict=True):
        assert expected in line


# What is damaged or does not fit is refused before the database is touched, so that at last a good one is taken.
SPOILING = """
from assistant_site.backups.contents import sha256_of
said = []
folder = pathlib.Path(folder)
def attempt(of=folder):
    said.append(manage("restore", str(of)))
def relabel():
    sums = folder / "SHA256SUMS"
    lines = [line for line in sums.read_text().splitlines() if not line.endswith("manifest.json")]
    sums.write_text("\\n".join([*lines, sha256_of(folder / "manifest.json") + "  manifest.json"]) + "\\n")
keys, settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS, ["b" * 43 + "="]
attempt()
settings.ENCRYPTION_KEYS = keys
blob = next(path for path in (folder / "files").rglob("*") if path.is_file())
whole = blob.read_bytes()
blob.write_bytes(b"x" + whole[1:])
attempt()
blob.write_bytes(whole)
manifest = folder / "manifest.json"
known = manifest.read_text()
manifest.write_text(known.replace('"files.0001', '"files.9999'))
attempt()
relabel()
attempt()
manifest.write_text(known)
relabel()
(folder / "SHA256SUMS").rename(folder / "SHA256SUMS.part")
attempt()
(folder / "SHA256SUMS.part").rename(folder / "SHA256SUMS")
from assistant_site.backups import restoring
whole = restoring._pass_on
class Lost(BaseException):
    pass
def half(script, to):
    for _ in range(3000):
        to.write(script.readline())
    raise Lost
restoring._pass_on = half
try:
    attempt(lacking)
except Lost:
    pass
restoring._pass_on = whole
# As the next start would: the secrets are there already.
settings.ENCRYPTION_KEYS = [json.loads((settings.VAR_DIR / "secrets.json").read_text())["encryption_key"]]
attempt(lacking)
"""
REFUSALS = (
    "Set ENCRYPTION_KEYS to what it was",
    "is missing or damaged. Use another copy of the backup",
    "manifest.json is missing or damaged",
    "taken by a newer Holdfast",
    "is no whole backup",
    "1 files were missing already",
)


def test_while_a_backup_is_taken_nothing_is_removed(alice: LocalCaller) -> None:
    id = alice.upload("a.txt", b"a")
    blob = File.objects.of(alice.tenant).get(pk=id).blob
    folder = Path(settings.FILES_DIR)
    # As another process: a lock does not stop the session that has it.
    with psycopg.connect(**login()) as other:
        for name in ("backup", "removal"):
            other.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", [Kind.BLOBS.value, name])
        assert alice.delete(f"files/{id}").status == 200
        assert alice.get(f"files/{id}/content").status == 404
        assert (folder / blob).exists()
        with blobs.kept() as is_alone:
            assert not is_alone
        UnclaimedBlob.objects.update(remove_at="2020-01-01T00:00Z")
        assert actions.forget_expired() == 0
        assert (folder / blob).exists()
        other.execute("SELECT pg_advisory_unlock_all()")  # the server may notice later that the session has ended
    UnclaimedBlob.objects.update(remove_at="2020-01-01T00:00Z")
    assert actions.forget_expired() == 1
    assert not (folder / blob).exists()


def test_a_program_that_is_too_old_is_told_of(db: None, tmp_path: Path) -> None:
    old = tmp_path / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.1'\n")
    old.chmod(0o700)
    with pytest.raises(programs.NoProgram, match=r"of PostgreSQL 18 or newer is needed; .*is of version 9"):
        programs.found("pg_dump", least=18, folder=tmp_path)
    program, version = programs.found("pg_dump", least=programs.server_version())
    assert version >= 18
    assert program.is_file()
