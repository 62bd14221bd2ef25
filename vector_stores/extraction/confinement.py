"""The parent's side of a child process that reads one file: start it, wait, read its answer, leave nothing behind."""

import contextlib
import json
import logging
import math
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vector_stores.extraction.documents import CannotExtract, Code, Options, server_error, too_large

logger = logging.getLogger(__name__)

_PROJECT = Path(__file__).resolve().parents[2]
# With -I neither the current folder nor PYTHON* variables decide what is imported, so the project is named here; last,
# so that none of its packages can stand in for a library's.
_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); from vector_stores.extraction.child import main; main(sys.argv[2])"
)
_BYTES_PER_CHARACTER = 6  # of JSON, at worst
_ANSWER_BYTES = 1_000_000  # for what is not text: the places of pages and tables, a reason
_CODES: dict[str, Code] = {code: code for code in ("unsupported_file", "invalid_file")}
_COMPLAINT_BYTES = 2000
_CPU_OVER = {signal.SIGXCPU, signal.SIGKILL}
_CRASHES = {signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGTRAP, signal.SIGFPE}


class _TooSlow(Exception):
    pass


class _Garbage(Exception):
    pass


def run(task: str, path: Path, filename: str, folder: Path, options: Options) -> dict[str, Any]:
    """The answer of a child to one task (see `child`); raises `CannotExtract` for every other end it can come to.

    `folder` is the child's own; what it may leave there is for the caller to read and to remove.
    """
    job = {
        "task": task,
        "path": str(path),
        "filename": filename,
        "parent": os.getpid(),
        "seconds": math.ceil(options.seconds) + 1,
        "memory_bytes": options.memory_bytes,
        "max_characters": options.max_characters,
        "ocr": options.ocr and options.image_text != "off",
        "ocr_languages": options.ocr_languages,
        "max_ocr_pages": options.max_ocr_pages,
        "article": options.article,
    }
    limit = options.max_characters * _BYTES_PER_CHARACTER + _ANSWER_BYTES
    try:
        said, status, complaint = _converse(job, folder, seconds=options.seconds, limit=limit)
    except _TooSlow:
        raise too_large(f"Reading it takes longer than {options.seconds:g} seconds.") from None
    except _Garbage:
        logger.error("A child that read a file answered without end.")
        raise server_error() from None
    except OSError as error:
        logger.error("A child that reads a file could not be started: %s", error)
        raise server_error() from error
    if complaint:  # it may quote the file
        logger.debug("A child that ended with %d complained, in %d characters.", status, len(complaint))
    if status != 0:
        raise _death(status, options)
    return _answer(said)


def _environment(folder: Path) -> dict[str, str]:
    """All that the child knows of the server's environment."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TESSDATA_PREFIX") if name in os.environ}
    own = {"HOME": str(folder), "TMPDIR": str(folder), "LC_ALL": "C.UTF-8", "OMP_THREAD_LIMIT": "1"}
    return kept | own


def _converse(job: Mapping[str, Any], folder: Path, *, seconds: float, limit: int) -> tuple[bytes, int, str]:
    """What the child said, how it ended (its exit code, or minus a signal's number), and what it complained of last."""
    started = time.monotonic()
    with tempfile.TemporaryFile(dir=folder) as errors:
        process = subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", "-c", _PROGRAM, str(_PROJECT), json.dumps(job)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env=_environment(folder),
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            said = _read(process.stdout.fileno(), deadline=started + seconds, limit=limit)
        finally:
            # The output ends with the child, so this ends what it may have started. The child itself is not reaped
            # yet, so the group is still its own.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.stdout.close()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            megabytes = used.ru_maxrss / 1024 / (1024 if sys.platform == "darwin" else 1)
            logger.debug("A child read a file in %.2f s with %.0f MB.", time.monotonic() - started, megabytes)
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - _COMPLAINT_BYTES))
        return said, process.returncode, errors.read().decode("utf-8", "replace")


def _read(source: int, *, deadline: float, limit: int) -> bytes:
    said = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                raise _TooSlow
            piece = os.read(source, 1 << 16)
            if not piece:
                return bytes(said)
            said += piece
            if len(said) > limit:
                raise _Garbage


def _death(status: int, options: Options) -> CannotExtract:
    """Libraries in C that get no memory abort or crash, so a crash most often means: too large."""
    if -status in _CPU_OVER:
        return too_large(f"Reading it takes longer than {options.seconds:g} seconds, or more memory than there is.")
    if -status in _CRASHES:
        megabytes = options.memory_bytes // 1024**2
        return too_large(f"Reading it needs more than {megabytes} MB of memory, or it is damaged.")
    logger.error("A child that reads files ended with %d. Does `python -m pip check` find all libraries?", status)
    return server_error()


def _answer(said: bytes) -> dict[str, Any]:
    """The child's answer. It read a stranger's file, so it is not believed to be well-formed."""
    try:
        answer = json.loads(said)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict):
        if "code" not in answer:
            return answer
        code, message = _CODES.get(str(answer["code"])), answer.get("message")
        if code is not None and isinstance(message, str):
            raise CannotExtract(code, message[:500])
    logger.error("A child that read a file gave no proper answer.")
    raise server_error()
