"""The daemon's log: lines for people, or JSON objects like those of the other processes (`LOG_FORMAT=json`)."""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime


class JSONFormatter(logging.Formatter):
    """One object a line: `time` (RFC 3339, UTC), `level`, `logger`, `process`, `message`, and `exception`, a stack."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": "sandbox",
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def write_to_stderr(variables: Mapping[str, str]) -> None:
    """From level info on, in the form that these variables ask for."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    if variables.get("LOG_FORMAT", "").strip().lower() == "json":
        handler.setFormatter(JSONFormatter())
    logging.basicConfig(handlers=[handler], level=logging.INFO)
