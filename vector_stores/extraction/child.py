"""The program of the child process: limits itself, reads one file, says what it found as JSON, and ends.

A parser that fails in whatever way has met a broken file; what it said goes to standard error, and from there to the
parent's debugging log.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vector_stores.extraction.documents import CannotExtract, broken, too_large
from vector_stores.extraction.kinds import HEAD_BYTES, Kind, kind_of
from vector_stores.extraction.limits import confine
from vector_stores.extraction.writer import Limits, Writer


def main(text: str) -> None:
    job = json.loads(text)
    confine(parent=job["parent"], seconds=job["seconds"], memory_bytes=job["memory_bytes"])
    answer = json.dumps(_perform(job), ensure_ascii=False).encode()
    while answer:
        answer = answer[os.write(sys.stdout.fileno(), answer) :]
    os._exit(0)  # taking apart what a hostile file built up could take long, or recurse too deeply


def _perform(job: dict[str, Any]) -> dict[str, Any]:
    try:
        return _TASKS[job["task"]](job)
    except CannotExtract as refused:
        failure = refused
    except MemoryError:
        failure = too_large(f"Reading it needs more than {job['memory_bytes'] // 1024**2} MB of memory.")
    except RecursionError:
        failure = broken("It is nested too deeply.")
    except ImportError:
        raise
    except Exception as error:
        traceback.print_exc(limit=-5)
        # lxml and Pillow tell of memory in their own exceptions.
        failure = too_large() if "memory alloc" in str(error).lower() else broken()
    return {"code": failure.code, "message": failure.message}


def _read_text(job: dict[str, Any]) -> dict[str, Any]:
    path = Path(job["path"])
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    limits = Limits(
        max_characters=job["max_characters"],
        ocr_languages=job["ocr_languages"] if job["ocr"] else "",
        max_ocr_pages=job["max_ocr_pages"],
    )
    writer = Writer(limits)
    _reader_of(kind_of(head, job["filename"]), article=job["article"])(path, job["filename"], writer)
    return writer.answer()


def _reader_of(kind: Kind, *, article: bool) -> Callable[[Path, str, Writer], None]:
    """Imports only what this kind of file needs: most of a small file's time is imports."""
    if kind is Kind.PDF:
        from vector_stores.extraction.pdf import read_pdf

        return read_pdf
    if kind in (Kind.ZIP, Kind.OLE):
        from vector_stores.extraction.office import read_office

        return read_office
    if kind is Kind.HTML:
        from vector_stores.extraction.html import read_article, read_html

        return read_article if article else read_html
    if kind is Kind.IMAGE:
        from vector_stores.extraction.pictures import read_picture

        return read_picture
    from vector_stores.extraction.texts import read_text

    return read_text


def _shrink_picture(job: dict[str, Any]) -> dict[str, Any]:
    from vector_stores.extraction.pictures import shrink

    return {"mime_type": shrink(Path(job["path"]), Path("picture"))}


def _split_sound(job: dict[str, Any]) -> dict[str, Any]:
    from vector_stores.extraction.sound import split

    return {"pieces": split(Path(job["path"]), Path.cwd())}


def _check_sound(job: dict[str, Any]) -> dict[str, Any]:
    from vector_stores.extraction.sound import check

    check(Path(job["path"]))
    return {}


_TASKS = {
    "read_text": _read_text,
    "shrink_picture": _shrink_picture,
    "check_sound": _check_sound,
    "split_sound": _split_sound,
}
