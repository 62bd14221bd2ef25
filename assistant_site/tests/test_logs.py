"""Lines of the log as JSON."""

import json
import logging
import sys

from assistant_site import logs
from assistant_site.db import scope


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
    assert str(told["time"]).endswith("+00:00")
    assert "tenant_id" not in told


def test_a_line_names_what_is_worked_for() -> None:
    with scope.of_tenant("ten_1"):
        logs.request_is("req_1")
        logs.run_is("run_1")
        told = line(record("x"))
    assert (told["request_id"], told["run_id"], told["tenant_id"]) == ("req_1", "run_1", "ten_1")
    logs.request_is("")
    logs.run_is("")


def test_an_exception_is_a_stack_in_one_line() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        failed = record("x")
        failed.exc_info = sys.exc_info()
    assert str(line(failed)["exception"]).endswith("ValueError: broken\n")
