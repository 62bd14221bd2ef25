"""The embedded PostgreSQL and Valkey: real servers in a small folder of their own."""

import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from pytest_django import Settings

from assistant_site.embedded import address, supervisor, up
from assistant_site.embedded.account import account_for
from assistant_site.embedded.children import Child, Log
from assistant_site.embedded.commands import needs_servers
from assistant_site.embedded.leftovers import Leftovers
from assistant_site.embedded.nursery import Made
from assistant_site.embedded.postgres import Postgres
from assistant_site.embedded.process import CannotStart, Claim, alive, spawn, tail, wait_gone
from assistant_site.embedded.screen import welcome
from assistant_site.embedded.services import Services
from assistant_site.embedded.supervisor import Supervisor, sandbox_environment
from assistant_site.embedded.valkey import Valkey

PROJECT = Path(__file__).resolve().parents[2]
AS_ROOT = os.geteuid() == 0
PASSWORD = "a password; 'quoted'"

# Starts the servers of the folder in its first argument, says so, and keeps them until it is ended.
OWNER = """
import sys, time
from pathlib import Path
from assistant_site.embedded.services import Services
var = Path(sys.argv[1])
services = Services.of(var=var, sockets=var / "run", password=sys.argv[2], database=True, valkey=True)
services.start()
print("started", *[server._pid for server in services.servers], flush=True)
sys.stdin.read()
services.stop()
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A short path, as sockets need; with a space in it, as people have."""
    made = Path(tempfile.mkdtemp(prefix="hf ", dir="/tmp")).resolve()
    made.chmod(0o711)
    yield made / "var"
    shutil.rmtree(made)


@pytest.fixture
def services(folder: Path) -> Iterator[Services]:
    """Not started; stopped at the end."""
    made = services_in(folder)
    yield made
    made.stop()


def services_in(folder: Path, **options: str) -> Services:
    return Services.of(
        var=folder, sockets=folder / "run", password=PASSWORD, database=True, valkey=True, options=options
    )


def query(folder: Path, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(
        host=str(folder / "run"), user="holdfast", password=PASSWORD, dbname="holdfast", autocommit=True
    ) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def owner_of(folder: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """Another process that runs the folder's servers, and their process numbers."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder), PASSWORD],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, [int(word) if word != "None" else 0 for word in process.stdout.readline().split()[1:]]


def end(process: subprocess.Popen[str]) -> None:
    process.communicate("")


def pids(services: Services) -> list[int]:
    found = [server.running() for server in services.servers]
    return [pid for pid in found if pid is not None]


def test_a_start_makes_a_database_with_pgvector(services: Services, folder: Path) -> None:
    services.start()

    assert query(folder, "SELECT '[1,2]'::vector <-> '[1,3]'") == [(1.0,)]
    assert query(folder, "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'holdfast'") == [
        ("b", "C.UTF-8")
    ]
    assert query(folder, "SHOW server_encoding") == [("UTF8",)]
    assert query(folder, "SHOW synchronous_commit") == [("on",)]
    assert query(folder, "SHOW fsync") == [("on",)]


def test_the_servers_listen_on_unix_sockets_only(services: Services, folder: Path) -> None:
    services.start()

    with redis.Redis(unix_socket_path=str(folder / "run" / "valkey.sock")) as client:
        valkey = client.config_get("port"), client.config_get("maxmemory-policy"), client.config_get("save")
    assert valkey == ({"port": "0"}, {"maxmemory-policy": "noeviction"}, {"save": ""})
    assert query(folder, "SHOW listen_addresses") == [("",)]
    assert (folder / "run").stat().st_mode & 0o077 == 0


def test_a_wrong_password_is_refused(services: Services, folder: Path) -> None:
    services.start()

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host=str(folder / "run"), user="holdfast", password="wrong", dbname="holdfast")


def test_data_outlives_a_stop_and_processes_do_not(services: Services, folder: Path) -> None:
    services.start()
    query(folder, "CREATE TABLE kept (note text); INSERT INTO kept VALUES ('here')")
    running = pids(services)
    services.stop()

    assert len(running) == 2
    assert not any(alive(pid) for pid in running)
    services.start()
    assert query(folder, "SELECT note FROM kept; ") == [("here",)]


def test_a_first_start_that_was_killed_is_done_again(tmp_path: Path) -> None:
    draft = tmp_path / "postgres.draft-1" / "data"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")
    tmp_path.chmod(0o711)
    services = services_in_short(tmp_path, fsync="off")
    try:
        services.start()
        assert not draft.parent.exists()
        assert (tmp_path / "postgres" / "PG_VERSION").exists()
    finally:
        services.stop()
        shutil.rmtree(services.servers[0].sockets)


def services_in_short(folder: Path, **options: str) -> Services:
    """For folders whose path may be too long for sockets."""
    sockets = Path(tempfile.mkdtemp(prefix="hf", dir="/tmp"))
    return Services.of(var=folder, sockets=sockets, password=PASSWORD, database=True, valkey=True, options=options)


def test_killed_servers_are_started_again_with_their_data(services: Services, folder: Path) -> None:
    services.start()
    query(folder, "CREATE TABLE survived (n int); INSERT INTO survived VALUES (1)")
    for pid in pids(services):
        os.kill(pid, signal.SIGKILL)
    for server in services.servers:
        assert server._child is not None
        server._child.wait(5)

    assert services.tend() == ["Valkey", "PostgreSQL"]
    assert query(folder, "SELECT n FROM survived") == [(1,)]
    assert services.tend() == []


def test_a_stale_pid_file_that_names_another_program_is_no_obstacle(services: Services, folder: Path) -> None:
    services.start()
    file = services.servers[1].pid_file()
    content = file.read_text()
    services.stop()
    with subprocess.Popen(["sleep", "60"]) as other:
        file.write_text("\n".join([str(other.pid), *content.split("\n")[1:]]))
        (folder / "valkey" / "valkey.pid").write_text(f"{other.pid}\n")
        (folder / "run" / "valkey.sock").touch()

        services.start()

        assert other.poll() is None
        other.kill()
    assert query(folder, "SELECT 1") == [(1,)]


def test_another_process_shares_the_servers_and_leaves_them_running(services: Services, folder: Path) -> None:
    services.start()
    before = pids(services)
    other, started = owner_of(folder)
    end(other)

    assert started == [0, 0]
    assert pids(services) == before


def test_who_shares_the_servers_takes_over_when_their_owner_ends(services: Services, folder: Path) -> None:
    owner, started = owner_of(folder)
    services.start()
    assert pids(services) == started
    end(owner)

    deadline = time.monotonic() + 60
    while not pids(services) and time.monotonic() < deadline:
        services.tend()

    assert query(folder, "SELECT 1") == [(1,)]
    assert not set(pids(services)) & set(started)


def test_kill_9_of_the_owner_leaves_nothing_and_the_next_start_works(services: Services, folder: Path) -> None:
    owner, started = owner_of(folder)
    with owner:
        owner.kill()
        owner.wait()
        services.start()

    assert all(started)
    assert not any(alive(pid) for pid in started)
    assert query(folder, "SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    ("version", "sentence"), [("17", "written by PostgreSQL 17"), ("", "holds no PostgreSQL data")]
)
def test_a_folder_that_is_not_ours_to_use_is_named(tmp_path: Path, version: str, sentence: str) -> None:
    (tmp_path / "postgres").mkdir()
    if version:
        (tmp_path / "postgres" / "PG_VERSION").write_text(version)
    server = Postgres(tmp_path, tmp_path / "run", password=PASSWORD)

    with pytest.raises(CannotStart, match=sentence):
        server.begin()
    server.stop()


@pytest.mark.skipif(AS_ROOT, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(CannotStart, match=r"The embedded Valkey cannot be started: Permission denied"):
        Valkey(tmp_path / "var", tmp_path / "run").begin()


def test_a_machine_without_a_binary_is_told_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assistant_site.embedded.valkey.wheel_folder", lambda package: tmp_path)

    with pytest.raises(CannotStart, match=r"no embedded Valkey for this machine.*Set REDIS_URL"):
        Valkey(tmp_path, tmp_path / "run").begin()


@pytest.mark.skipif(not AS_ROOT, reason="concerns root only")
def test_root_asks_for_a_capability_only_where_a_folder_is_closed(tmp_path: Path) -> None:
    closed = Path(tempfile.mkdtemp(dir="/tmp"))
    data = closed / "var" / "postgres"
    data.parent.mkdir()
    try:
        shut = account_for(data, reached=[data.parent])
        closed.chmod(0o755)
        opened = account_for(data, reached=[data.parent])
    finally:
        shutil.rmtree(closed)

    assert shut is not None
    assert shut.capability
    assert opened is not None
    assert opened.capability is None
    assert (opened.uid, opened.gid) == (65534, 65534)


def test_a_claim_has_one_holder_and_ends_with_its_process(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from assistant_site.embedded.process import Claim;"
        "print(Claim(Path(sys.argv[1])).take(), flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "lock")]
    with subprocess.Popen(arguments, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        claim = Claim(tmp_path / "lock")
        assert not claim.take()
        assert claim.holder() == str(other.pid)
        other.kill()
    assert claim.take()
    claim.release()


def test_leftovers_are_ended_but_no_program_that_has_their_number_now(tmp_path: Path) -> None:
    noted = Leftovers(tmp_path / "children.json")
    ours, other = (spawn(["sleep", "60"], log=tmp_path / "log", death_signal=signal.SIGKILL) for _ in range(2))
    noted.note([ours.pid])
    Leftovers(tmp_path / "other.json").file.write_text(f'{{"{other.pid}": "python -m daphne"}}')

    noted.end()
    Leftovers(tmp_path / "other.json").end()

    assert wait_gone(ours.pid, 0, ours)
    assert other.poll() is None
    assert not noted.file.exists()
    other.kill()
    other.wait()


def test_only_warnings_and_exceptions_of_a_log_are_worth_seeing(tmp_path: Path) -> None:
    file = tmp_path / "web.log"
    file.write_text("2026-01-01 00:00:00,000 ERROR old one\n")
    log = Log(file)
    with open(file, "a") as out:
        out.write("2026-01-01 00:00:00,000 INFO a quiet line\n2026-01-01 00:00:00,000 WARNING x a loud line\n")
        out.write("Traceback (most recent call last):\n  File 'x'\nValueError: no\n2026-01-01 INFO quiet again\nhal")

    assert log.news() == [
        "2026-01-01 00:00:00,000 WARNING x a loud line",
        "ValueError: no",
    ]
    assert log.news() == []


def test_addresses_nobody_can_listen_on_get_a_sentence() -> None:
    import socket

    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        with pytest.raises(CannotStart, match="in use by another program"):
            address.check_free("127.0.0.1", busy.getsockname()[1])
    with pytest.raises(CannotStart, match="no address of this machine"):
        address.check_free("192.0.2.1", 8086)


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("migrate", True),
        ("create_token --tenant x", True),
        ("qcluster", True),
        ("shell -c 1", True),
        ("migrate --help", False),
        ("makemigrations --check", False),
        ("up", False),
        ("--version", False),
        ("", False),
    ],
)
def test_commands_get_servers_when_they_need_them(line: str, needed: bool) -> None:
    assert needs_servers(["manage.py", *line.split()]) is needed


@pytest.mark.slow
def test_a_command_used_alone_has_its_database(folder: Path) -> None:
    program = "from django.db import connection as c; k = c.cursor(); k.execute('SELECT 41 + 1'); print(k.fetchone())"
    short = Path(tempfile.mkdtemp(prefix="hf", dir="/tmp"))
    short.chmod(0o711)
    try:
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "--no-imports", "-c", program],
            cwd=PROJECT,
            env=os.environ | {"HOLDFAST_VAR": str(short)},
            capture_output=True,
            text=True,
            check=False,
        )
        left = [file.name for file in (short / "run").iterdir()]
    finally:
        shutil.rmtree(short)

    assert (done.returncode, done.stdout) == (0, "(42,)\n"), done.stderr
    assert left == []


@pytest.mark.slow
@pytest.mark.skipif(not AS_ROOT, reason="as another user than the one who runs the tests")
def test_the_servers_run_for_an_ordinary_user_too() -> None:
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*user, sys.executable, "-c", "import django"], capture_output=True, check=False).returncode:
        pytest.skip("this Python is closed to other users")
    var = Path(tempfile.mkdtemp(prefix="hf", dir="/tmp"))
    os.chown(var, 65534, 65534)
    try:
        done = subprocess.run(
            [*user, sys.executable, "-c", OWNER, str(var), PASSWORD],
            cwd=PROJECT,
            input="",
            capture_output=True,
            text=True,
            check=False,
        )
        said = tail(var / "log" / "postgres.log")
    finally:
        shutil.rmtree(var)

    assert done.returncode == 0, done.stderr
    assert "database system is shut down" in said


def said_by(child: Child) -> str:
    """What a child that ends by itself has written."""
    child.start()
    assert child.pid
    child.wait_stopped(time.monotonic() + 10)
    return child.log.file.read_text()


def test_a_process_that_was_to_end_is_replaced_at_once_and_one_that_died_after_a_pause(tmp_path: Path) -> None:
    told: list[str] = []

    def ending_with(code: int, *, is_recycled: bool) -> Child:
        child = Child(
            "one",
            [sys.executable, "-c", f"raise SystemExit({code})"],
            folder=tmp_path,
            log=tmp_path / "log",
            stop_seconds=1,
            say=told.append,
            is_recycled=is_recycled,
        )
        child.start()
        assert child._process
        child._process.wait()
        return child

    recycled = ending_with(0, is_recycled=True)
    first = recycled.pid
    assert recycled.tend()
    assert recycled.pid not in (None, first)
    recycled.wait_stopped(time.monotonic() + 10)
    assert told == []
    for died in (ending_with(1, is_recycled=True), ending_with(0, is_recycled=False)):
        assert not died.tend()
        assert died.pid is None
    assert [line.split(";")[0] for line in told] == [
        "The one process ended with code 1",
        "The one process ended with code 0",
    ]


def test_the_sandbox_process_knows_no_secret_of_ours(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {
        name: f"secret-{name}" for name in ("OPENAI_API_KEY", "SECRET_KEY", "DATABASE_URL", "S3_SECRET_KEY", "MY")
    }
    for name, secret in secrets.items():
        monkeypatch.setenv(name, secret)
    settings.SANDBOX_POOL = 7
    show = [sys.executable, "-c", "import os; print(sorted(os.environ.items()))"]

    def child(environment: dict[str, str], *, knows_ours: bool) -> Child:
        return Child(
            "one",
            show,
            folder=tmp_path,
            log=tmp_path / f"{knows_ours}.log",
            stop_seconds=1,
            say=print,
            environment=environment,
            knows_ours=knows_ours,
        )

    told = said_by(child(sandbox_environment(), knows_ours=False))
    assert "('SANDBOX_POOL', '7')" in told
    assert f"('SANDBOX_SOCKET', '{settings.SANDBOX_SOCKET}')" in told
    assert "'PATH'" in told
    assert "secret" not in told.lower()
    assert settings.SECRET_KEY not in told
    assert secrets["SECRET_KEY"] in said_by(child({}, knows_ours=True))


def test_a_sandbox_is_started_unless_it_is_off_or_elsewhere(settings: Settings) -> None:
    def children() -> list[str]:
        return [child.name for child in Supervisor(print)._children]

    assert children() == ["web", "worker", "ingestion", "sandbox"]
    settings.EMBEDDED_SANDBOX = False
    assert children() == ["web", "worker", "ingestion"]


def test_each_start_gives_the_web_process_another_playground_key_and_the_sandbox_none(settings: Settings) -> None:
    def given() -> dict[str, str | None]:
        return {child.name: child.environment.get("PLAYGROUND_KEY") for child in Supervisor(print)._children}

    first, second = given(), given()
    assert first["web"] != second["web"]
    assert len(first["web"] or "") >= 30
    assert first["sandbox"] is None
    settings.PLAYGROUND_KEY = "a key of the operator's own"
    assert given()["web"] == settings.PLAYGROUND_KEY


@pytest.mark.parametrize(
    ("auth", "own", "shown"),
    [
        (True, "", "/#key=abc%23%2B%20d\n               (ready to use; the link holds until Holdfast ends)\n"),
        (
            True,
            "abc",
            "/#key=abc%23%2B%20d\n               (ready to use; the link holds as long as PLAYGROUND_KEY stays)\n",
        ),
        (False, "", "/\n               (ready to use by everybody: AUTH_ENABLED is false)\n"),
    ],
)
def test_the_first_screen_has_the_link_to_the_playground(auth: bool, own: str, shown: str, settings: Settings) -> None:
    settings.CODE_INTERPRETER, settings.AUTH_ENABLED, settings.PLAYGROUND_KEY = "off", auth, own
    screen = welcome(Made(), "abc#+ d", "off")
    assert f"  Playground   http://127.0.0.1:{settings.PORT}{shown}  API  " in screen


def test_a_playground_key_that_can_be_guessed_stops_the_start(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "from assistant_site import settings"],
        cwd=PROJECT,
        env=os.environ | {"HOLDFAST_VAR": str(tmp_path), "PLAYGROUND_KEY": "nineteen characters"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1
    assert "PLAYGROUND_KEY has fewer than 20 characters and could be guessed" in ran.stderr
    assert "nineteen characters" not in ran.stderr


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "True ['unix://VAR/run/sandbox.sock'] VAR/sandbox"),
        ({"CODE_INTERPRETER": "off"}, "False ['unix://VAR/run/sandbox.sock'] VAR/sandbox"),
        ({"SANDBOX_URLS": "https://a, unix:///b/", "SANDBOX_DIR": "/c"}, "False ['https://a', 'unix:///b'] /c"),
        ({"SANDBOX_URLS": "ftp://a"}, "SANDBOX_URLS must be a list of addresses that begin with unix:// or http:// or"),
    ],
)
def test_the_settings_say_where_the_sandbox_is(variables: dict[str, str], expected: str) -> None:
    var = tempfile.mkdtemp(prefix="hf", dir="/tmp")
    os.chmod(var, 0o711)
    code = "from assistant_site import settings as s; print(s.EMBEDDED_SANDBOX, s.SANDBOX_URLS, s.SANDBOX_DIR)"
    try:
        ran = subprocess.run(
            [sys.executable, "-c", code],
            cwd=PROJECT,
            env=os.environ | {"HOLDFAST_VAR": var} | variables,
            capture_output=True,
            text=True,
        )
    finally:
        shutil.rmtree(var)
    assert (
        (ran.stdout + ran.stderr)
        .replace(var, "VAR")
        .strip()
        .removeprefix("Holdfast cannot start: ")
        .startswith(expected)
    )


def test_who_listens_no_more_does_not_keep_it_from_ending_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that was closed, a pipe that is read no further."""
    said = []

    def stopping(say: Callable[[str], None]) -> None:
        say("Stopping")
        said.append("and so it did")

    class Gone(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Gone())
        patch.setattr(supervisor, "run", stopping)
        up.main()
    assert said == ["and so it did"]
