"""The process that web, worker and ingestion are born of, with commands of `manage.py` that end by themselves."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import django
import pytest

from assistant_site.embedded.children import Child
from assistant_site.embedded.nursery import Born, Nursery
from assistant_site.embedded.process import command_line

PROJECT = Path(__file__).resolve().parents[2]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives a process the orphans of its children")


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    made = Nursery(PROJECT, {"FROM": "the nursery"})
    made.start()
    yield made
    made.stop()


def born(nursery: Nursery, log: Path, *arguments: str, **environment: str) -> Born:
    child = nursery.bear(arguments, log=log, environment=environment)
    assert child
    return child


def running(nursery: Nursery, log: Path) -> Born:
    """One that waits for what it will never be told, by now."""
    log.touch()
    child = born(nursery, log, "shell", "-c", "import time; print('here', flush=True); time.sleep(60)")
    deadline = time.monotonic() + 30
    while "here" not in log.read_text():
        assert child.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return child


@LINUX
def test_a_born_process_does_what_the_command_does(nursery: Nursery, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("what stood there\n")
    assert born(nursery, log, "version").wait() == 0
    assert log.read_text() == f"what stood there\n{django.get_version()}\n"
    assert born(nursery, log, "no-such-command").wait() == 1
    assert "Unknown command: 'no-such-command'" in log.read_text()


@LINUX
def test_a_born_process_is_our_own_child_in_a_group_of_its_own(nursery: Nursery, tmp_path: Path) -> None:
    child = running(nursery, tmp_path / "log")
    assert f"PPid:\t{os.getpid()}\n" in Path(f"/proc/{child.pid}/status").read_text()
    assert os.getpgid(child.pid) == child.pid
    assert "manage.py shell -c" in command_line(child.pid)
    os.killpg(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert child.poll() == -signal.SIGKILL
    child.terminate()  # which is too late, and no error


@LINUX
def test_a_born_process_has_the_nurserys_environment_and_its_own_and_shares_no_randomness(
    nursery: Nursery, tmp_path: Path
) -> None:
    show = "import os, random; print(os.environ['FROM'], os.environ['MINE'], random.random(), os.urandom(8).hex())"
    logs = [tmp_path / "1", tmp_path / "2"]
    for log in logs:
        assert born(nursery, log, "shell", "-c", show, MINE=log.name).wait() == 0
    said = [log.read_text().split()[-5:] for log in logs]
    assert [words[:3] for words in said] == [["the", "nursery", "1"], ["the", "nursery", "2"]]
    assert said[0][3] != said[1][3]
    assert said[0][4] != said[1][4]


@LINUX
def test_a_born_web_process_limits_what_daphne_takes(nursery: Nursery, tmp_path: Path) -> None:
    """daphne.server is loaded before our application, which then bounds it; so the nursery must not have that."""
    log = tmp_path / "log"
    show = (
        "import daphne.server, assistant_site.asgi; from daphne import http_protocol; print(http_protocol.WebRequest)"
    )
    assert born(nursery, log, "shell", "-c", show).wait() == 0
    assert "assistant_site.bounds.BoundedRequest" in log.read_text()


@LINUX
def test_a_nursery_that_is_gone_leaves_its_children_and_others_are_started_without_it(tmp_path: Path) -> None:
    nursery = Nursery(PROJECT, {})
    nursery.start()
    child = running(nursery, tmp_path / "born")
    assert nursery._process
    nursery._process.kill()
    dead = nursery._process
    assert nursery.bear(["version"], log=tmp_path / "log", environment={}) is None
    assert dead.returncode == -signal.SIGKILL  # nobody else would ask how it ended
    assert child.poll() is None
    started = Child(
        "one",
        [sys.executable, "manage.py", "version"],
        folder=PROJECT,
        log=tmp_path / "log",
        stop_seconds=1,
        say=print,
        nursery=nursery,
    )
    started.start()
    assert started._process
    assert started._process.wait() == 0
    assert django.get_version() in (tmp_path / "log").read_text()
    child.terminate()
    assert child.wait() == -signal.SIGTERM
    nursery.stop()


def test_without_a_nursery_nothing_is_born_of_it(tmp_path: Path) -> None:
    assert Nursery(PROJECT, {}).bear(["version"], log=tmp_path / "log", environment={}) is None
