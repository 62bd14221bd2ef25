"""What reading a file gives, what it may cost, and how it fails."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Code = Literal["unsupported_file", "invalid_file", "server_error"]

# OpenAI's own sentences; one that says more may follow.
NOT_SUPPORTED = "The file type is not supported."
TOO_LARGE = "The file could not be parsed because it is too large."
BROKEN = "The file could not be parsed because it is damaged or not what its name says."
NO_TEXT = "The file could not be parsed because there is no text in it."


class CannotExtract(Exception):
    """There is no text to be had; `message` is for the user who uploaded the file."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message


def unsupported(more: str = "") -> CannotExtract:
    return CannotExtract("unsupported_file", f"{NOT_SUPPORTED} {more}".strip())


def too_large(more: str = "") -> CannotExtract:
    return CannotExtract("invalid_file", f"{TOO_LARGE} {more}".strip())


def broken(more: str = "") -> CannotExtract:
    return CannotExtract("invalid_file", f"{BROKEN} {more}".strip())


def no_text(more: str = "") -> CannotExtract:
    return CannotExtract("invalid_file", f"{NO_TEXT} {more}".strip())


def server_error() -> CannotExtract:
    return CannotExtract("server_error", "The file could not be read because of a problem on the server.")


def protected() -> CannotExtract:
    return CannotExtract("invalid_file", "The file could not be parsed because it is protected by a password.")


@dataclass(frozen=True, slots=True)
class PageStart:
    """Where in the text a page, slide or sheet begins, and its number, counted from 1."""

    offset: int
    number: int


@dataclass(frozen=True, slots=True)
class Table:
    """The rows `text[start:end]`, and the header line that a passage which begins among them repeats."""

    start: int
    end: int
    header: str


@dataclass(frozen=True, slots=True)
class Document:
    """The text of a file. It holds no NUL and no lone surrogate, and its lines end with a line feed.

    `pages` are those of a PDF or TIFF, the slides of a presentation, the sheets of a workbook. With `has_lines` the
    line numbers of `text` are the file's own. With `markdown` a line that begins with `#` is a heading.
    """

    text: str
    pages: tuple[PageStart, ...] = ()
    tables: tuple[Table, ...] = ()
    has_lines: bool = False
    markdown: bool = True


@dataclass(frozen=True, slots=True)
class Options:
    """What reading one file may cost, and the help it may have.

    `describe_image(picture, mime_type)` and `transcribe(path, filename)` belong to the caller: they are called in its
    process, their time is not part of `seconds`, and what they raise passes through `extract` unchanged.
    """

    seconds: float = 120
    memory_bytes: int = 1024**3
    max_characters: int = 5_000_000
    ocr: bool = True
    ocr_languages: str = "eng+chi_sim+jpn"
    max_ocr_pages: int = 50
    article: bool = False  # of HTML, what the page is about: without menus, headers, footers and forms
    image_text: Literal["ocr", "vision", "off"] = "ocr"
    describe_image: Callable[[bytes, str], str] | None = None
    transcribe: Callable[[Path, str], str] | None = None
