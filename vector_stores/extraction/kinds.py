"""What a file is: by its first bytes, and only where these say nothing, by its name."""

import re
from enum import StrEnum
from pathlib import PurePath

from vector_stores.extraction.documents import broken, unsupported

HEAD_BYTES = 8192


class Kind(StrEnum):
    PDF = "pdf"
    ZIP = "zip"  # docx, pptx, xlsx, ods and others; `archives.office_kind` looks inside
    OLE = "ole"  # doc, ppt, xls, and Office files with a password
    HTML = "html"
    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"


SUPPORTED_TYPES: dict[str, tuple[str, ...]] = {
    "documents": ("pdf", "docx", "pptx", "html"),
    "sheets": ("xlsx", "xls", "ods", "csv", "tsv"),
    "text": ("txt", "md", "json", "xml", "yaml", "source code"),
    "images": ("png", "jpeg", "webp", "gif", "tiff", "bmp"),
    "sound": ("mp3", "wav", "m4a", "ogg", "flac"),
    "video": ("mp4", "mov", "webm"),
}
SUPPORTED = "Supported are " + ", ".join(name for names in SUPPORTED_TYPES.values() for name in names) + "."

OFFICE = {"docx", "docm", "dotx", "pptx", "pptm", "ppsx", "xlsx", "xlsm", "xlsb", "ods"}
_OLE = {"xls", "xlt"}
_HTML = {"html", "htm", "xhtml"}
_IMAGES = {"png", "jpg", "jpeg", "webp", "gif", "tif", "tiff", "bmp"}
_AUDIO = {"mp3", "mpga", "mpeg", "wav", "m4a", "ogg", "oga", "opus", "flac"}
_VIDEO = {"mp4", "m4v", "mov", "webm"}
_REFUSED = {"doc", "ppt", "rtf", "epub", "odt", "odp", "zip", "gz", "7z", "rar", "tar", "exe", "dll", "so", "bin"}
_KNOWN = OFFICE | _OLE | _IMAGES | _AUDIO | _VIDEO | {"pdf"}

# (bytes, at offset): signatures of formats that are none of ours.
_OTHERS = (
    (b"\x7fELF", 0),
    (b"\xcf\xfa\xed\xfe", 0),
    (b"\xce\xfa\xed\xfe", 0),
    (b"\xca\xfe\xba\xbe", 0),
    (b"\x1f\x8b", 0),
    (b"BZh", 0),
    (b"\xfd7zXZ\x00", 0),
    (b"7z\xbc\xaf\x27\x1c", 0),
    (b"Rar!\x1a\x07", 0),
    (b"\x28\xb5\x2f\xfd", 0),
    (b"SQLite format 3\x00", 0),
    (b"\x00asm", 0),
    (b"{\\rtf", 0),
    (b"ustar", 257),
)
_MARKUP = re.compile(rb"\s*(?:<!--.{0,2000}?-->\s*)?(?:<!doctype\s+html|<html[\s>])", re.IGNORECASE | re.DOTALL)


def suffix_of(filename: str) -> str:
    return PurePath(filename).suffix.lower().removeprefix(".")


def kind_of(head: bytes, filename: str) -> Kind:
    """Raises `CannotExtract` for what is not supported, or not what its name says."""
    suffix = suffix_of(filename)
    found = _by_content(head, suffix)
    if found is not None:
        return found
    if suffix in _REFUSED or _is_other(head):
        raise unsupported(SUPPORTED)
    if suffix in _KNOWN:
        raise broken(f"It does not begin as {suffix} files do.")
    if suffix in _HTML or (suffix == "" and _MARKUP.match(head)):
        return Kind.HTML
    return Kind.TEXT


def _is_other(head: bytes) -> bool:
    windows_program = head[:2] == b"MZ" and b"\0" in head
    return windows_program or any(head.startswith(magic, offset) for magic, offset in _OTHERS)


def _by_content(head: bytes, suffix: str) -> Kind | None:
    if head.startswith(b"%PDF-") or (suffix == "pdf" and b"%PDF-" in head[:1024]):
        return Kind.PDF
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Kind.ZIP
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return Kind.OLE
    if image_type(head) is not None:
        return Kind.IMAGE
    return _sound_or_film(head, suffix)


def image_type(head: bytes) -> str | None:
    """The name by which Pillow knows the format."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith((b"II*\0", b"MM\0*")):
        return "TIFF"
    # "BM" alone may begin a text; the reserved bytes and the size of the second header do not.
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0" and head[15:18] == b"\0\0\0":
        return "BMP"
    return None


def _sound_or_film(head: bytes, suffix: str) -> Kind | None:
    if head.startswith((b"fLaC", b"OggS", b"ID3")) or (head.startswith(b"RIFF") and head[8:12] == b"WAVE"):
        return Kind.AUDIO
    if suffix in {"mp3", "mpga", "mpeg"} and is_mpeg_frame(head[:4]):
        return Kind.AUDIO
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return Kind.VIDEO
    if head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide"}:
        return Kind.AUDIO if head[8:12] in {b"M4A ", b"M4B "} or suffix == "m4a" else Kind.VIDEO
    return None


def is_mpeg_frame(header: bytes) -> bool:
    """Whether these four bytes may begin a frame of MPEG audio."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return False
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    rate, sampling = header[2] >> 4, header[2] >> 2 & 3
    return version != 1 and layer != 0 and rate not in (0, 15) and sampling != 3
