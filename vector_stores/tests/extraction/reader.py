"""A process that does nothing but call `extract`, so that its memory and its children's can be measured.

It reads lines of JSON (path, filename, seconds) and answers each with what came of it. Its own memory is small, which
matters: a child's peak as the system tells it is never below what its parent had when it started it.
"""

import json
import logging
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from vector_stores.extraction import CannotExtract, Options, extract


class Reader:
    """The other side: starts the process and asks it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vector_stores.tests.extraction.reader"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )

    def read(self, path: Path, filename: str, seconds: float) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        line = json.dumps({"path": str(path), "filename": filename, "seconds": seconds})
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        self.process.communicate(timeout=10)


class _Peak(logging.Handler):
    """Remembers the memory of the last child."""

    megabytes = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.args, tuple) and "A child read" in record.msg:
            self.megabytes = float(str(record.args[1]))


def _own_megabytes() -> float:
    """The most memory that this process had; Linux's figure of the usage begins with what its parent had."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) / 1024


def main() -> None:
    peak = _Peak()
    logger = logging.getLogger("vector_stores.extraction")
    logger.addHandler(peak)
    logger.setLevel(logging.DEBUG)
    for line in sys.stdin:
        job = json.loads(line)
        peak.megabytes = 0
        started = time.monotonic()
        answer: dict[str, Any] = {"code": None, "message": ""}
        try:
            document = extract(Path(job["path"]), job["filename"], Options(seconds=job["seconds"]))
            answer["characters"] = len(document.text)
            answer["start"] = document.text[:10_000]
        except CannotExtract as refused:
            answer |= {"code": refused.code, "message": refused.message}
        answer["seconds"] = time.monotonic() - started
        answer["child_megabytes"] = peak.megabytes
        answer["own_megabytes"] = _own_megabytes()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
