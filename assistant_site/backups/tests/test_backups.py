"""Backups as an operator takes and restores them: `manage.py backup` and `restore`, on servers of one's own."""

import json
import os
import secrets
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from django.conf import settings

from assistant_site.backups import contents, programs
from assistant_site.embedded.services import Services
from assistant_site.tests.callers import LocalCaller
from files import actions, blobs
from files.models import File, UnclaimedBlob

PROJECT = Path(__file__).resolve().parents[3]


@dataclass
class Installation:
    """One on a database and a folder of its own, of which only commands are run. `keys`: its ENCRYPTION_KEYS."""

    var: Path
    database_url: str
    more: dict[str, str] = field(default_factory=dict)

    def manage(self, *arguments: str, code: int = 0) -> str:
        """What the command said, which ended with this code."""
        own = {"HOLDFAST_VAR": str(self.var), "DATABASE_URL": self.database_url, "REDIS_URL": settings.VALKEY_URL}
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT,
            env=os.environ | own | self.more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout
        assert "Traceback" not in done.stdout
        return done.stdout

    def python(self, *lines: str) -> str:
        return self.manage("shell", "-v0", "-c", "\n".join(lines)).strip()


@pytest.fixture
def new_installation(embedded_servers: Services, tmp_path: Path) -> Iterator[Any]:
    """Makes installations, each with an empty database that a login without any special right owns."""
    made: list[str] = []
    password = quote(settings.EMBEDDED_DATABASE_PASSWORD, safe="")
    host = quote(str(settings.EMBEDDED_SOCKET_DIR), safe="")

    def make(**more: str) -> Installation:
        name = f"backup_{secrets.token_hex(4)}"
        with admin() as cursor:
            cursor.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'hush-{name}'")
            cursor.execute(f"CREATE DATABASE {name} OWNER {name}")
            cursor.execute(
                "DO $$ BEGIN CREATE ROLE holdfast_app NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
            )
            cursor.execute(f"GRANT holdfast_app TO {name}")
        made.append(name)
        return Installation(tmp_path / name, f"postgres://{name}:hush-{name}@{host}/{name}", dict(more))

    def admin() -> psycopg.Cursor[Any]:
        address = f"postgresql://holdfast:{password}@{host}/holdfast"
        return psycopg.connect(address, autocommit=True).cursor()

    yield make
    with admin() as cursor:
        for name in made:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
            cursor.execute(f"DROP ROLE {name}")


FILL = """
import json
from files import actions
from tenants.actions import ensure_tenant, issue_token
from tenants.models import Provider
from assistant_site.db import scope
found = {}
for name in ("Alice", "Bob"):
    tenant = ensure_tenant(name)
    found[name] = issue_token(tenant=tenant, name="t")[1]
    for number in range(3):
        actions.create_file(tenant=tenant, filename=f"{number}", purpose="assistants", pieces=[name.encode() * 1000])
    Provider.objects.create(tenant=tenant, name="p", base_url="https://model.example.com/v1", api_key=f"sk-{name}")
print(json.dumps(found))
"""
READ = """
import json
from files import storage
from files.models import File
from tenants import auth
from tenants.models import ApiToken, Provider
found = {"keys": {}, "files": [], "walls": ""}
for provider in Provider.objects.across_tenants().order_by("api_key_hint") if hasattr(Provider.objects, "across_tenants") \
    else Provider.objects.all():
    found["keys"][provider.tenant.name] = provider.api_key
for file in File.objects.across_tenants().order_by("pk"):
    with storage.opened(file.blob) as content:
        found["files"].append(content.read().decode())
from assistant_site.db import walls
found["walls"] = walls.problem()
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_backup_becomes_what_it_was_under_another_owner(new_installation: Any, tmp_path: Path) -> None:
    one = new_installation()
    one.manage("migrate", "-v0")
    one.python(FILL)
    before = json.loads(one.python(READ))
    folder = tmp_path / "backup"
    said = one.manage("backup", str(folder))
    assert "is whole" in said
    for path in [folder, *folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    for file in folder.rglob("*"):
        if file.name != "secrets.json" and file.is_file():
            assert b"hush" not in file.read_bytes()
    assert "is not empty, and nothing in it is overwritten" in one.manage("backup", str(folder), code=1)

    two = new_installation()
    said = two.manage("restore", str(folder))
    assert "Restored as of" in said
    assert json.loads(two.python(READ)) == before
    assert before["keys"] == {"Alice": "sk-Alice", "Bob": "sk-Bob"}
    assert sorted(before["files"]) == sorted([name * 1000 for name in ("Alice", "Bob")] * 3)
    assert (
        json.loads((two.var / "secrets.json").read_text())["encryption_key"]
        == (json.loads((one.var / "secrets.json").read_text())["encryption_key"])
    )
    assert "The database is not empty" in two.manage("restore", str(folder), code=1)
    again = tmp_path / "again"
    two.manage("backup", str(again))
    first, second = contents.Manifest.read(folder), contents.Manifest.read(again)
    # `migrate` looks after the permissions that Django derives of the models; nothing else has changed.
    assert second.tables == first.tables

    # What is damaged or does not fit is refused before anything is written.
    three = new_installation(ENCRYPTION_KEYS="b" * 43 + "=")
    refused = three.manage("restore", str(folder), code=1)
    assert "Set ENCRYPTION_KEYS to what it was" in refused
    blob = next(path for path in (folder / "files").rglob("*") if path.is_file())
    whole = blob.read_bytes()
    blob.write_bytes(b"x" + whole[1:])
    three.more.clear()
    assert f"{blob} is missing or damaged" in three.manage("restore", str(folder), code=1)
    blob.write_bytes(whole)
    manifest = folder / "manifest.json"
    known = manifest.read_text()
    manifest.write_text(known.replace('"files.0001', '"files.9999'))
    assert "manifest.json is missing or damaged" in three.manage("restore", str(folder), code=1)
    relabel(folder)
    assert "taken by a newer Holdfast" in three.manage("restore", str(folder), code=1)
    manifest.write_text(known)
    relabel(folder)
    (folder / "SHA256SUMS").rename(folder / "SHA256SUMS.part")
    assert "is no whole backup" in three.manage("restore", str(folder), code=1)
    (folder / "SHA256SUMS.part").rename(folder / "SHA256SUMS")
    shutil.rmtree(one.var)
    three.manage("restore", str(folder))
    assert json.loads(three.python(READ)) == before


def relabel(folder: Path) -> None:
    """Gives the manifest the checksum that it has now."""
    sums = folder / "SHA256SUMS"
    lines = [line for line in sums.read_text().splitlines() if not line.endswith("manifest.json")]
    lines.append(f"{contents.sha256_of(folder / 'manifest.json')}  manifest.json")
    sums.write_text("\n".join(lines) + "\n")


@pytest.mark.slow
def test_a_file_that_is_missing_does_not_keep_the_rest_from_being_saved(new_installation: Any, tmp_path: Path) -> None:
    one, two = new_installation(), new_installation()
    one.manage("migrate", "-v0")
    one.python(FILL)
    lost = next(path for path in (one.var / "files").rglob("*") if path.is_file())
    lost.unlink()
    assert "1 files are missing" in one.manage("backup", str(tmp_path / "backup"), code=1)
    assert "1 files were missing already" in two.manage("restore", str(tmp_path / "backup"))
    assert sum(path.is_file() for path in (two.var / "files").rglob("*")) == 5


def test_while_a_backup_is_taken_nothing_is_removed(alice: LocalCaller) -> None:
    id = alice.upload("a.txt", b"a")
    blob = File.objects.of(alice.tenant).get(pk=id).blob
    folder = Path(settings.FILES_DIR)
    # As another process: a lock does not stop the session that has it.
    with psycopg.connect(**owner()) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, 0), pg_advisory_lock(%s, 1)", [blobs._REMOVAL] * 2)
        assert alice.delete(f"files/{id}").status == 200
        assert alice.get(f"files/{id}/content").status == 404
        assert (folder / blob).exists()
        with blobs.kept() as is_alone:
            assert not is_alone
        UnclaimedBlob.objects.update(remove_at="2020-01-01T00:00Z")
        assert actions.forget_expired() == 0
        assert (folder / blob).exists()
    UnclaimedBlob.objects.update(remove_at="2020-01-01T00:00Z")
    assert actions.forget_expired() == 1
    assert not (folder / blob).exists()


def owner() -> dict[str, Any]:
    from django.db import connection

    known = connection.get_connection_params()
    return {name: known[name] for name in ("dbname", "user", "password", "host")}


def test_a_program_that_is_too_old_is_told_of(db: None, tmp_path: Path) -> None:
    old = tmp_path / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.1'\n")
    old.chmod(0o700)
    with pytest.raises(programs.NoProgram, match=r"of PostgreSQL 18 or newer is needed; .*is of version 9"):
        programs.found("pg_dump", least=18, folder=tmp_path)
    program, version = programs.found("pg_dump", least=programs.server_version())
    assert version >= 18
    assert program.is_file()
