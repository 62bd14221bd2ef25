"""The process that carries out django-q2's tasks: what is wrong with one of them costs that one only."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from django_q.conf import Conf
from django_q.signing import SignedPackage
from pytest_django import Settings

import runs.broker
from assistant_site import cluster, valkey
from runs import tasks
from runs.broker import ValkeyBroker

PROJECT = Path(__file__).resolve().parents[2]

carried_out: list[tuple[Any, ...]] = []


def note(*words: str) -> None:
    """A task."""
    carried_out.append(words)


def fail() -> None:
    """Another one."""
    raise RuntimeError("of this test")


def package(function: str, *args: str) -> str:
    """As django-q2's `async_task` writes it, with what it has besides."""
    return str(SignedPackage.dumps({"id": "1", "name": "x", "func": function, "args": args, "kwargs": {}}))


@pytest.fixture
def broker() -> ValkeyBroker:
    carried_out.clear()
    return ValkeyBroker("of test_cluster")


def supplied(broker: ValkeyBroker, most: int) -> None:
    """Carries out so many tasks of the queue."""
    stopping = threading.Event()
    supply = cluster.Supply(broker, most, stopping)
    supply.start()
    assert stopping.wait(10)
    supply.join(10)
    assert not supply.is_alive()


def test_broken_packages_and_failing_tasks_cost_only_themselves(
    broker: ValkeyBroker, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = SignedPackage.dumps({"func": f"{__name__}.note", "args": ("stranger",), "kwargs": {}})
    broken = ["no package", foreign[:-1] + "?", package("no.such.task"), package(f"{__name__}.fail"), package("runs")]
    for each in [*broken, package(f"{__name__}.note", "a", "b")]:
        broker.enqueue(each)
    supplied(broker, 6)
    assert carried_out == [("a", "b")]
    assert [record.getMessage() for record in caplog.records] == ["A task of the queue failed."] * 5


def test_the_queue_of_an_older_process_is_understood(broker: ValkeyBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """`async_task` still writes the entries: old and new processes may share a queue."""
    monkeypatch.setattr(tasks, "execute_run", note)
    monkeypatch.setattr(runs.broker, "of_this_process", lambda: broker)
    tasks.enqueue_run("run_1", "tenant_1")
    supplied(broker, 1)
    assert carried_out == [("run_1", "tenant_1")]


def test_after_as_many_tasks_as_were_wanted_no_more_are_taken(broker: ValkeyBroker) -> None:
    for word in "abc":
        broker.enqueue(package(f"{__name__}.note", word))
    supplied(broker, 2)
    assert carried_out == [("a",), ("b",)]
    assert broker.queue_size() == 1
    broker.delete_queue()


def test_a_queue_that_cannot_be_read_is_asked_again(broker: ValkeyBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    broker.enqueue(package(f"{__name__}.note", "late"))
    dequeue, times = broker.dequeue, iter(range(9))

    def refuse_once() -> Any:
        if next(times) == 0:
            raise valkey.Failed
        return dequeue()

    monkeypatch.setattr(broker, "dequeue", refuse_once)
    supplied(broker, 1)
    assert carried_out == [("late",)]


def test_it_is_our_command_and_knows_its_queues(settings: Settings) -> None:
    def ran(*arguments: str) -> str:
        command = [sys.executable, "manage.py", "qcluster", *arguments]
        environment = {"HOLDFAST_CHILD_OF_UP": "1", "HOLDFAST_VAR": str(settings.VAR_DIR)}
        done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    assert "Start a worker: it takes tasks" in ran("--help")
    assert f"There is no queue 'other', only '{Conf.PREFIX}' and 'ingestion'." in ran("--name", "other")


def test_while_the_key_is_changed_tasks_signed_with_the_last_one_are_carried_out(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    carried_out.clear()
    signed = package(f"{__name__}.note", "with the last key")
    monkeypatch.setattr(Conf, "SECRET_KEY", "a new key")
    cluster.carry_out(signed)
    assert carried_out == []
    assert "A task of the queue failed" in caplog.text
    settings.SECRET_KEY_FALLBACKS = ["an older key", settings.SECRET_KEY]
    cluster.carry_out(signed)
    cluster.carry_out(package(f"{__name__}.note", "with the new key"))
    assert carried_out == [("with the last key",), ("with the new key",)]
