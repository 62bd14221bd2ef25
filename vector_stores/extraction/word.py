"""Word documents: headings, paragraphs, lists and tables in their order, with notes at the end.

The XML is walked rather than python-docx's paragraphs, which leave out what stands in content controls, text boxes and
tracked insertions. Page headers and footers are left out: they repeat on every page and answer no question.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.part import PartFactory
from docx.oxml.ns import qn
from docx.oxml.parser import parse_xml
from docx.package import Package
from docx.parts.document import DocumentPart

from vector_stores.extraction.documents import broken
from vector_stores.extraction.writer import Writer, markdown_table

_MACRO_TYPES = (
    "application/vnd.ms-word.document.macroEnabled.main+xml",
    "application/vnd.ms-word.template.macroEnabledTemplate.main+xml",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.template.main+xml",
)
_HEADING = re.compile(r"heading ([1-9])")
_P, _TABLE, _ROW, _CELL = qn("w:p"), qn("w:tbl"), qn("w:tr"), qn("w:tc")
_TEXT, _TAB, _BREAK, _RETURN = qn("w:t"), qn("w:tab"), qn("w:br"), qn("w:cr")
_PROPERTIES, _STYLE, _LIST, _LEVEL, _VAL = qn("w:pPr"), qn("w:pStyle"), qn("w:numPr"), qn("w:ilvl"), qn("w:val")
_BOX = qn("w:txbxContent")
# Deleted text has names of its own; a fallback repeats what stands before it for old programs.
_SKIPPED = {
    _PROPERTIES,
    qn("w:del"),
    qn("w:moveFrom"),
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",
}
_MAX_TABLE_DEPTH = 3

# Macros are never run, so a document with macros is a document.
for _name in _MACRO_TYPES:
    PartFactory.part_type_for[_name] = DocumentPart


def read_word(path: Path, writer: Writer) -> None:
    try:
        part = Package.open(str(path)).main_document_part
        names = {style.style_id: (style.name or "").lower() for style in part.styles}
        body = part.element.body
    except (KeyError, AttributeError, ValueError) as error:
        raise broken("It is not a valid docx.") from error
    if body is None:
        raise broken("It is not a valid docx.")
    for block in _blocks(body):
        writer.write(_table(block, 0) if block.tag == _TABLE else _paragraph(block, names))
    for kind in (RELATIONSHIP_TYPE.FOOTNOTES, RELATIONSHIP_TYPE.ENDNOTES):
        for relation in part.rels.values():
            if relation.reltype == kind and not relation.is_external:
                _write_notes(relation.target_part.blob, writer)


def _blocks(container: Any) -> Iterator[Any]:
    """Paragraphs and tables, also those in content controls and the like, none of those within another."""
    for child in container:
        if child.tag in (_P, _TABLE):
            yield child
        elif isinstance(child.tag, str) and child.tag not in _SKIPPED:
            yield from _blocks(child)


def _paragraph(paragraph: Any, names: dict[str, str]) -> str:
    text, boxes = _text_of(paragraph)
    text = text.strip()
    properties = paragraph.find(_PROPERTIES)
    style = properties.find(_STYLE) if properties is not None else None
    name = names.get(style.get(_VAL), "") if style is not None else ""
    if text and (heading := _HEADING.match(name)):
        text = "#" * min(6, int(heading.group(1))) + " " + " ".join(text.split())
    elif text and name == "title":
        text = "# " + " ".join(text.split())
    elif text and (indent := _list_level(properties, name)) is not None:
        mark = "1. " if name.startswith("list number") else "- "
        return "  " * indent + mark + text + "\n" + "".join(boxes)
    return (text + "\n\n" if text else "") + "".join(boxes)


def _list_level(properties: Any, style: str) -> int | None:
    """How deep in a list a paragraph is; None outside of lists."""
    numbering = properties.find(_LIST) if properties is not None else None
    if numbering is None:
        return 0 if style.startswith(("list bullet", "list number")) else None
    level = numbering.find(_LEVEL)
    value = level.get(_VAL, "0") if level is not None else "0"
    return min(8, int(value)) if value.isdecimal() else 0


def _text_of(paragraph: Any) -> tuple[str, list[str]]:
    """The paragraph's own text, and the paragraphs of text boxes anchored in it."""
    pieces: list[str] = []
    boxes: list[str] = []

    def walk(element: Any) -> None:
        for child in element:
            if child.tag == _TEXT:
                pieces.append(child.text or "")
            elif child.tag == _TAB:
                pieces.append("\t")
            elif child.tag in (_BREAK, _RETURN):
                pieces.append("\n")
            elif child.tag == _BOX:
                boxes.extend(
                    _table(block, 0) if block.tag == _TABLE else _paragraph(block, {}) for block in _blocks(child)
                )
            elif isinstance(child.tag, str) and child.tag not in _SKIPPED:
                walk(child)

    walk(paragraph)
    return "".join(pieces), boxes


def _table(table: Any, depth: int) -> str:
    rows = [[_cell(cell, depth) for cell in _inner(row, _CELL)] for row in _inner(table, _ROW)]
    if max((len(row) for row in rows), default=0) == 1:  # one column is layout
        return "".join(row[0] + "\n\n" for row in rows if row and row[0])
    text = markdown_table(rows)
    return text + "\n" if text else ""


def _inner(element: Any, tag: str) -> Iterator[Any]:
    for child in element:
        if child.tag == tag:
            yield child
        elif isinstance(child.tag, str) and child.tag not in _SKIPPED:
            yield from _inner(child, tag)


def _cell(cell: Any, depth: int) -> str:
    texts = []
    for block in _blocks(cell):
        if block.tag != _TABLE:
            texts.append(_text_of(block)[0].strip())
        elif depth < _MAX_TABLE_DEPTH:
            texts.append(" ".join(_table(block, depth + 1).split()))
    return " ".join(text for text in texts if text)


def _write_notes(blob: bytes, writer: Writer) -> None:
    """Foot- or endnotes, each a paragraph."""
    for block in _blocks(parse_xml(blob)):
        if block.tag == _P:
            writer.write(_paragraph(block, {}))
