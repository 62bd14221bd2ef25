"""Files that are broken or meant to hurt, each with the error that it must end with; None: it is read, within bounds.

`HOSTILE_FILES` is for every test that feeds files in, from `extract` itself to the API. The codes hold on a server
without a transcription model and with or without Tesseract and ffmpeg.
"""

import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import NamedTuple

from vector_stores.tests.extraction import samples

INVALID, UNSUPPORTED = "invalid_file", "unsupported_file"
MEGABYTE = 1_000_000


class HostileFile(NamedTuple):
    filename: str
    make: Callable[[], bytes]
    code: str | None


def noise(length: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(length)


# Archives


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    return file.getvalue()


def part_of(office: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(office)) as packed:
        return packed.read(name)


def with_part(office: bytes, name: str, data: bytes) -> bytes:
    """The Office file with one part replaced or added."""
    with zipfile.ZipFile(io.BytesIO(office)) as packed:
        members = {info.filename: packed.read(info) for info in packed.infolist()}
    return archive(members | {name: data})


def with_parts(office: bytes, count: int) -> bytes:
    """The Office file with pictures of 10 MB, each small enough to be harmless."""
    with zipfile.ZipFile(io.BytesIO(office)) as packed:
        members = {info.filename: packed.read(info) for info in packed.infolist()}
    return archive(members | {f"word/media/{number}.png": bytes(10 * MEGABYTE) for number in range(count)})


def without_part(office: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(office)) as packed:
        return archive({info.filename: packed.read(info) for info in packed.infolist() if info.filename != name})


def nested_bomb() -> bytes:
    inner = archive({"0": bytes(50 * MEGABYTE)})
    for _ in range(5):
        inner = archive({f"{number}.zip": inner for number in range(10)})
    return inner


def lying_sizes(office: bytes, name: str) -> bytes:
    """A part that is 100 MB unpacked and says, in both its headers, that it is 1,000 bytes."""
    data = bytearray(with_part(office, name, b"<a>" + b" " * 100 * MEGABYTE))
    true = struct.pack("<I", 100 * MEGABYTE + 3)
    assert data.count(true) == 2
    return bytes(data.replace(true, struct.pack("<I", 1000)))


def overlapping() -> bytes:
    """Two entries in the directory over the same bytes."""
    office = samples.docx_of(["text"])
    data = bytearray(with_part(office, "word/twin1.xml", b"<a/>" * 100))
    end = data.rindex(b"PK\x05\x06")
    size, start = struct.unpack_from("<II", data, end + 12)
    directory = bytes(data[start : start + size])
    last = directory[directory.rindex(b"PK\x01\x02") :]
    twin = last.replace(b"twin1", b"twin2")
    counts = struct.unpack_from("<HH", data, end + 8)
    tail = bytearray(data[end:])
    struct.pack_into("<HHI", tail, 8, counts[0] + 1, counts[1] + 1, size + len(twin))
    return bytes(data[:end]) + twin + bytes(tail)


def crowded() -> bytes:
    return archive({f"word/{number}.xml": b"" for number in range(20_000)}, zipfile.ZIP_STORED)


def contains_itself() -> bytes:
    """A stored archive that carries a copy of itself, as far as a directory can say so."""
    inner = archive({"r.zip": b"PK\x03\x04" + noise(100)}, zipfile.ZIP_STORED)
    data = bytearray(inner)
    end = data.rindex(b"PK\x05\x06")
    (start,) = struct.unpack_from("<I", data, end + 16)
    struct.pack_into("<II", data, start + 20, len(data), len(data))
    return bytes(data)


def encrypted_archive() -> bytes:
    data = bytearray(samples.docx_of(["text"]))
    place = data.find(b"PK\x01\x02")
    while place >= 0:
        data[place + 8] |= 1
        place = data.find(b"PK\x01\x02", place + 4)
    return bytes(data)


# XML


LAUGHS = "<!DOCTYPE lolz [<!ENTITY l0 'ha'>" + "".join(
    f"<!ENTITY l{depth} '{f'&l{depth - 1};' * 10}'>" for depth in range(1, 10)
)
LAUGHS += "]>"
PASSWD = "<!DOCTYPE x [<!ENTITY l9 SYSTEM 'file:///etc/passwd'>]>"
REMOTE = "<!DOCTYPE x [<!ENTITY l9 SYSTEM 'http://127.0.0.1:9/x'>]>"
HIDDEN = f"<!--{'x' * 5000}-->"  # before a declaration, so that only the parser sees it
REMOTE_DTD = "<!DOCTYPE x SYSTEM 'http://127.0.0.1:9/x.dtd' [<!ENTITY l9 'x'>]>"

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def word_xml(declaration: str, encoding: str = "utf-8") -> bytes:
    text = f"<?xml version='1.0' encoding='{encoding}'?>{declaration}<w:document xmlns:w='{WORD}'><w:body><w:p><w:r>"
    return f"{text}<w:t>seen &l9;</w:t></w:r></w:p></w:body></w:document>".encode(encoding)


def docx_declaring(declaration: str, encoding: str = "utf-8") -> bytes:
    return with_part(samples.docx_of(["text"]), "word/document.xml", word_xml(declaration, encoding))


def pptx_laughing(before: str = "") -> bytes:
    office = samples.pptx_of([("Title", "Body", "")])
    with zipfile.ZipFile(io.BytesIO(office)) as packed:
        slide = packed.read("ppt/slides/slide1.xml").decode()
    declaration, _, rest = slide.partition("?>")
    return with_part(
        office, "ppt/slides/slide1.xml", f"{declaration}?>{before}{LAUGHS}{rest}".replace("Body", "&l9;").encode()
    )


def xlsx_laughing(before: str = "") -> bytes:
    shared = (
        f"<?xml version='1.0'?>{before}{LAUGHS}<sst xmlns='http://schemas.openxmlformats.org/spreadsheetml/2006/main'>"
    )
    return with_part(samples.xlsx_of([["a"]]), "xl/sharedStrings.xml", f"{shared}<si><t>&l9;</t></si></sst>".encode())


def deep_docx() -> bytes:
    depth = 100_000
    nested = "<w:p>" * depth + "</w:p>" * depth
    return with_part(
        samples.docx_of(["text"]),
        "word/document.xml",
        f"<w:document xmlns:w='{WORD}'><w:body>{nested}</w:body></w:document>".encode(),
    )


def wide_xlsx() -> bytes:
    """Two cells at the far corners of the sheet: dense, that is 17,179,869,184 cells."""
    sheet = (
        "<worksheet xmlns='http://schemas.openxmlformats.org/spreadsheetml/2006/main'><dimension ref='A1:XFD1048576'/>"
        "<sheetData><row r='1'><c r='A1'><v>1</v></c></row><row r='1048576'><c r='XFD1048576'><v>2</v></c></row>"
        "</sheetData></worksheet>"
    )
    return with_part(samples.xlsx_of([["a"]]), "xl/worksheets/sheet1.xml", sheet.encode())


def declared_xlsx() -> bytes:
    """As large by its declaration only; it holds one cell."""
    sheet = (
        "<worksheet xmlns='http://schemas.openxmlformats.org/spreadsheetml/2006/main'><dimension ref='A1:XFD1048576'/>"
        "<sheetData><row r='1'><c r='A1'><v>1</v></c></row></sheetData></worksheet>"
    )
    return with_part(samples.xlsx_of([["a"]]), "xl/worksheets/sheet1.xml", sheet.encode())


# PDF


def pdf(objects: list[str | bytes], root: int = 1) -> bytes:
    """A PDF of these objects, numbered from 1, with a proper table of their places."""
    out = bytearray(b"%PDF-1.7\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + (body.encode() if isinstance(body, str) else body) + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{place:010} 00000 n \n".encode() for place in places)
    out += f"trailer <</Size {len(objects) + 1} /Root {root} 0 R>>\nstartxref\n{start}\n%%EOF".encode()
    return bytes(out)


def stream(data: bytes, more: str = "") -> bytes:
    return f"<</Length {len(data)} {more}>>\nstream\n".encode() + data + b"\nendstream"


CATALOG = "<</Type/Catalog/Pages 2 0 R>>"
FONT = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
SHOWN = b"BT /F1 12 Tf 72 700 Td (This page says so much that nobody looks at it as a picture.) Tj ET"

SHORT = b"BT /F1 12 Tf 72 700 Td (short) Tj ET"


def pdf_page(content: bytes, box: str = "0 0 612 792", more: str = "") -> bytes:
    page = f"<</Type/Page/Parent 2 0 R/MediaBox[{box}]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>"
    return pdf([CATALOG, "<</Type/Pages/Kids[3 0 R]/Count 1>>", page, stream(content, more), FONT])


def pdf_of_pages(count: int) -> bytes:
    kids = " ".join(f"{number} 0 R" for number in range(5, 5 + count))
    page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 3 0 R/Resources<</Font<</F1 4 0 R>>>>>>"
    return pdf([CATALOG, f"<</Type/Pages/Kids[{kids}]/Count {count}>>", stream(SHOWN), FONT, *[page] * count])


def pdf_loop() -> bytes:
    return pdf([CATALOG, "<</Type/Pages/Kids[3 0 R]/Count 5>>", "<</Type/Pages/Parent 2 0 R/Kids[2 0 R]/Count 5>>"])


def pdf_of_false_count() -> bytes:
    return pdf([CATALOG, "<</Type/Pages/Kids[]/Count 2147483647>>"])


def pdf_bomb() -> bytes:
    """One page whose content is 560 MB of operators, packed twice."""
    packer = zlib.compressobj(1)
    block = b"(x) Tj " * 1_000_000
    once = b"".join(packer.compress(block) for _ in range(80)) + packer.flush()
    return pdf_page(zlib.compress(once, 9), more="/Filter[/FlateDecode/FlateDecode]")


def pdf_deep() -> bytes:
    return pdf([CATALOG, "<</Type/Pages/Kids[3 0 R]/Count 1>>", "[" * 200_000 + "]" * 200_000])


def pdf_form_loop() -> bytes:
    form = stream(b"/X Do /X Do", "/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 5 0 R>>>>")
    page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</XObject<</X 5 0 R>>>>>>"
    return pdf([CATALOG, "<</Type/Pages/Kids[3 0 R]/Count 1>>", page, stream(b"/X Do"), form])


# Pictures, sound


def png(width: int, height: int, data: bytes) -> bytes:
    def part(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", data) + part(b"IEND", b"")


def png_bomb() -> bytes:
    row = zlib.compressobj(1)
    data = b"".join(row.compress(bytes(7501)) for _ in range(60_000)) + row.flush()
    return png(60_000, 60_000, data)


def png_text_bomb() -> bytes:
    """A small picture with a comment that is 200 MB unpacked."""
    whole = samples.picture("PNG", "")
    packer = zlib.compressobj(1)
    body = b"Comment\0\0" + b"".join(packer.compress(bytes(MEGABYTE)) for _ in range(200)) + packer.flush()
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    return whole[:33] + chunk + whole[33:]


def mp4_cut() -> bytes:
    return b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2" + struct.pack(">I", 5_000_000) + b"mdat" + noise(2000)


def elf() -> bytes:
    return b"\x7fELF\x02\x01\x01" + bytes(9) + noise(3000)


def windows_program() -> bytes:
    return b"MZ\x90\0\x03\0\0\0" + noise(3000)


def ole(stream_name: str) -> bytes:
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + stream_name.encode("utf-16-le") + bytes(2000)


def html(body: str) -> bytes:
    return f"<html><body>{body}</body></html>".encode()


def cut(data: bytes, share: float = 0.5) -> bytes:
    return data[: int(len(data) * share)]


DOCX = samples.docx_of(["A paragraph of text."])
PPTX = samples.pptx_of([("Title", "Body", "Notes")])
XLSX = samples.xlsx_of([["name", "price"], ["pump", 3]])

HOSTILE_FILES: list[HostileFile] = [
    # Nothing in them, or nothing of what the name says.
    HostileFile("empty.txt", lambda: b"", INVALID),
    HostileFile("empty.pdf", lambda: b"", INVALID),
    HostileFile("blank.txt", lambda: b" \n\t\r\n" * 1000, INVALID),
    HostileFile("blank.docx", lambda: samples.docx_of([]), INVALID),
    HostileFile("blank.xlsx", lambda: samples.xlsx_of([]), INVALID),
    HostileFile("blank.html", lambda: html("<script>var text = 1</script><style>p {}</style>"), INVALID),
    HostileFile("page.pdf", lambda: html("not a PDF"), INVALID),
    HostileFile("text.docx", lambda: b"This is no archive.", INVALID),
    HostileFile("archive.docx", lambda: archive({"a.txt": b"text"}), INVALID),
    HostileFile("text.png", lambda: b"This is no picture.", INVALID),
    HostileFile("noise.mp3", lambda: b"x" + noise(5000), INVALID),
    HostileFile("text.mp4", lambda: b"This is no film.", INVALID),
    HostileFile("truly-a-pdf.docx", lambda: pdf_page(SHOWN), None),
    HostileFile("truly-a-docx.xlsx", lambda: DOCX, None),
    HostileFile("../../../../etc/cron.d/passwd.txt", lambda: b"A name that climbs.\n", None),
    HostileFile("letter.rtf", lambda: rb"{\rtf1\ansi Hello.}", UNSUPPORTED),
    HostileFile("old.doc", lambda: ole("WordDocument"), UNSUPPORTED),
    HostileFile("old.ppt", lambda: ole("PowerPoint Document"), UNSUPPORTED),
    HostileFile("old.xls", lambda: ole("Workbook"), INVALID),
    HostileFile("secret.docx", lambda: ole("EncryptedPackage"), INVALID),
    HostileFile("book.epub", lambda: archive({"mimetype": b"application/epub+zip"}), UNSUPPORTED),
    HostileFile("files.zip", lambda: archive({"a.txt": b"text"}), UNSUPPORTED),
    HostileFile("program", elf, UNSUPPORTED),
    HostileFile("setup.txt", windows_program, UNSUPPORTED),
    HostileFile("noise.dat", lambda: noise(200_000), UNSUPPORTED),
    HostileFile("nuls.txt", lambda: bytes(100_000), UNSUPPORTED),
    HostileFile("log.txt.gz", lambda: b"\x1f\x8b\x08" + noise(500), UNSUPPORTED),
    # Cut short, or garbage after a good beginning.
    HostileFile("cut.pdf", lambda: cut(samples.pdf_of(["Some text on a page. " * 20] * 3), 0.2), INVALID),
    HostileFile("garbage.pdf", lambda: b"%PDF-1.7\n" + noise(20_000), INVALID),
    HostileFile("cut.docx", lambda: cut(DOCX), INVALID),
    HostileFile("garbage.docx", lambda: b"PK\x03\x04" + noise(20_000), INVALID),
    HostileFile("headless.docx", lambda: without_part(DOCX, "word/document.xml"), INVALID),
    HostileFile("spoiled.docx", lambda: with_part(DOCX, "word/document.xml", b"<w:document"), INVALID),
    HostileFile("cut.pptx", lambda: cut(PPTX), INVALID),
    HostileFile("spoiled.pptx", lambda: with_part(PPTX, "ppt/slides/slide1.xml", noise(500)), INVALID),
    HostileFile("cut.xlsx", lambda: cut(XLSX), INVALID),
    HostileFile("spoiled.xlsx", lambda: with_part(XLSX, "xl/worksheets/sheet1.xml", b"<worksheet><"), INVALID),
    HostileFile("cut.png", lambda: cut(samples.picture("PNG", "text")), INVALID),
    HostileFile("cut.jpeg", lambda: cut(samples.picture("JPEG", "text")), INVALID),
    HostileFile("garbage.webp", lambda: b"RIFF\0\0\1\0WEBPVP8 " + noise(500), INVALID),
    HostileFile("garbage.tiff", lambda: b"II*\0\x08\0\0\0" + noise(500), INVALID),
    HostileFile("garbage.mp3", lambda: b"ID3\x03\0\0\0\0\0\0" + b"no sound " * 500, INVALID),
    HostileFile("cut.mp4", mp4_cut, INVALID),
    HostileFile("cut.wav", lambda: b"RIFF\0\0\1\0WAVE", INVALID),
    # Locked.
    HostileFile("locked.pdf", lambda: samples.pdf_of(["Secret text."], password="open sesame"), INVALID),
    HostileFile("locked.zip.docx", encrypted_archive, INVALID),
    # Small files that want to be large.
    HostileFile("bomb.docx", lambda: with_part(DOCX, "word/document.xml", b" " * 190 * MEGABYTE), INVALID),
    HostileFile("huge.docx", lambda: with_parts(DOCX, 21), INVALID),
    HostileFile("nested.zip", nested_bomb, UNSUPPORTED),
    HostileFile("itself.docx", contains_itself, INVALID),
    HostileFile("overlapping.docx", overlapping, INVALID),
    HostileFile("lying.docx", lambda: lying_sizes(DOCX, "word/document.xml"), INVALID),
    HostileFile("lying.xlsx", lambda: lying_sizes(XLSX, "xl/worksheets/sheet1.xml"), INVALID),
    HostileFile("crowded.docx", crowded, INVALID),
    HostileFile("bomb.pdf", pdf_bomb, INVALID),
    HostileFile("bomb.png", png_bomb, INVALID),
    HostileFile("comment.png", png_text_bomb, INVALID),
    HostileFile("wide.xlsx", wide_xlsx, INVALID),
    HostileFile("declared.xlsx", declared_xlsx, None),
    # Entities and nesting.
    HostileFile("laughs.docx", lambda: docx_declaring(LAUGHS), INVALID),
    HostileFile("laughs-utf16.docx", lambda: docx_declaring(LAUGHS, "utf-16"), INVALID),
    HostileFile("laughs-hidden.docx", lambda: docx_declaring(HIDDEN + LAUGHS), INVALID),
    HostileFile("passwd-hidden.docx", lambda: docx_declaring(HIDDEN + PASSWD), None),
    HostileFile("remote-hidden.docx", lambda: docx_declaring(HIDDEN + REMOTE_DTD), None),
    HostileFile("laughs-hidden.pptx", lambda: pptx_laughing(HIDDEN), INVALID),
    HostileFile("laughs-hidden.xlsx", lambda: xlsx_laughing(HIDDEN), INVALID),
    HostileFile("laughs.pptx", pptx_laughing, INVALID),
    HostileFile("laughs.xlsx", xlsx_laughing, INVALID),
    HostileFile("laughs.html", lambda: f"{LAUGHS}<html><body>seen &l9;</body></html>".encode(), None),
    HostileFile("laughs.xml", lambda: f"<?xml version='1.0'?>{LAUGHS}<a>seen &l9;</a>".encode(), None),
    HostileFile("laughs.svg", lambda: f"{LAUGHS}<svg><text>seen &l9;</text></svg>".encode(), None),
    HostileFile("passwd.docx", lambda: docx_declaring(PASSWD), INVALID),
    HostileFile("remote.docx", lambda: docx_declaring(REMOTE), INVALID),
    HostileFile("remote-dtd.docx", lambda: docx_declaring(REMOTE_DTD), INVALID),
    HostileFile("passwd.html", lambda: f"{PASSWD}<html><body>seen &l9;</body></html>".encode(), None),
    HostileFile("passwd.xml", lambda: f"{PASSWD}<a>seen &l9;</a>".encode(), None),
    HostileFile("deep.docx", deep_docx, INVALID),
    HostileFile("deep.json", lambda: b"[" * 500_000 + b"1" + b"]" * 500_000, None),
    HostileFile("deep.xml", lambda: b"<a>" * 200_000 + b"text" + b"</a>" * 200_000, None),
    HostileFile("deep.html", lambda: html("<div>" * 50_000 + "deep text"), None),
    HostileFile("deep-table.html", lambda: html("<table><tr><td>" * 3000 + "deep text"), None),
    HostileFile("deep.pdf", pdf_deep, INVALID),
    # PDFs that loop, or want much.
    HostileFile("loop.pdf", pdf_loop, INVALID),
    HostileFile("form-loop.pdf", pdf_form_loop, INVALID),
    HostileFile("false-count.pdf", pdf_of_false_count, INVALID),
    HostileFile("many-pages.pdf", lambda: pdf_of_pages(10_000), None),
    HostileFile("too-many-pages.pdf", lambda: pdf_of_pages(25_000), INVALID),
    HostileFile(
        "huge-page.pdf", lambda: pdf_page(SHORT + b" 0 0 99999999 99999999 re f", "0 0 99999999 99999999"), None
    ),
    HostileFile("odd-box.pdf", lambda: pdf_page(SHOWN, "nan -1e99 1e99 0"), None),
    # Texts that want much of those who guess at them.
    HostileFile("long-line.csv", lambda: b"x" * 50 * MEGABYTE, INVALID),
    HostileFile("many-columns.csv", lambda: b",".join([b"ab"] * 1_000_000) + b"\n1,2\n", None),
    HostileFile("quotes.csv", lambda: b'"' * 100_001 + b"," + b'"",' * 100_000 + b"\n1,2\n", None),
    HostileFile("too-long.txt", lambda: b"word " * 1_000_001, INVALID),
    HostileFile("as-long-as-allowed.txt", lambda: "\U0001f600".encode() * 5_000_000, None),
    HostileFile("half-legible.txt", lambda: bytes(range(128, 256)) * 2000, UNSUPPORTED),
    HostileFile("almost-utf8.txt", lambda: ("é" * 100_000).encode() + b"\xff", None),
    HostileFile("some-nuls.txt", lambda: b"A text with a few \0 in between.\n" * 30 + b"word " * 1000, None),
    HostileFile("surrogates.txt", lambda: "A half \ud83d emoji. ".encode("utf-8", "surrogatepass") * 3, None),
    HostileFile("brackets.html", lambda: b"<" * 1_000_000, None),
    HostileFile("entities.html", lambda: html("&amp" * 200_000), None),
    HostileFile("attributes.html", lambda: b"<p " + b"a=b " * 300_000 + b">text", None),
    HostileFile("keys.json", lambda: json.dumps({str(key): key for key in range(100_000)}).encode(), None),
]
