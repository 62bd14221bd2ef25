"""Zip archives, as Office writes them: judged before anything in them is unpacked, and unpacked once on trial.

The directory of an archive may lie, so its sizes are checked against what comes out: `zipfile` stops at the size that
was declared and compares the checksum.
"""

import re
import zipfile
from enum import StrEnum
from pathlib import Path

from vector_stores.extraction.documents import broken, protected, too_large, unsupported
from vector_stores.extraction.kinds import SUPPORTED

_MAX_MEMBERS = 10_000
_MAX_UNPACKED = 200_000_000
_MAX_RATIO = 100
_SMALL = 10_000_000  # bytes unpacked; generated files repeat themselves, and so little harms nobody
_LOCAL_HEADER = 30
# Open Packaging forbids these, and they are what entity bombs are made with.
_DECLARATIONS = tuple(
    text.encode(encoding) for text in ("<!DOCTYPE", "<!ENTITY") for encoding in ("utf-8", "utf-16-le")
)
_DECLARED_WITHIN = 4096
# The type of an Office file's main part. A part that is itself an Office file, put into this one, has no ".main".
_MAIN_PART = re.compile(
    rb"(wordprocessingml|ms-word|presentationml|ms-powerpoint|spreadsheetml|ms-excel)\.[\w.]+\.main\b"
)


class OfficeKind(StrEnum):
    WORD = "docx"
    SLIDES = "pptx"
    SHEETS = "xlsx"


_KINDS = {
    b"wordprocessingml": OfficeKind.WORD,
    b"ms-word": OfficeKind.WORD,
    b"presentationml": OfficeKind.SLIDES,
    b"ms-powerpoint": OfficeKind.SLIDES,
    b"spreadsheetml": OfficeKind.SHEETS,
    b"ms-excel": OfficeKind.SHEETS,
}


def office_kind(path: Path) -> OfficeKind:
    """What kind of Office file an archive is; raises `CannotExtract` for others and for bombs."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _judge(members, path.stat().st_size)
            kind = _kind_of(archive)
            for member in members:
                _unpack(archive, member)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, ValueError, OSError) as error:
        raise broken("It is not a valid Office file.") from error
    return kind


def _judge(members: list[zipfile.ZipInfo], size: int) -> None:
    if len(members) > _MAX_MEMBERS:
        raise too_large(f"It consists of {len(members):,} parts; {_MAX_MEMBERS:,} are allowed.")
    if sum(member.file_size for member in members) > _MAX_UNPACKED:
        raise too_large(f"Unpacked it has more than {_MAX_UNPACKED // 1_000_000} MB.")
    if len({member.filename for member in members}) < len(members):
        raise broken("A part of it is there twice.")
    end = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.file_size > _SMALL and member.file_size > member.compress_size * _MAX_RATIO:
            raise too_large(f"Unpacked it would be more than {_MAX_RATIO} times its size.")
        if member.header_offset < end:
            raise broken("Parts of it overlap.")
        end = member.header_offset + _LOCAL_HEADER + member.compress_size
        if member.flag_bits & 1:
            raise protected()
    if end > size:
        raise broken("It is cut short.")


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    with archive.open(member) as file:
        start = file.read(_DECLARED_WITHIN)
        if member.filename.endswith((".xml", ".rels", ".vml")) and any(word in start for word in _DECLARATIONS):
            raise broken("It declares XML entities, which no Office file needs.")
        while file.read(1 << 20):
            pass


def _kind_of(archive: zipfile.ZipFile) -> OfficeKind:
    names = set(archive.namelist())
    if "mimetype" in names:
        with archive.open("mimetype") as file:
            if file.read(100).startswith(b"application/vnd.oasis.opendocument.spreadsheet"):
                return OfficeKind.SHEETS
    elif "[Content_Types].xml" in names:
        with archive.open("[Content_Types].xml") as file:
            types = file.read(1_000_000)
        if found := _MAIN_PART.search(types):
            return _KINDS[found.group(1)]
    raise unsupported(SUPPORTED)
