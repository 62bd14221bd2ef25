"""Workbooks (xlsx, xlsm, xlsb, xls, ods): each sheet a page, each row a line with tabs between its cells.

Formulas show the value that was last computed; macros are not even read.
"""

from datetime import date, datetime, time, timedelta
from pathlib import Path

from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetTypeEnum

from vector_stores.extraction.documents import broken, no_text, protected, too_large
from vector_stores.extraction.writer import Writer

_MAX_SHEETS = 1000
_MAX_CELLS = 20_000_000  # of one sheet: calamine lays out all of them, the empty ones too

Cell = int | float | str | bool | time | date | datetime | timedelta


def read_sheets(path: Path, writer: Writer) -> None:
    try:
        workbook = CalamineWorkbook.from_path(str(path))
        sheets = [each for each in workbook.sheets_metadata if each.typ == SheetTypeEnum.WorkSheet]
    except PasswordError as error:
        raise protected() from error
    except CalamineError as error:
        raise broken("It is not a valid workbook.") from error
    if len(sheets) > _MAX_SHEETS:
        raise too_large(f"It has {len(sheets):,} sheets; {_MAX_SHEETS:,} are allowed.")
    empty = True
    for number, metadata in enumerate(sheets, start=1):
        try:
            sheet = workbook.get_sheet_by_name(metadata.name)
        except CalamineError as error:
            raise broken("One of its sheets is not valid.") from error
        if sheet.height * sheet.width > _MAX_CELLS:
            raise too_large(f"A sheet of it has {sheet.height:,} × {sheet.width:,} cells.")
        if sheet.height:
            empty = False
        writer.begin_page(number)
        _write_sheet(sheet, writer)
    if empty:
        raise no_text("Its sheets are empty.")


def _write_sheet(sheet: object, writer: Writer) -> None:
    name = " ".join(str(getattr(sheet, "name", "")).split())
    writer.write(f"# {name}\n\n")
    header, start = "", writer.length
    for row in sheet.iter_rows():  # type: ignore[attr-defined]
        line = "\t".join(_shown(cell) for cell in row).rstrip("\t ")
        if not line.strip():
            continue
        writer.write(line + "\n")
        if not header:
            header, start = line, writer.length
    writer.note_table(start, header)
    writer.write("\n")


def _shown(cell: Cell) -> str:
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == time() else cell.isoformat(sep=" ", timespec="seconds")
    if isinstance(cell, date | time):
        return cell.isoformat()
    return " ".join(str(cell).split())
