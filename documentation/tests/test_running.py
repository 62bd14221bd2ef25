"""The code blocks of the docs, run by a reader against a live server (CONTRIBUTING.md says how pages are "
"written for it)."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, ProgrammingError, connection, transaction

from assistant_site.tests.callers import LiveCaller, new_tenant
from assistant_site.tests.stack import Stack
from documentation.contents import PROJECT
from documentation.tests.blocks import Block, blocks_of, pages
from documentation.tests.reader import matches

pytestmark = pytest.mark.contract

ADMIN_TOKEN = "an-admin-token-for-the-docs"
FILES = {  # that lie in the reader's folder
    "sales.csv": "month,sold\nMay,12\nJune,31\n",
    "handbook.md": "# Handbook\n\nBoats are rented out for 12 euros an hour.\n",
}
METRICS_TOKEN = "a-metrics-token-for-the-docs"
SHELL = ("console", "bash", "sh")
RUN = ("python", *SHELL)


def runnable(page: Path) -> list[Block]:
    return [block for block in blocks_of(page) if block.language in RUN and block.not_run is None]


@pytest.fixture(scope="module")
def server(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with django_db_blocker.unblock(), Stack.workers_of_others_rest():
        environment = {"ADMIN_TOKEN": ADMIN_TOKEN, "METRICS_TOKEN": METRICS_TOKEN}
        with Stack(folder=tmp_path_factory.mktemp("docs"), env=environment) as running:
            yield running


@pytest.fixture(scope="module")
def reader() -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    """Reads one page: a job to its answer."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "documentation.tests.reader"]
    with subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def read(job: dict[str, Any]) -> dict[str, Any]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            return dict(json.loads(process.stdout.readline()))

        yield read
        process.stdin.close()


def placeholders(text: str, caller: LiveCaller) -> dict[str, str]:
    """Objects for the ids that a page leaves open, as in `thread_…`."""

    def token() -> str:
        return str(caller.tenant.tokens.get().pk)

    makers: dict[str, Callable[[], str]] = {
        "asst_…": caller.assistant,
        "thread_…": lambda: caller.thread("Hello, who are you?"),
        "vs_…": caller.store,
        "file-…": lambda: caller.upload("notes.md", b"# Notes"),
        "tenant_…": lambda: str(new_tenant("Somebody of the docs")[0].pk),
        "token_…": token,
    }
    return {name: make() for name, make in makers.items() if name in text}


@pytest.mark.parametrize(
    "page", [page for page in pages() if runnable(page)], ids=lambda page: str(page.relative_to(PROJECT))
)
def test_a_reader_can_do_what_a_page_says(
    page: Path, server: Stack, reader: Callable[[dict[str, Any]], dict[str, Any]], tmp_path: Path
) -> None:
    blocks = runnable(page)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    caller = LiveCaller(*new_tenant("A reader"), server.url)
    job = {
        "url": server.url,
        "folder": str(tmp_path),
        "environment": {
            "HOLDFAST_TOKEN": caller.token,
            "OPENAI_API_KEY": caller.token,
            "OPENAI_BASE_URL": caller.base_url,
            "ADMIN_TOKEN": ADMIN_TOKEN,
            "APP_AUTH_ADMIN_TOKEN": ADMIN_TOKEN,
            "METRICS_TOKEN": METRICS_TOKEN,
        },
        "placeholders": placeholders("".join(block.text for block in blocks if block.language in SHELL), caller),
        "blocks": [
            {
                "page": str(page.relative_to(PROJECT)),
                "where": block.where,
                "line": block.line,
                "language": block.language,
                "text": block.text,
                "setup": block.setup,
                "file": block.file if block.language == "python" else None,
            }
            for block in blocks
        ],
    }
    told = reader(job)
    assert not told["problems"], "\n" + "\n".join(told["problems"])
    assert told["count"] >= sum(block.language == "python" for block in blocks)


def tell_postgresql(text: str) -> None:
    """Executes the statements, and takes them back. Raises what PostgreSQL says."""
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in text.split(";\n"):
            if re.sub(r"--.*", "", statement).strip():
                cursor.execute(statement)
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_postgresql_takes_what_pages_tell_it() -> None:
    with pytest.raises(ProgrammingError):
        tell_postgresql("SELECT 1;\nSELECT nothing FROM nowhere;\n")
    for block in (block for page in pages() for block in blocks_of(page)):
        if block.language == "sql" and block.not_run is None:
            try:
                tell_postgresql(block.text)
            except DatabaseError as refused:
                raise AssertionError(f"{block.where}: {refused}") from None


@pytest.mark.parametrize(
    ("shown", "printed"),
    [("completed 109\nHello\n", "completed 109\nHello  \n"), ("key sk-… ends", "key sk-abc ends"), ("a\n\nb", "a b")],
)
def test_what_is_shown_is_what_is_printed(shown: str, printed: str) -> None:
    assert matches(shown, printed)
    assert not matches(shown, printed + "more")


def test_the_reader_notices_what_does_not_work(
    server: Stack, reader: Callable[[dict[str, Any]], dict[str, Any]], tmp_path: Path
) -> None:
    caller = LiveCaller(*new_tenant("A reader"), server.url)
    environment = {"OPENAI_API_KEY": caller.token, "OPENAI_BASE_URL": caller.base_url, "HOLDFAST_TOKEN": caller.token}

    def problem(language: str, text: str) -> str:
        block = {
            "page": "a.md",
            "where": "a.md:7",
            "line": 7,
            "setup": "",
            "file": None,
            "language": language,
            "text": text,
        }
        job = {
            "url": server.url,
            "folder": str(tmp_path),
            "environment": environment,
            "placeholders": {},
            "blocks": [block],
        }
        [found] = reader(job)["problems"]
        return str(found)

    assert problem("python", "x = 1\nnowhere\n").startswith("a.md:7: NameError in line 9 of the page: ")
    assert problem("python", "client.beta.threads.retrieve('thread_x')\n").startswith("a.md:7: NotFoundError in line 8")
    assert "ended with 22" in problem("bash", "curl http://127.0.0.1:8086/v1/nowhere\n")
    assert os.path.isdir(tmp_path)
