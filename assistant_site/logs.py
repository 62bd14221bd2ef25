"""What a line of the log is about, and lines as JSON (`LOG_FORMAT=json`).

Ids only: what callers, models and tools said is not logged, at any level.
"""

import logging
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime

import orjson

from assistant_site.db import scope
from assistant_site.tracing import spans

_request: ContextVar[str] = ContextVar("request", default="")
_run: ContextVar[str] = ContextVar("run", default="")

request_is = _request.set  # from here on the present thread or task works for this request
run_is = _run.set  # likewise, for this run


def about() -> dict[str, str]:
    """The ids of what the present thread or task works for, as far as there are any."""
    tenant = scope.present()
    told = {
        "request_id": _request.get(),
        "run_id": _run.get(),
        "tenant_id": "" if tenant in (scope.CLOSED, scope.EVERYTHING) else tenant,
    }
    if (traced := spans.ids()) is not None:
        told["trace_id"], told["span_id"] = traced
    return {name: value for name, value in told.items() if value}


class JSONFormatter(logging.Formatter):
    """One object a line: `time` (RFC 3339, UTC), `level`, `logger`, `message`, the ids, and `exception`, a stack."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **about(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
