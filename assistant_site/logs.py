"""What a line of the log is about, and lines as JSON (`LOG_FORMAT=json`).

Ids only: what callers, models and tools said is not logged, at any level. Of an exception a line has where it came from
and the beginning of what it says; behind that come a database error's rows and a validation's inputs.
"""

import logging
import traceback
from collections.abc import Mapping
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from types import TracebackType

import orjson

from assistant_site.db import scope
from assistant_site.tracing import spans

_NAMES = ("request_id", "run_id", "thread_id")
_LONGEST_ID = 64  # characters; in an address there may be anything
_LONGEST_SENTENCE = 300

process = "command"  # what this process is: web, worker or ingestion, says `watched`
# Every request notes something, and few write a line: what was noted is only looked at for that.
Facts = tuple[Mapping[str, str], ...]
_noted: ContextVar[Facts] = ContextVar("noted", default=())

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def note(facts: Mapping[str, str]) -> Token[Facts]:
    """From here on the present thread or task works for this, too: `request_id`, `run_id`, `thread_id`.

    Other names are passed over. Returns what `forget` takes.
    """
    return _noted.set((*_noted.get(), facts))


def forget(token: Token[Facts]) -> None:
    """Takes the note back, and those made since."""
    _noted.reset(token)


def about() -> dict[str, str]:
    """The ids of what the present thread or task works for, as far as there are any."""
    told = {name: facts[name][:_LONGEST_ID] for facts in _noted.get() for name in _NAMES if facts.get(name)}
    tenant = scope.present()
    if tenant not in (scope.CLOSED, scope.EVERYTHING):
        told["tenant_id"] = tenant
    if (traced := spans.ids()) is not None:
        told["trace_id"], told["span_id"] = traced
    return told


class LineFormatter(logging.Formatter):
    """Time, level, logger and message; exceptions below, without what may be content."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatException(self, ei: ExceptionInfo) -> str:  # noqa: N802 the library's name
        return "" if ei[1] is None else stack_of(ei[1])


class JSONFormatter(logging.Formatter):
    """One object a line: `time` (RFC 3339, UTC), `level`, `logger`, `process`, `message`, ids, and `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": process,
            "message": record.getMessage(),
            **about(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = stack_of(record.exc_info[1])
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def stack_of(error: BaseException) -> str:
    """An exception with its stack and its causes, the first of them first; of what each says, the beginning."""
    told: list[str] = []
    seen: set[int] = set()
    present: BaseException | None = error
    while present is not None and id(present) not in seen:
        seen.add(id(present))
        kind = type(present)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        says = str(present).strip().partition("\n")[0][:_LONGEST_SENTENCE]
        stack = "".join(traceback.format_tb(present.__traceback__))
        told.append(f"Traceback (most recent call last):\n{stack}{name}{': ' if says else ''}{says}")
        present = present.__cause__ or (None if present.__suppress_context__ else present.__context__)
    return "\n\nand then:\n\n".join(reversed(told))
