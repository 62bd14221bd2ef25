"""Sound and film: whether a file is whole, as far as can be told cheaply, and its cutting into pieces by ffmpeg."""

import shutil
from pathlib import Path

from vector_stores.extraction.documents import CannotExtract, broken, no_text, too_large
from vector_stores.extraction.kinds import is_mpeg_frame
from vector_stores.extraction.programs import FFMPEG_MISSING, run

_PIECE_SECONDS = 20 * 60  # 7 MB at 48 kbit/s; providers take 25 MB
_MAX_PIECES = 36
_MAX_BOXES = 10_000


def check(path: Path) -> None:
    """Raises `CannotExtract` where the file is plainly cut short or only looks like sound."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4096)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"):
            position, boxes, names = 0, 0, set()
            while position < size and boxes < _MAX_BOXES:
                file.seek(position)
                length, name = _box(file.read(16), size - position)
                names.add(name)
                position += length
                boxes += 1
            if position != size or b"moov" not in names:
                raise broken("It is cut short.")
        elif head.startswith(b"ID3"):
            tag = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
            file.seek(tag)
            _find_frame(file.read(65536))
        elif head.startswith(b"\xff"):
            _find_frame(head)
        elif head.startswith(b"RIFF") and (b"fmt " not in head or b"data" not in head):
            raise broken("It is not a valid wav file.")
        elif size < 100:
            raise broken("It is cut short.")


def _box(header: bytes, left: int) -> tuple[int, bytes]:
    """Length and name of the box that begins here."""
    length = int.from_bytes(header[:4], "big")
    if length == 1:
        length = int.from_bytes(header[8:16], "big")
    elif length == 0:
        length = left
    if length < 8 or length > left:
        raise broken("It is cut short.")
    return length, header[4:8]


def _find_frame(data: bytes) -> None:
    if not any(is_mpeg_frame(data[at : at + 4]) for at in range(len(data) - 4)):
        raise broken("There is no sound in it.")


def split(path: Path, folder: Path) -> int:
    """Writes the sound as `piece-000.mp3` and so on into the folder; returns how many there are."""
    if shutil.which("ffmpeg") is None:
        raise CannotExtract("unsupported_file", FFMPEG_MISSING)
    # The format is given, and files are all that it may open: a list of addresses that calls itself a film opens none.
    source = ["-protocol_whitelist", "file", "-f", _format_of(path), "-i", f"file:{path}"]
    sound = ["-map", "0:a:0", "-vn", "-ac", "1", "-ar", "16000", "-c:a", "libmp3lame", "-b:a", "48k"]
    length = ["-t", str(_PIECE_SECONDS * _MAX_PIECES + 1)]
    pieces = ["-f", "segment", "-segment_time", str(_PIECE_SECONDS), str(folder / "piece-%03d.mp3")]
    ended = run(["ffmpeg", "-nostdin", "-v", "error", "-threads", "1", *source, *length, *sound, *pieces])
    made = len(list(folder.glob("piece-*.mp3")))
    if made > _MAX_PIECES:
        raise too_large(f"It lasts longer than {_PIECE_SECONDS * _MAX_PIECES // 3600} hours.")
    if ended is None or made == 0:
        raise no_text("It is damaged, or has no sound.")
    return made


def _format_of(path: Path) -> str:
    """ffmpeg's name for the format, by the first bytes."""
    with path.open("rb") as file:
        head = file.read(12)
    for magic, name in ((b"fLaC", "flac"), (b"OggS", "ogg"), (b"RIFF", "wav"), (b"\x1a\x45\xdf\xa3", "matroska")):
        if head.startswith(magic):
            return name
    return "mov" if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide") else "mp3"
