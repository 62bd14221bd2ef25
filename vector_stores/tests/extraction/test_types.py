"""What is read out of sound files of each type."""

import codecs
import datetime
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pptx
import pytest
from docx.oxml import parse_xml
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate, Paragraph, SimpleDocTemplate, Table

from vector_stores.extraction import CannotExtract, Document, Options, extract
from vector_stores.tests.extraction import hostile, samples

Read = Callable[..., Document]

CHINESE = "租约在春天到期。没有人续签！这值得吗？房东认为值得，邻居不同意。"
JAPANESE = "契約は春に終わった。誰も更新しなかった！それは価値があったか？大家はそう思った。"
GERMAN = "Der Käufer übernimmt die Straße für fünf Jahre; die Miete beträgt 500 € im Monat."


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(data: bytes, filename: str, **options: Any) -> Document:
        path = tmp_path / "blob"
        path.write_bytes(data)
        return extract(path, filename, Options(**options))

    return read


def refusal(read: Read, data: bytes, filename: str, **options: Any) -> CannotExtract:
    with pytest.raises(CannotExtract) as refused:
        read(data, filename, **options)
    return refused.value


def page_of(document: Document, words: str) -> int:
    place = document.text.index(words)
    return max(page.number for page in document.pages if page.offset <= place)


# PDF


def test_a_pdf_is_read_page_by_page(read: Read) -> None:
    document = read(samples.pdf_of(["First page about pumps.", "Second page about valves."]), "manual.pdf")
    assert document.text == "First page about pumps.\fSecond page about valves."
    assert [(page.offset, page.number) for page in document.pages] == [(0, 1), (24, 2)]
    assert not document.has_lines
    assert not document.markdown


def test_rows_of_a_table_in_a_pdf_stay_together(read: Read) -> None:
    file = io.BytesIO()
    rows = [["Article", "Price", "Stock"], ["pump", "12.50", "7"], ["valve", "3.20", "150"]]
    SimpleDocTemplate(file, pagesize=A4).build([Table(rows)])
    assert read(file.getvalue(), "stock.pdf").text.split() == [cell for row in rows for cell in row]


def test_columns_of_a_pdf_are_read_one_after_the_other(read: Read) -> None:
    file = io.BytesIO()
    left, right = Frame(40, 600, 240, 200), Frame(300, 600, 240, 200)
    template = BaseDocTemplate(file, pagesize=A4)
    template.addPageTemplates([PageTemplate(frames=[left, right])])
    sentences = [f"Sentence number {number} of the article in columns." for number in range(30)]
    template.build([Paragraph(sentence, getSampleStyleSheet()["Normal"]) for sentence in sentences])
    text = " ".join(read(file.getvalue(), "article.pdf").text.split())
    places = [text.index(sentence) for sentence in sentences]
    assert places == sorted(places)


def test_chinese_and_japanese_are_read_from_a_pdf(read: Read) -> None:
    file = io.BytesIO()
    canvas = Canvas(file)
    for font, text in (("STSong-Light", CHINESE), ("HeiseiMin-W3", JAPANESE)):
        pdfmetrics.registerFont(UnicodeCIDFont(font))
        canvas.setFont(font, 10)
        canvas.drawString(50, 700, text)
        canvas.showPage()
    canvas.save()
    assert read(file.getvalue(), "lease.pdf").text == f"{CHINESE}\f{JAPANESE}"


def test_a_password_is_told_apart_from_damage(read: Read) -> None:
    locked = refusal(read, samples.pdf_of(["Secret text of a page."], password="open sesame"), "a.pdf")
    assert "protected by a password" in locked.message
    assert "not a valid PDF" in refusal(read, b"%PDF-1.4 garbage", "a.pdf").message


# Word


def test_a_word_document_becomes_markdown_in_order(read: Read) -> None:
    document = docx.Document()
    document.add_heading("Manual 手册", 1)
    document.add_paragraph("An opening paragraph.")
    document.add_paragraph("first", style="List Bullet")
    document.add_paragraph("second", style="List Bullet")
    document.add_heading("Prices", 2)
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ["article", "price | net", "pump", "12.50"], strict=True):
        cell.text = text
    document.add_paragraph("A closing paragraph.")
    document.sections[0].header.paragraphs[0].text = "Confidential"
    found = read(samples.saved(document), "manual.docx")
    assert found.text == (
        "# Manual 手册\n\nAn opening paragraph.\n\n- first\n- second\n## Prices\n\n"
        "| article | price \\| net |\n| --- | --- |\n| pump | 12.50 |\n\nA closing paragraph.\n\n"
    )
    (rows,) = found.tables
    assert found.text[rows.start : rows.end] == "| pump | 12.50 |\n"
    assert rows.header == "| article | price \\| net |\n| --- | --- |"


def test_tracked_changes_content_controls_and_text_boxes_of_word_are_read_once(read: Read) -> None:
    document = docx.Document()
    paragraph = document.add_paragraph("The rent is ")
    names = f"xmlns:w='{hostile.WORD}' xmlns:mc='http://schemas.openxmlformats.org/markup-compatibility/2006'"
    box = "<w:txbxContent><w:p><w:r><w:t>in the box</w:t></w:r></w:p></w:txbxContent>"
    for part in (
        f"<w:del {names}><w:r><w:delText>400</w:delText></w:r></w:del>",
        f"<w:ins {names}><w:r><w:t>500</w:t></w:r></w:ins>",
        f"<w:r {names}><mc:AlternateContent><mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback>"
        "</mc:AlternateContent></w:r>",
    ):
        paragraph._p.append(parse_xml(part))
    control = f"<w:sdt {names}><w:sdtContent><w:p><w:r><w:t>controlled</w:t></w:r></w:p></w:sdtContent></w:sdt>"
    document.element.body.insert(1, parse_xml(control))
    text = read(samples.saved(document), "lease.docx").text
    assert text == "The rent is 500\n\nin the box\n\ncontrolled\n\n"


TYPES = "[Content_Types].xml"


@pytest.mark.parametrize(
    ("filename", "data", "plain", "other"),
    [
        (
            "a.docm",
            samples.docx_of(["text with macros"]),
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml",
            "application/vnd.ms-word.document.macroEnabled.main+xml",
        ),
        (
            "a.pptm",
            samples.pptx_of([("text with macros", "", "")]),
            "application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml",
            "application/vnd.ms-powerpoint.presentation.macroEnabled.main+xml",
        ),
        (
            "a.xlsm",
            samples.xlsx_of([["text with macros"]]),
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml",
            "application/vnd.ms-excel.sheet.macroEnabled.main+xml",
        ),
        (
            "a.dotx",
            samples.docx_of(["text with macros"]),
            "wordprocessingml.document.main+xml",
            "wordprocessingml.template.main+xml",
        ),
        (
            "a.ppsx",
            samples.pptx_of([("text with macros", "", "")]),
            "presentationml.presentation.main+xml",
            "presentationml.slideshow.main+xml",
        ),
    ],
    ids=["docm", "pptm", "xlsm", "dotx", "ppsx"],
)
def test_files_with_macros_templates_and_shows_are_read_as_documents(
    read: Read, filename: str, data: bytes, plain: str, other: str
) -> None:
    types = hostile.part_of(data, TYPES).decode()
    assert plain in types
    changed = hostile.with_part(data, TYPES, types.replace(plain, other).encode())
    assert "text with macros" in read(changed, filename).text


def test_slides_with_a_word_document_in_them_are_slides(read: Read) -> None:
    data = samples.pptx_of([("A slide", "", "")])
    word = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    word = f'<Default Extension="docx" ContentType="{word}"/>'
    types = hostile.part_of(data, TYPES).decode().replace("<Default", word + "<Default", 1)
    assert read(hostile.with_part(data, TYPES, types.encode()), "a.pptx").text == "# A slide\n\n"


# PowerPoint


def test_slides_have_titles_texts_tables_and_notes(read: Read) -> None:
    presentation = pptx.Presentation(io.BytesIO(samples.pptx_of([("Plan 計画", "first\nsecond", "Speak slowly.")])))
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    table = slide.shapes.add_table(2, 2, 0, 0, 914400, 914400).table
    for row, column, text in ((0, 0, "quarter"), (0, 1, "sales"), (1, 0, "Q1"), (1, 1, "40")):
        table.cell(row, column).text = text
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, 914400, 914400).text_frame.text = "in a group"
    document = read(samples.saved(presentation), "plan.pptx")
    assert document.text == (
        "# Plan 計画\n\nfirst\nsecond\n\nNotes: Speak slowly.\n\n"
        "# Slide 2\n\n| quarter | sales |\n| --- | --- |\n| Q1 | 40 |\n\nin a group\n\n"
    )
    assert (page_of(document, "Speak"), page_of(document, "Q1")) == (1, 2)
    assert document.tables[0].header.startswith("| quarter | sales |")


# Sheets


def test_a_workbook_is_read_sheet_by_sheet_with_the_header_of_each(read: Read) -> None:
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    assert sheet is not None
    sheet.title = "Lager 仓库"
    sheet.append(["name", "price", "since", "at", "sold"])
    sheet.append(["泵 pump", 12.5, datetime.datetime(2024, 2, 3), datetime.datetime(2024, 2, 3, 4, 5, 6), True])
    sheet.append([None, None, None, None, None])
    sheet.append(["two\nlines", 3.0, None, None, False])
    workbook.create_sheet("Other").append(["only a header"])
    document = read(samples.saved(workbook), "stock.xlsx")
    assert document.text == (
        "# Lager 仓库\n\nname\tprice\tsince\tat\tsold\n泵 pump\t12.5\t2024-02-03\t2024-02-03 04:05:06\tTRUE\n"
        "two lines\t3\t\t\tFALSE\n\n# Other\n\nonly a header\n\n"
    )
    (table,) = document.tables
    assert table.header == "name\tprice\tsince\tat\tsold"
    assert document.text[table.start :].startswith("泵 pump")
    assert document.text[: table.end].endswith("FALSE\n")
    assert (page_of(document, "pump"), page_of(document, "only a header")) == (1, 2)


def test_open_document_sheets_are_read(read: Read) -> None:
    content = (
        "<office:document-content xmlns:office='urn:oasis:names:tc:opendocument:xmlns:office:1.0' "
        "xmlns:table='urn:oasis:names:tc:opendocument:xmlns:table:1.0' "
        "xmlns:text='urn:oasis:names:tc:opendocument:xmlns:text:1.0'><office:body><office:spreadsheet>"
        "<table:table table:name='Stock'><table:table-row><table:table-cell office:value-type='string'>"
        "<text:p>pump</text:p></table:table-cell><table:table-cell office:value-type='float' office:value='3'/>"
        "</table:table-row></table:table></office:spreadsheet></office:body></office:document-content>"
    )
    kind = b"application/vnd.oasis.opendocument.spreadsheet"
    manifest = b"<manifest:manifest xmlns:manifest='urn:oasis:names:tc:opendocument:xmlns:manifest:1.0'/>"
    data = hostile.archive({"mimetype": kind, "content.xml": content.encode(), "META-INF/manifest.xml": manifest})
    assert read(data, "stock.ods").text == "# Stock\n\npump\t3\n\n"


# HTML


def test_html_becomes_markdown_without_what_nobody_sees(read: Read) -> None:
    html = (
        "<html><head><title>Pumps &amp; valves</title><style>p {}</style></head><body><nav>Home</nav>"
        "<h2>Prices</h2><p>All <b>net</b>.</p><p>snake_case 2*3</p>"
        "<script>alert(1)</script><noscript>no</noscript><template>no</template><svg><text>no</text></svg>"
        "<ul><li>one</li><li>two</li></ul><table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td>"
        "</tr></table></body></html>"
    )
    document = read(html.encode(), "page.html")
    assert document.text.startswith("# Pumps & valves\n\nHome\n\n## Prices\n\nAll **net**.\n\n")
    assert "snake_case 2*3" in document.text
    assert "* one\n* two\n" in document.text
    assert "alert" not in document.text
    assert "no" not in document.text.split()
    (table,) = document.tables
    assert document.text[table.start : table.end] == "| 1 | 2 |\n"
    assert not document.has_lines


def test_html_without_an_ending_is_known_by_its_beginning_and_its_charset_is_heeded(read: Read) -> None:
    data = f"<!doctype html><meta charset=gb18030><p>{CHINESE}</p>".encode("gb18030")
    assert read(data, "page").text == CHINESE + "\n"


# Text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (CHINESE, "gb18030"),
        (CHINESE, "utf-8"),
        (CHINESE, "utf-8-sig"),
        (CHINESE, "utf-16"),
        (JAPANESE, "cp932"),
        (JAPANESE, "euc_jp"),
        (GERMAN, "cp1252"),
        (GERMAN, "utf-16-le"),
        (GERMAN, "utf-16-be"),
        (GERMAN, "utf-32"),
    ],
)
def test_a_text_is_read_in_its_encoding(read: Read, text: str, encoding: str) -> None:
    document = read(text.encode(encoding), "lease.txt")
    assert document.text == text
    assert document.has_lines


def test_line_ends_are_made_alike_and_unstorable_characters_left_out(read: Read) -> None:
    data = b"one\r\ntwo\rthree\0\n" + "\U0001f600".encode() + b" " * 200
    assert read(data, "notes.txt").text.rstrip() == "one\ntwo\nthree\n\U0001f600"
    halves = "a\ud83db".encode("utf-16-le", "surrogatepass")
    assert read(codecs.BOM_UTF16_LE + halves + ("word " * 20).encode("utf-16-le"), "a.txt").text.startswith("a")


@pytest.mark.parametrize("name", ["a.py", "a.rs", "a.ts", "a.sql", "a.yaml", "a.json", "a.xml", "a.log", "a.unknown"])
def test_source_code_and_unknown_endings_are_text_with_line_numbers_and_no_headings(read: Read, name: str) -> None:
    document = read(b"# a comment\nvalue = 1\n", name)
    assert document.text == "# a comment\nvalue = 1\n"
    assert document.has_lines
    assert not document.markdown


def test_markdown_keeps_its_lines_and_its_tables_are_known(read: Read) -> None:
    text = "# Prices\n\n| a | b |\n|---|:-:|\n| 1 | 2 |\n| 3 | 4 |\n\nend\n"
    document = read(text.encode(), "README.md")
    assert (document.text, document.has_lines, document.markdown) == (text, True, True)
    (table,) = document.tables
    assert text[table.start : table.end] == "| 1 | 2 |\n| 3 | 4 |\n"
    assert table.header == "| a | b |\n|---|:-:|"


@pytest.mark.parametrize(
    ("text", "filename", "header"),
    [
        ("name;price\npump;12,50\nvalve;3,20\n", "a.csv", "name;price"),
        ("name\tprice\npump\t12.50\n", "a.tsv", "name\tprice"),
        ('"name, long\nand broken",price\npump,1\n', "a.csv", '"name, long\nand broken",price'),
    ],
)
def test_rows_of_comma_separated_values_know_their_header(read: Read, text: str, filename: str, header: str) -> None:
    document = read(text.encode(), filename)
    (table,) = document.tables
    assert document.text == text
    assert document.has_lines
    assert table.header == header
    assert text[table.start : table.end] == text[len(header) + 1 :]


def test_rows_of_numbers_have_no_header(read: Read) -> None:
    assert read(b"1,2\n3,4\n", "a.csv").tables == ()


# What it says when it cannot


def test_a_reason_tells_the_user_what_would_be_read(read: Read) -> None:
    refused = refusal(read, b"{\\rtf1 text}", "letter.rtf")
    assert refused.code == "unsupported_file"
    assert refused.message.startswith("The file type is not supported. Supported are pdf, docx")
    assert "save it as .docx" in refusal(read, hostile.ole("WordDocument"), "letter.doc").message


def test_a_text_that_is_too_long_is_refused_and_never_cut(read: Read) -> None:
    assert len(read(b"word " * 20, "a.txt", max_characters=100).text) == 100
    refused = refusal(read, b"word " * 20 + b"!", "a.txt", max_characters=100)
    assert refused.code == "invalid_file"
    assert refused.message.startswith("The file could not be parsed because it is too large.")
    assert "too large" in refusal(read, samples.pdf_of(["word " * 10] * 3), "a.pdf", max_characters=100).message


def test_a_stray_nul_makes_no_other_encoding_of_a_short_text(tmp_path: Path) -> None:
    path = tmp_path / "nul.txt"
    path.write_bytes(b"a\x00b falcon")
    with pytest.raises(CannotExtract) as refused:
        extract(path, "nul.txt", Options())
    assert refused.value.code == "unsupported_file"
