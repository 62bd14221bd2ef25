"""Where a reader puts the text it finds: cleaned, counted against the limit, with its pages and tables noted."""

import io
import re
from dataclasses import dataclass
from typing import Any

from vector_stores.extraction.documents import no_text, too_large

_MAX_HEADER = 2000  # a longer header line is not worth repeating
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # PostgreSQL stores no NUL, UTF-8 has no lone surrogates
_RULE = re.compile(r"\|(?: *:?-+:? *\|)+ *")


@dataclass(frozen=True, slots=True)
class Limits:
    """Those of `Options` that readers keep themselves; no languages: no recognition of text in pictures."""

    max_characters: int
    ocr_languages: str
    max_ocr_pages: int


def clean(text: str) -> str:
    """Without what cannot be stored; all line ends are line feeds."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.isascii() and "\0" not in text else _UNSTORABLE.sub("", text)


class Writer:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.length = 0
        self.has_lines = False
        self.markdown = True
        self._pieces: list[str] = []
        self._pages: list[tuple[int, int]] = []
        self._tables: list[tuple[int, int, str]] = []

    def write(self, text: str) -> None:
        text = clean(text)
        self.length += len(text)
        if self.length > self.limits.max_characters:
            raise too_large(f"It has more than {self.limits.max_characters:,} characters of text.")
        self._pieces.append(text)

    def begin_page(self, number: int) -> None:
        self._pages.append((self.length, number))

    def note_table(self, start: int, header: str) -> None:
        """What was written since `start` is rows of a table."""
        header = clean(header)
        if start < self.length and header.strip() and len(header) <= _MAX_HEADER:
            self._tables.append((start, self.length, header))

    def answer(self) -> dict[str, Any]:
        """As `reading` expects it; `CannotExtract` where there is nothing but space."""
        text = "".join(self._pieces)
        if not text.strip():
            raise no_text()
        tables = self._tables or (markdown_tables(text) if self.markdown else [])
        return {
            "text": text,
            "pages": self._pages,
            "tables": tables,
            "has_lines": self.has_lines,
            "markdown": self.markdown,
        }


def markdown_tables(text: str) -> list[tuple[int, int, str]]:
    """Start, end and header (names and rule) of the rows of each Markdown table."""
    tables: list[tuple[int, int, str]] = []
    offset = start = 0
    previous = header = ""
    for line in io.StringIO(text):
        if not line.startswith("|"):
            header = ""
        elif header:
            end = offset + len(line)
            if tables and tables[-1][0] == start:
                tables.pop()
            tables.append((start, end, header))
        elif previous.startswith("|") and len(previous) + len(line) <= _MAX_HEADER and _RULE.fullmatch(line.rstrip()):
            header, start = previous + line.rstrip("\n"), offset + len(line)
        previous = line
        offset += len(line)
    return tables


def markdown_row(cells: list[str]) -> str:
    """A row of a Markdown table, with its line end."""
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |\n"


def markdown_table(rows: list[list[str]]) -> str:
    """A whole table; its first row becomes the header. Empty if there is nothing in it."""
    if not any(cell.strip() for row in rows for cell in row):
        return ""
    width = max(len(row) for row in rows)
    first, *others = [row + [""] * (width - len(row)) for row in rows]
    return markdown_row(first) + "|" + " --- |" * width + "\n" + "".join(markdown_row(row) for row in others)
