"""PDFs, by PDFium: page after page, in the order in which the text stands in the file, so that rows stay together."""

from pathlib import Path
from typing import Any

import pypdfium2

from vector_stores.extraction.documents import CannotExtract, broken, no_text, protected, too_large
from vector_stores.extraction.pictures import recognised
from vector_stores.extraction.programs import languages_of
from vector_stores.extraction.writer import Writer, clean

_MAX_PAGES = 20_000
_FEW_CHARACTERS = 20  # a page with fewer is looked at as a picture
_DOTS_PER_POINT = 200 / 72
_MAX_PIXELS = 25_000_000
_PASSWORD = 4  # FPDF_ERR_PASSWORD
# PDFium writes U+FFFE for a hyphen at the end of a line that is not part of the word.
_SOFT_HYPHENS = ("\ufffe\r\n", "\ufffe\n", "\ufffe")


def read_pdf(path: Path, filename: str, writer: Writer) -> None:
    pdf = _opened(path)
    count = len(pdf)
    if count > _MAX_PAGES:
        raise too_large(f"It has {count:,} pages; {_MAX_PAGES:,} are allowed.")
    texts: list[str] = []
    scanned: list[int] = []
    length = 0
    for index in range(count):
        text, is_scanned = _text_of(pdf, index)
        length += len(text)
        if length > writer.limits.max_characters:
            break  # `Writer` refuses it
        texts.append(text)
        if is_scanned:
            scanned.append(index)
    if scanned:
        _recognise(pdf, scanned, texts, writer)
    writer.markdown = False
    for number, text in enumerate(texts, start=1):
        if number > 1:
            writer.write("\f")
        writer.begin_page(number)
        writer.write(text)


def _opened(path: Path) -> Any:
    try:
        return pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if error.err_code == _PASSWORD:
            raise protected() from error
        raise broken("It is not a valid PDF.") from error


def _text_of(pdf: Any, index: int) -> tuple[str, bool]:
    """The page's text, and whether the page shows something but has hardly any text."""
    try:
        page = pdf[index]
    except pypdfium2.PdfiumError:
        return "", False  # a broken page does not spoil the others
    try:
        textpage = page.get_textpage()
        text = textpage.get_text_range()
        textpage.close()
        for mark in _SOFT_HYPHENS:
            text = text.replace(mark, "")
        few = len(text.strip()) < _FEW_CHARACTERS
        return text, few and next(page.get_objects(max_depth=2), None) is not None
    except pypdfium2.PdfiumError:
        return "", False
    finally:
        page.close()


def _recognise(pdf: Any, scanned: list[int], texts: list[str], writer: Writer) -> None:
    """Replaces the texts of the scanned pages by what Tesseract sees; raises where they are most of the document."""
    essential = len(scanned) * 2 > len(texts)
    bare = not any(text.strip() for text in texts)
    if not writer.limits.ocr_languages:
        if bare:
            raise no_text("Its pages are pictures, and reading pictures is turned off on this server.")
        return
    try:
        languages = languages_of(writer.limits.ocr_languages)
    except CannotExtract:
        if bare:
            raise
        return
    most = writer.limits.max_ocr_pages
    if essential and len(scanned) > most:
        raise too_large(f"It has {len(scanned)} scanned pages; {most} are allowed.")
    for index in scanned[:most]:
        seen = clean(recognised(_rendered(pdf, index), languages))
        if len(seen.strip()) > len(texts[index].strip()):
            texts[index] = seen


def _rendered(pdf: Any, index: int) -> Any:
    page = pdf[index]
    width, height = page.get_size()
    scale = min(_DOTS_PER_POINT, (_MAX_PIXELS / max(1.0, width * height)) ** 0.5)
    picture = page.render(scale=scale, grayscale=True).to_pil()
    page.close()
    return picture
