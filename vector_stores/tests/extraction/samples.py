"""Makers of sound files of each type."""

import io
import struct
from collections.abc import Sequence
from typing import Any

import docx
import openpyxl
import pptx
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas


def docx_of(paragraphs: Sequence[str]) -> bytes:
    document = docx.Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    return saved(document)


def pptx_of(slides: Sequence[tuple[str, str, str]]) -> bytes:
    """Title, text and speaker notes of each slide."""
    presentation = pptx.Presentation()
    for title, text, notes in slides:
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = text
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
    return saved(presentation)


def xlsx_of(rows: Sequence[Sequence[Any]], title: str = "Sheet") -> bytes:
    workbook = openpyxl.Workbook()
    workbook.active.title = title
    for row in rows:
        workbook.active.append(row)
    return saved(workbook)


def saved(document: Any) -> bytes:
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def pdf_of(pages: Sequence[str], password: str | None = None) -> bytes:
    file = io.BytesIO()
    canvas = Canvas(file, encrypt=StandardEncryption(password) if password else None)
    for page in pages:
        for number, start in enumerate(range(0, len(page), 80)):
            canvas.drawString(72, 760 - 14 * number, page[start : start + 80])
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def picture(kind: str, text: str, **options: Any) -> bytes:
    """A picture of the text, in one of Pillow's formats."""
    image = drawn(text)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def drawn(text: str) -> Image.Image:
    image = Image.new("RGB", (900, 160), "white")
    ImageDraw.Draw(image).text((30, 50), text, fill="black", font=ImageFont.load_default(48))
    return image


def scanned_pdf(texts: Sequence[str]) -> bytes:
    first, *others = [drawn(text) for text in texts]
    file = io.BytesIO()
    first.save(file, "PDF", save_all=True, append_images=others)
    return file.getvalue()


def wav(seconds: float = 1.0) -> bytes:
    data = bytes(int(16_000 * seconds) * 2)
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + len(data),
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        16_000,
        32_000,
        2,
        16,
        b"data",
        len(data),
    )
    return head + data
