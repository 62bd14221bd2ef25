"""What the doctor says of an installation that is well, and of each thing that can be wrong with it."""

import io
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import connection, connections
from django.utils import timezone

from assistant_site import valkey
from assistant_site.doctor import database, examination, machine, processes, services
from assistant_site.doctor.findings import Finding, State
from assistant_site.embedded import first_start
from assistant_site.llm.tests.quirk_server import QuirkServer, answering, refusing
from assistant_site.operating import dashboard
from assistant_site.tests.callers import LocalCaller
from assistant_site.tests.stack import Stack, free_port
from files import storage
from files.local import LocalBlobs
from runs.models import Run
from runs.workers import ALIVE_KEY
from tenants.models import Provider
from vector_stores.tasks import ALIVE_KEY as INGESTION_ALIVE_KEY

PROJECT = Path(__file__).resolve().parents[3]


def told(findings: Iterable[Finding], state: State) -> str:
    return "\n".join(str(each) for each in findings if each.state == state)


# --- A whole installation ---------------------------------------------------------------------------------------------


def test_of_a_running_installation_it_finds_each_part_well(live: Stack) -> None:
    out = io.StringIO()
    with pytest.raises(SystemExit) as ended:  # the tests' PostgreSQL is fast instead of safe
        call_command("doctor", json=True, url=live.url, stdout=out)
    assert ended.value.code == 1
    examined = json.loads(out.getvalue())
    assert examined["state"] == "wrong"
    wrong = {each["part"]: each["told"] for each in examined["findings"] if each["state"] == "wrong"}
    assert "fsync is off" in wrong["postgresql"]
    assert wrong.keys() <= {"postgresql", "models", "work", "encryption"}  # what other tests have left in the rows
    parts = {each["part"] for each in examined["findings"] if each["state"] == "well"}
    assert parts >= {"storage", "connections", "clock", "pgvector", "tables", "walls", "valkey", "web", "workers"}


@pytest.mark.slow
def test_where_nothing_runs_it_says_so_and_how_to_start_it(tmp_path: Path) -> None:
    given = {"HOLDFAST_VAR": str(tmp_path), "PORT": str(free_port()), "LOG_LEVEL": "error"}
    examined = subprocess.run(
        [sys.executable, "manage.py", "doctor"], env=os.environ | given, cwd=PROJECT, capture_output=True, text=True
    )
    assert examined.returncode == 1
    assert examined.stderr == ""
    lines = examined.stdout.splitlines()
    wrong = {line.split()[1]: line for line in lines if line.startswith("wrong")}
    assert set(wrong) == {"postgresql", "valkey", "web"}
    assert all("make run" in line for line in wrong.values())
    assert any("Not looked at without its tables" in line for line in lines)


def test_a_look_that_breaks_ends_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks() -> Iterable[Finding]:
        raise ValueError("no\nsecret line")

    monkeypatch.setattr(machine, "look_at_settings", breaks)
    found = examination.examine()
    first = next(found)
    assert first.state == State.WRONG
    assert first.told == "This could not be looked at: ValueError: no"
    assert next(found).part == "secrets"


# --- This machine -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "state", "words"),
    [
        ({"DEBUG": True}, State.WRONG, "Remove DEBUG"),
        ({"AUTH_ENABLED": False}, State.WARNING, "AUTH_ENABLED is off"),
        ({"AUTH_ENABLED": False, "HOST": "0.0.0.0"}, State.WRONG, "AUTH_ENABLED is off"),
        ({"HOST": "0.0.0.0", "ALLOWED_HOSTS": ["*"]}, State.WARNING, "ALLOWED_HOSTS is *"),
        ({"HOST": "10.1.2.3", "ALLOWED_HOSTS": ["a.example"]}, State.WARNING, "in clear"),
        ({"CSRF_TRUSTED_ORIGINS": ["https://a.example"]}, State.WARNING, "set TRUST_PROXY_HEADERS=true"),
    ],
)
def test_settings_that_harm(settings: Any, given: dict[str, Any], state: State, words: str) -> None:
    assert "unsafe" in told(machine.look_at_settings(), State.WELL)
    for name, value in given.items():
        setattr(settings, name, value)
    assert words in told(machine.look_at_settings(), state)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"SECRET_KEY": "short"}, "SECRET_KEY is easy to guess"),
        ({"SECRET_KEY": "ab" * 40}, "SECRET_KEY is easy to guess"),
        ({"ENCRYPTION_KEYS": [Fernet.generate_key().decode(), "nonsense"]}, "Key 2 of ENCRYPTION_KEYS"),
        ({"ADMIN_TOKEN": "1" * 20}, "ADMIN_TOKEN is easy to guess"),
        ({"ADMIN_TOKEN": "abcdefghijklmnop", "METRICS_TOKEN": "abcdefghijklmnop"}, "not all different"),
    ],
)
def test_secrets_that_are_weak_are_named_and_not_shown(settings: Any, given: dict[str, Any], words: str) -> None:
    for name, value in given.items():
        setattr(settings, name, value)
    found = told(machine.look_at_secrets(), State.WRONG)
    assert words in found
    assert "nonsense" not in found


def test_secrets_that_others_may_read(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path
    file = tmp_path / "secrets.json"
    file.write_text("{}")
    file.chmod(0o600)
    assert told(machine.look_at_secrets(), State.WRONG) == ""
    file.chmod(0o640)
    assert f"chmod 600 {file}" in told(machine.look_at_secrets(), State.WRONG)


def test_a_disk_that_fills_is_told_before_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    for free, state in ((10**9, State.WARNING), (10**8, State.WRONG), (10**12, State.WELL)):
        monkeypatch.setattr(machine, "disk_usage", lambda folder, free=free: Mock(free=free))
        assert "GB are free" in told(machine.look_at_disks(), state)


def test_few_open_files_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (1024, 524288))
    assert "1,024 files" in told(machine.look_at_limits(), State.WARNING)


def test_a_storage_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_the_way = tmp_path / "files"
    in_the_way.write_text("no folder")
    monkeypatch.setattr(storage, "blobs", lambda: LocalBlobs(location=in_the_way))
    assert "check the disk and FILES_DIR" in told(machine.look_at_storage(), State.WRONG)


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


def test_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_start, "database_problem", lambda: "PostgreSQL does not answer.")
    assert "PostgreSQL does not answer." in told(database.look_whether_it_answers(), State.WRONG)


def test_migrations_that_are_missing_and_ones_that_are_unknown(db: None) -> None:
    assert "All migrations" in told(database.look_at_tables(), State.WELL)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('runs', '9999_later', now())")
    assert "runs.9999_later is unknown here" in told(database.look_at_tables(), State.WARNING)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'erasure' OR name = '9999_later'")
        cursor.execute("DELETE FROM django_migrations WHERE app = 'runs' AND name LIKE '0011%%'")
    assert "manage.py migrate" in told(database.look_at_tables(), State.WRONG)


def test_a_table_without_its_wall(alice: LocalCaller) -> None:
    assert "Row-level security holds" in told(database.look_at_walls(), State.WELL)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE threads_message DISABLE ROW LEVEL SECURITY")
    assert "Without row-level security: threads_message." in told(database.look_at_walls(), State.WRONG)


def test_a_wall_that_lets_everybody_through(alice: LocalCaller) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE POLICY open ON tenants_tenant USING (true)")
    assert "is shown tenants' rows" in told(database.look_at_walls(), State.WRONG)


def test_a_pooler_that_shares_sessions(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(database.look_at_connections(), State.WRONG) == ""

    class Shared:
        cursor = connection.cursor

        def close(self) -> None: ...

    monkeypatch.setattr(connections["default"], "copy", Shared)
    assert "pool_mode = session" in told(database.look_at_connections(), State.WRONG)


def test_a_clock_that_goes_wrong(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    assert "0.0 s apart" in told(database.look_at_clocks(), State.WELL)
    monkeypatch.setattr(time, "time", lambda: now() - 90)
    assert "90.0 s apart" in told(database.look_at_clocks(), State.WRONG)


def test_a_stored_secret_that_no_key_fits(db: None, settings: Any) -> None:
    kept = Provider(name="lost", base_url="http://127.0.0.1:1/v1")
    kept.set_api_key("sk-lost")
    kept.save()
    first, other = settings.ENCRYPTION_KEYS[0], Fernet.generate_key().decode()
    assert told(database.look_at_stored_secrets(), State.WRONG) == ""
    settings.ENCRYPTION_KEYS = [other, first]
    assert "1 with an older key" in told(database.look_at_stored_secrets(), State.WELL)
    settings.ENCRYPTION_KEYS = [other]
    assert f"tenants.Provider.encrypted_key {kept.pk}" in told(database.look_at_stored_secrets(), State.WRONG)


def test_runs_that_wait_and_runs_that_nobody_takes_up(alice: LocalCaller) -> None:
    assert "Nothing waits" in told(database.look_at_work(), State.WELL)
    alice.post(f"threads/{alice.thread('Hello')}/runs", {"assistant_id": alice.assistant()})
    before = timezone.now() - timedelta(minutes=5)
    Run.objects.across_tenants().update(queued_at=before)
    assert "1 runs have been queued" in told(database.look_at_work(), State.WARNING)
    Run.objects.across_tenants().update(status="in_progress", lease_until=before)
    assert "held by workers that have gone silent" in told(database.look_at_work(), State.WRONG)


# --- Processes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("info", "state", "words"),
    [
        ({}, State.WELL, "Valkey answers, version 9"),
        ({"maxmemory": 100, "used_memory": 50, "maxmemory_policy": "allkeys-lru"}, State.WRONG, "noeviction"),
        ({"maxmemory_policy": "allkeys-lru"}, State.WARNING, "noeviction"),
        ({"maxmemory": 2**30, "used_memory": 2**30}, State.WRONG, "1,024 of its 1,024 MB"),
        ({"role": "slave"}, State.WRONG, "replica"),
        ({"rdb_last_bgsave_status": "err"}, State.WRONG, "cannot write to its disk"),
    ],
)
def test_valkey_as_it_should_not_be(
    monkeypatch: pytest.MonkeyPatch, info: dict[str, Any], state: State, words: str
) -> None:
    real = valkey.blocking().info()
    monkeypatch.setattr(type(valkey.blocking()), "info", lambda self: real | info)
    found = list(processes.look_at_valkey())
    assert words in told(found, state)
    assert {each.state for each in found} == {State.WELL, state}


def test_a_web_process_that_is_away_or_another_program() -> None:
    assert "No web process answers" in told(processes.look_at_web(f"http://127.0.0.1:{free_port()}"), State.WRONG)
    with QuirkServer(answering({"hello": "world"}), refusing(503)) as other:
        url = other.base_url.removesuffix("/v1")
        assert "not as Holdfast does" in told(processes.look_at_web(url), State.WRONG)


def test_a_web_process_that_is_not_ready_says_what_it_misses() -> None:
    lacks = {"status": "not ready", "postgresql": "ok", "valkey": "ok", "worker": "No worker.", "ingestion": "ok"}
    with QuirkServer(answering(lacks, status=503)) as web:
        found = told(processes.look_at_web(web.base_url.removesuffix("/v1")), State.WRONG)
    assert found.endswith("is not ready: No worker.")


def test_workers_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    alive = {ALIVE_KEY: [], INGESTION_ALIVE_KEY: [dashboard.Worker("host:1", 3)]}
    monkeypatch.setattr(dashboard, "alive", lambda: alive)
    found = list(processes.look_at_workers())
    assert "manage.py qcluster" in told(found, State.WRONG)
    assert "Ingestion workers alive: 1; files under way: 3." in told(found, State.WELL)
    monkeypatch.setattr(dashboard, "alive", lambda: None)
    assert "Unknown" in told(processes.look_at_workers(), State.WARNING)


def test_a_sandbox_that_is_away(settings: Any, tmp_path: Path) -> None:
    settings.SANDBOX_URLS = [f"unix://{tmp_path}/sandbox.sock"]
    assert "Code cannot be run" in told(processes.look_at_sandbox(), State.WARNING)
    settings.CODE_INTERPRETER = "off"
    assert "switched off" in told(processes.look_at_sandbox(), State.WELL)


# --- Services ---------------------------------------------------------------------------------------------------------


def look_at_models(**options: bool) -> list[Finding]:
    return list(services.look_at_models(**{"asks_models": False, "with_rows": True} | options))


def test_the_demo_model_is_no_model(db: None) -> None:
    assert "demo model" in told(look_at_models(), State.WARNING)


def test_model_servers_are_asked_for_their_models_only(db: None, settings: Any) -> None:
    with QuirkServer(answering({"data": [{"id": "qwen3:32b"}]})) as server:
        settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY = server.base_url, "sk-own"
        assert "OPENAI_BASE_URL, models: It lists 1 models" in told(look_at_models(), State.WELL)
        assert [request.path for request in server.requests] == ["/v1/models"]
        look_at_models(asks_models=True)
        assert "/v1/chat/completions" in [request.path for request in server.requests]


def test_a_provider_that_refuses_its_key_or_is_away(db: None, settings: Any) -> None:
    with QuirkServer(refusing(401, message="Incorrect API key: sk-own")) as server:
        settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY = server.base_url, "sk-own"
        Provider.objects.create(name="away", base_url=f"http://127.0.0.1:{free_port()}/v1")
        found = told(look_at_models(), State.WRONG)
    assert "OPENAI_BASE_URL, models: It refuses the key." in found
    assert "away, models: Nobody answers at this address." in found
    assert "sk-own" not in found


def test_a_provider_that_lists_no_models_may_serve_all_the_same(db: None, settings: Any) -> None:
    with QuirkServer(refusing(404)) as server:
        settings.OPENAI_BASE_URL = server.base_url
        found = look_at_models()
    assert "--ask-model" in told(found, State.WARNING)
    assert told(found, State.WRONG) == ""


def test_searxng_and_r2r_that_are_away(db: None, settings: Any) -> None:
    assert [*services.look_at_search(), *services.look_at_r2r(with_rows=True)] == []
    away = f"http://127.0.0.1:{free_port()}"
    settings.SEARXNG_URL, settings.TAVILY_API_KEY, settings.R2R_BASE_URL = away, "tvly-key", away
    found = list(services.look_at_search())
    assert "SearXNG failed." in told(found, State.WRONG)
    assert "tavily is set. It is not asked" in told(found, State.WELL)
    assert "R2R does not answer" in told(services.look_at_r2r(with_rows=True), State.WRONG)
