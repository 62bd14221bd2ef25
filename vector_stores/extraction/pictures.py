"""Pictures: made small and plain with Pillow, then read by Tesseract, or handed back for a vision model."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from vector_stores.extraction.documents import CannotExtract, broken, too_large
from vector_stores.extraction.programs import languages_of, recognise
from vector_stores.extraction.writer import Writer

_MAX_PIXELS = 50_000_000
_LONGEST_SIDE = 2048  # what vision models look at; more only costs
_PNG_BYTES = 4_000_000  # a bigger one is a photo: JPEG
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP")
_CJK = "\u3001-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef"
_BLANKS_IN_CJK = re.compile(f"(?<=[{_CJK}])[ \\t]+(?=[{_CJK}])")

# Our own bound comes first and is exact.
Image.MAX_IMAGE_PIXELS = None


def read_picture(path: Path, filename: str, writer: Writer) -> None:
    languages = None
    for number, picture in enumerate(_frames(path), start=1):
        if languages is None:  # a broken picture is called broken also where Tesseract is missing
            languages = languages_of(writer.limits.ocr_languages)
        if number > writer.limits.max_ocr_pages:
            raise too_large(f"It has more than {writer.limits.max_ocr_pages} pages.")
        if number > 1:
            writer.write("\f")
        writer.begin_page(number)
        writer.write(recognised(picture, languages))
    writer.markdown = False


def recognised(picture: Any, languages: str) -> str:
    """The text in a picture of Pillow's; without the blanks that Tesseract puts between Chinese characters."""
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        picture.save(file, "PNG", compress_level=1)
        file.flush()
        text = recognise(Path(file.name), languages)
    return _BLANKS_IN_CJK.sub("", text.replace("\f", "")).strip() + "\n"


def shrink(path: Path, into: Path) -> str:
    """Writes the picture as a vision model takes it; returns its media type."""
    picture = next(_frames(path))
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    picture.save(into, "PNG")
    if into.stat().st_size <= _PNG_BYTES:
        return "image/png"
    picture.save(into, "JPEG", quality=90)
    return "image/jpeg"


def _frames(path: Path) -> Iterator[Any]:
    """The pages of a TIFF, else the one picture (of an animation the first), upright, on white."""
    try:
        with Image.open(path, formats=_FORMATS) as source:
            if source.width * source.height > _MAX_PIXELS:
                raise too_large(f"It is {source.width} × {source.height} pixels; 50 million are allowed.")
            for frame in ImageSequence.Iterator(source):
                if frame.width * frame.height > _MAX_PIXELS:
                    raise too_large("One of its pages has more than 50 million pixels.")
                yield _plain(frame)
                if source.format != "TIFF":
                    return
    except (CannotExtract, MemoryError):
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as error:
        raise broken("It is not a valid picture.") from error


def _plain(frame: Any) -> Any:
    frame.load()
    upright = ImageOps.exif_transpose(frame)
    if "A" in upright.getbands() or "transparency" in upright.info:
        upright = upright.convert("RGBA")
        ground = Image.new("RGBA", upright.size, "white")
        return Image.alpha_composite(ground, upright).convert("RGB")
    return upright.convert("L" if upright.mode in ("1", "L", "I", "I;16", "F") else "RGB")
