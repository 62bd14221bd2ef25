"""Lines of the log as JSON."""

import json
import logging
import sys

import pytest
from django.http import HttpResponse

from assistant_site import logs
from assistant_site.db import scope
from assistant_site.tests.callers import LocalCaller
from threads.api import ThreadDetailView


def line(record: logging.LogRecord) -> dict[str, object]:
    text = logs.JSONFormatter().format(record)
    assert "\n" not in text
    return dict(json.loads(text))


def record(message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("runs.engine", logging.WARNING, "engine.py", 1, message, args, None)


def test_a_line_says_when_who_and_what() -> None:
    told = line(record("%s is\nlost", "run_1"))
    assert told["message"] == "run_1 is\nlost"
    assert (told["level"], told["logger"]) == ("warning", "runs.engine")
    assert str(told["time"]).endswith("Z")
    assert "tenant_id" not in told


def test_a_line_names_what_is_worked_for() -> None:
    with scope.of_tenant("ten_1"):
        noted = logs.note({"request_id": "req_1"})
        logs.note({"thread_id": "t" * 1000, "run_id": "run_1", "file_id": "file_1"})
        told = line(record("x"))
        logs.forget(noted)
        assert logs.about() == {"tenant_id": "ten_1"}
    assert (told["request_id"], told["run_id"], told["tenant_id"]) == ("req_1", "run_1", "ten_1")
    assert told["thread_id"] == "t" * 64
    assert "file_id" not in told


def test_an_exception_is_a_stack_in_one_line() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        failed = record("x")
        failed.exc_info = sys.exc_info()
    assert str(line(failed)["exception"]).endswith("\nValueError: broken")


def test_of_an_exception_only_the_beginning_of_what_it_says_is_told() -> None:
    try:
        try:
            raise ValueError("duplicate key\nDETAIL: Key (name)=(marzipan) already exists.")
        except ValueError:
            raise KeyError("x" * 1000) from None
    except KeyError as error:
        hidden = logs.stack_of(error)
    try:
        raise RuntimeError("outer") from ValueError("\n".join(["inner", "nougat"]))
    except RuntimeError as error:
        chain = logs.stack_of(error)
    assert "duplicate key" not in hidden
    assert hidden.endswith("KeyError: '" + "x" * 299)
    assert chain.index("ValueError: inner") < chain.index("RuntimeError: outer")
    assert "inner\nnougat" not in chain
    assert "test_logs.py" in chain


def test_what_a_request_was_about_is_forgotten_with_it(alice: LocalCaller, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []

    def get(*_: object, **__: object) -> HttpResponse:
        seen.append(logs.about())
        return HttpResponse()

    monkeypatch.setattr(ThreadDetailView, "get", get)
    answer = alice.send("GET", "/v1/threads/thread_1")
    assert seen == [
        {
            "request_id": answer.headers["x-request-id"],
            "thread_id": "thread_1",
            "tenant_id": alice.tenant.pk,
        }
    ]
    assert logs.about() == {}
