"""Health checks of containers: each role asks its own process, in real ones, and says in words what is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from assistant_site import healthcheck
from assistant_site.tests.stack import Stack, free_port

PROJECT = Path(__file__).resolve().parents[2]


def checked(module: str, *arguments: str, **environment: str) -> tuple[int, str]:
    command = [sys.executable, "-m", module, *arguments]
    told = os.environ | environment
    ran = subprocess.run(command, cwd=PROJECT, env=told, capture_output=True, text=True, timeout=60)
    return ran.returncode, ran.stdout + ran.stderr


def test_every_role_of_a_running_installation_is_well(live: Stack) -> None:
    from django.conf import settings

    port = live.urls[0].rpartition(":")[2]
    for role in healthcheck.ROLES:
        assert checked("assistant_site.healthcheck", role, PORT=port, REDIS_URL=settings.VALKEY_URL) == (0, "")


def test_a_web_process_is_asked_by_a_name_that_it_answers_to(live: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", live.urls[0].rpartition(":")[2])
    monkeypatch.setenv("ALLOWED_HOSTS", ".example.com,localhost")

    assert healthcheck.problem_of("web") == ""


def test_workers_reach_the_demo_model_where_only_a_public_name_is_allowed() -> None:
    told = {"ALLOWED_HOSTS": "holdfast.example.com", "DEMO_BASE_URL": "http://web:8086/demo/v1"}
    question = "from assistant_site import settings; print(settings.ALLOWED_HOSTS)"
    for more, hosts in (
        ({}, ["holdfast.example.com", "web"]),
        ({"OPENAI_API_KEY": "sk-x"}, ["holdfast.example.com"]),
        ({"ALLOWED_HOSTS": "*"}, ["*"]),
    ):
        environment = os.environ | told | more
        command = [sys.executable, "-c", question]
        assert subprocess.check_output(command, cwd=PROJECT, env=environment, text=True) == f"{hosts}\n"


def test_a_web_process_that_does_not_answer_is_ill() -> None:
    port = str(free_port())

    code, said = checked("assistant_site.healthcheck", "web", PORT=port)
    assert code == 1
    assert f"The web process does not answer at port {port}" in said


def test_a_worker_that_does_not_show_itself_is_ill_and_one_of_another_host_does_not_count(
    live: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.conf import settings

    monkeypatch.setenv("REDIS_URL", settings.VALKEY_URL)
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")

    assert healthcheck.problem_of("worker") == "No worker of elsewhere has shown itself for some seconds."
    assert healthcheck.problem_of("ingestion") == "No ingestion of elsewhere has shown itself for some seconds."


def test_a_worker_is_not_ill_because_valkey_is_away() -> None:
    code, said = checked("assistant_site.healthcheck", "worker", REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")

    assert (code, said) == (0, "Valkey does not answer, so nothing is known of the worker.\n")


@pytest.mark.parametrize(
    ("command", "queue", "role"),
    [
        (["python", "manage.py", "serve"], "", "web"),
        (["/sbin/docker-init", "--", "python", "manage.py", "qcluster"], "", "worker"),
        (["python", "manage.py", "qcluster"], "ingestion", "ingestion"),
        (["python", "manage.py", "qcluster", "--name", "ingestion"], "", "ingestion"),
        (["python", "manage.py", "migrate", "--noinput"], "", ""),
    ],
)
def test_the_command_of_a_container_says_its_role(command: list[str], queue: str, role: str) -> None:
    assert healthcheck.role_of(command, queue) == role


def test_the_names_of_workers_are_those_they_have(live: Stack) -> None:
    from runs.workers import ALIVE_KEY
    from vector_stores.tasks import ALIVE_KEY as INGESTION_ALIVE_KEY

    assert (healthcheck.WORKER, healthcheck.INGESTION) == (ALIVE_KEY, INGESTION_ALIVE_KEY)


def test_a_sandbox_that_is_not_there_is_ill(tmp_path: Path) -> None:
    code, said = checked("sandbox.healthcheck", SANDBOX_SOCKET=str(tmp_path / "none.sock"))

    assert code == 1
    assert "The sandbox's daemon does not answer: [Errno 2] No such file or directory." in said
    assert checked("sandbox.healthcheck", SANDBOX_SOCKET="", SANDBOX_LISTEN="")[0] == 1
