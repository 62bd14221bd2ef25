"""Presentations: title, texts, tables and speaker notes of each slide."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pptx.exc import PythonPptxError
from pptx.package import Package

from vector_stores.extraction.documents import broken
from vector_stores.extraction.writer import Writer, markdown_table

_MAX_DEPTH = 20  # of groups within groups


def read_slides(path: Path, writer: Writer) -> None:
    try:
        slides = list(Package.open(str(path)).main_document_part.presentation.slides)  # also of shows and templates
    except (KeyError, AttributeError, ValueError, PythonPptxError) as error:
        raise broken("It is not a valid pptx.") from error
    for number, slide in enumerate(slides, start=1):
        writer.begin_page(number)
        title = slide.shapes.title
        heading = " ".join(title.text_frame.text.split()) if title is not None else ""
        writer.write(f"# {heading or f'Slide {number}'}\n\n")
        for shape in _shapes(slide.shapes, 0):
            if title is None or shape.shape_id != title.shape_id:
                writer.write(_text_of(shape))
        if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None:
            notes = _lines(frame.text)
            writer.write(f"Notes: {notes}\n\n" if notes else "")


def _shapes(shapes: Any, depth: int) -> Iterator[Any]:
    for shape in shapes:
        if hasattr(shape, "shapes"):
            if depth < _MAX_DEPTH:
                yield from _shapes(shape.shapes, depth + 1)
        else:
            yield shape


def _text_of(shape: Any) -> str:
    if getattr(shape, "has_table", False):
        text = markdown_table([[cell.text for cell in row.cells] for row in shape.table.rows])
        return text + "\n" if text else ""
    text = _lines(shape.text_frame.text) if shape.has_text_frame else ""
    return text + "\n\n" if text else ""


def _lines(text: str) -> str:
    """PowerPoint's line breaks within a paragraph are vertical tabs."""
    return text.replace("\v", "\n").strip()
