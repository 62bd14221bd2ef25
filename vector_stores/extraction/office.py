"""Office files: which kind each is, by what is in it."""

import mmap
import zipfile
from collections.abc import Callable
from pathlib import Path

from vector_stores.extraction.archives import OfficeKind, office_kind
from vector_stores.extraction.documents import CannotExtract, broken, protected, unsupported
from vector_stores.extraction.kinds import OFFICE, SUPPORTED, suffix_of
from vector_stores.extraction.writer import Writer


def read_office(path: Path, filename: str, writer: Writer) -> None:
    if zipfile.is_zipfile(path):
        _read_archive(path, filename, writer)
    elif _is_ole(path):
        _check_ole(path)
        _reader_of(OfficeKind.SHEETS)(path, writer)
    else:
        raise broken("It is cut short or not a valid archive.")


def _read_archive(path: Path, filename: str, writer: Writer) -> None:
    try:
        kind = office_kind(path)
    except CannotExtract as refused:
        if refused.code == "unsupported_file" and suffix_of(filename) in OFFICE:
            raise broken(f"It is an archive, but no {suffix_of(filename)}.") from refused
        raise
    _reader_of(kind)(path, writer)


def _reader_of(kind: OfficeKind) -> Callable[[Path, Writer], None]:
    if kind is OfficeKind.WORD:
        from vector_stores.extraction.word import read_word

        return read_word
    if kind is OfficeKind.SLIDES:
        from vector_stores.extraction.slides import read_slides

        return read_slides
    from vector_stores.extraction.sheets import read_sheets

    return read_sheets


def _is_ole(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\xd0\xcf\x11\xe0"


def _check_ole(path: Path) -> None:
    """Only workbooks are read of what Office wrote before 2007; the names of the streams tell what it is."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:

        def has(stream: str) -> bool:
            return data.find(stream.encode("utf-16-le")) >= 0

        if has("EncryptedPackage"):
            raise protected()
        if has("WordDocument"):
            raise unsupported("Please save it as .docx. " + SUPPORTED)
        if has("PowerPoint Document"):
            raise unsupported("Please save it as .pptx. " + SUPPORTED)
        if not has("Workbook") and not has("Book"):
            raise unsupported(SUPPORTED)
