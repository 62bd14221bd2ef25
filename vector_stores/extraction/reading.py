"""`extract`: from a path to a `Document`, by way of a child process; pictures and sound with the caller's help."""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vector_stores.extraction.confinement import run
from vector_stores.extraction.documents import (
    CannotExtract,
    Document,
    Options,
    PageStart,
    Table,
    broken,
    no_text,
    server_error,
    too_large,
)
from vector_stores.extraction.kinds import HEAD_BYTES, Kind, kind_of
from vector_stores.extraction.programs import FFMPEG_MISSING
from vector_stores.extraction.writer import clean

logger = logging.getLogger(__name__)

SENT_BYTES = 25_000_000  # what transcription endpoints take at once
_PICTURE_BYTES = 20_000_000
_NO_TRANSCRIPTION = "Reading sound and video needs a provider with a transcription model; none is configured."


def extract(path: Path, filename: str, options: Options) -> Document:
    """The text of a file of any supported type.

    Blocks for at most `options.seconds`, besides what the caller's own functions take. Raises `CannotExtract` for every
    file that cannot be read; the parser's troubles stay in its process.
    """
    head = _head_of(path)
    if not head:
        raise no_text("It is empty.")
    kind = kind_of(head, filename)
    with _folder() as folder:
        if kind in (Kind.AUDIO, Kind.VIDEO):
            return _heard(path, filename, kind, folder, options)
        if kind is Kind.IMAGE and options.image_text != "ocr":
            return _described(path, filename, folder, options)
        if kind is Kind.IMAGE and not options.ocr:
            raise CannotExtract("unsupported_file", "Reading text in pictures is turned off on this server.")
        return _document(run("read_text", path, filename, folder, options), options)


def _head_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        logger.exception("A file could not be opened for reading.")
        raise server_error() from error


@contextmanager
def _folder() -> Iterator[Path]:
    """A private folder for one child; gone afterwards."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="holdfast-extraction-"))
    except OSError as error:
        logger.exception("There is no room for a temporary folder.")
        raise server_error() from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_plain(path: Path) -> bool:
    """Whether this is a file of the child's own, and no link to somebody else's."""
    return path.is_file() and not path.is_symlink()


def _document(answer: dict[str, Any], options: Options) -> Document:
    """The child read a stranger's file, so what it says is checked as if it were the stranger's."""
    try:
        text, pages, tables = answer["text"], answer["pages"], answer["tables"]
        document = Document(
            text=text,
            pages=tuple(PageStart(int(offset), int(number)) for offset, number in pages),
            tables=tuple(Table(int(start), int(end), str(header)) for start, end, header in tables),
            has_lines=answer["has_lines"] is True,
            markdown=answer["markdown"] is True,
        )
        sound = isinstance(text, str) and clean(text) == text and 0 < len(text) <= options.max_characters
        sound = sound and all(0 <= page.offset <= len(text) for page in document.pages)
        sound = sound and all(0 <= table.start <= table.end <= len(text) for table in document.tables)
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise broken()
    return document


def _described(path: Path, filename: str, folder: Path, options: Options) -> Document:
    """What the caller's vision model sees in a picture."""
    if options.image_text == "off":
        raise CannotExtract("unsupported_file", "Reading pictures is turned off on this server.")
    if options.describe_image is None:
        raise CannotExtract("unsupported_file", "Reading pictures needs a provider with a vision model.")
    answer = run("shrink_picture", path, filename, folder, options)
    picture = folder / "picture"
    if not _is_plain(picture) or picture.stat().st_size > _PICTURE_BYTES:
        raise broken()
    return _told(options.describe_image(picture.read_bytes(), str(answer.get("mime_type"))), options)


def _heard(path: Path, filename: str, kind: Kind, folder: Path, options: Options) -> Document:
    """The transcript of sound or film; in one piece where the endpoint takes it as it is."""
    run("check_sound", path, filename, folder, options)
    if options.transcribe is None:
        raise CannotExtract("unsupported_file", _NO_TRANSCRIPTION)
    small = path.stat().st_size <= SENT_BYTES
    if kind is Kind.AUDIO and small:
        return _told(options.transcribe(path, filename), options)
    if shutil.which("ffmpeg") is None:
        raise CannotExtract("unsupported_file", FFMPEG_MISSING)
    run("split_sound", path, filename, folder, options)
    pieces = sorted(each for each in folder.glob("piece-*.mp3") if _is_plain(each))
    return _told("\n".join(options.transcribe(piece, piece.name).strip() for piece in pieces), options)


def _told(text: str, options: Options) -> Document:
    text = clean(text).strip()
    if not text:
        raise no_text()
    if len(text) > options.max_characters:
        raise too_large(f"It has more than {options.max_characters:,} characters of text.")
    return Document(text=text + "\n", markdown=False)
