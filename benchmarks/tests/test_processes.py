"""Processes are known by their command lines, whatever starts them."""

import os

import pytest

from benchmarks.load.processes import Processes, app, part_of


@pytest.mark.parametrize(
    ("command", "environment", "parent", "part"),
    [
        ("/venv/bin/python manage.py up", "", "", "up"),
        ("/venv/bin/python -m daphne -b 127.0.0.1 -p 8086 assistant_site.asgi:application", "", "up", "web"),
        ("/venv/bin/python -m uvicorn assistant_site.asgi:application", "", "up", "web"),
        ("/venv/bin/python manage.py serve", "", "up", "web"),
        ("/venv/bin/python manage.py qcluster", "A=1", "up", "worker"),
        ("/venv/bin/python manage.py qcluster", "A=1 Q_CLUSTER_NAME=ingestion B=2", "up", "ingestion"),
        ("/venv/bin/python -c from multiprocessing.resource_tracker import main", "", "worker", "worker"),
        ("/wheel/pginstall18/bin/postgres -D /var/postgres", "", "up", "postgres"),
        ("postgres: holdfast holdfast [local] idle", "", "postgres", "postgres"),
        ("/wheel/valkey-server unixsocket:/run/valkey.sock", "", "up", "valkey"),
        ("/venv/bin/python -m sandbox.daemon", "", "up", "sandbox"),
        ("bwrap --unshare-all python runner.py", "", "sandbox", "sandbox"),
    ],
)
def test_what_a_process_is(command: str, environment: str, parent: str, part: str) -> None:
    assert part_of(command, environment, parent) == part


def test_this_process_has_used_the_processor_and_some_memory() -> None:
    here = Processes(os.getpid())
    assert sum(here.cpu().values()) > 0
    assert sum(here.memory().values()) > 5
    assert app({"web": 1.0, "postgres": 5.0}) == 1.0
