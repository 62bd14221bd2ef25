"""Text in any encoding: plain text, Markdown, source code, JSON, XML, YAML; and comma- or tab-separated rows."""

import codecs
import contextlib
import csv
import io
import re
from pathlib import Path

from vector_stores.extraction.documents import broken, too_large, unsupported
from vector_stores.extraction.kinds import SUPPORTED, suffix_of
from vector_stores.extraction.writer import Writer, clean

_MOST_BYTES_PER_CHARACTER = 4
_SAMPLE = 64 * 1024  # bytes that the encoding is judged by
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x08\x1b"))
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ROWS = {"csv": None, "tsv": "\t", "tab": "\t"}
_MARKDOWN = {"md", "markdown", "mdx", "rst", "txt", "text", ""}
_NUMBER = re.compile(r"[\s\d.,%+-]*")


def read_text(path: Path, filename: str, writer: Writer) -> None:
    suffix = suffix_of(filename)
    text = clean(decode(_bytes_of(path, writer.limits.max_characters)))
    writer.has_lines = True
    writer.markdown = suffix in _MARKDOWN
    if suffix in _ROWS:
        header = _header_row(text, _ROWS[suffix])
        writer.write(header)
        start = writer.length
        writer.write(text[len(header) :])
        writer.note_table(start, header.rstrip("\n"))
    else:
        writer.write(text)


def _bytes_of(path: Path, max_characters: int) -> bytes:
    most = max_characters * _MOST_BYTES_PER_CHARACTER
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise too_large(f"It has more than {max_characters:,} characters of text.")
    return data


def decode(data: bytes, declared: str | None = None) -> str:
    """The text in `data`: by its mark, as UTF-8, as `declared`, by its looks. `CannotExtract` where it is no text."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _readable(data.decode(encoding, "replace"))
    has_controls = _has_controls(data)
    if not has_controls:
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode()
    for likely in (declared, _utf16_of(data[:_SAMPLE])):
        if likely is not None:
            try:
                return _readable(data.decode(likely))
            except (UnicodeDecodeError, LookupError):
                continue
    if has_controls:
        # Among them are texts of nothing but NULs, which are UTF-8 by the letter.
        raise unsupported(f"It is neither text nor a known type. {SUPPORTED}")
    return _readable(_guessed(data))


def _has_controls(data: bytes) -> bool:
    sample = data[:_SAMPLE]
    return len(sample) - len(sample.translate(None, _CONTROLS)) > len(sample) // 100


_FEW_ZEROS = 3  # a stray one in a short text says nothing


def _utf16_of(sample: bytes) -> str | None:
    """UTF-16 without its mark shows by zeros in every other byte, as long as some of it is Latin or space."""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if max(even, odd) < _FEW_ZEROS or max(even, odd) * 20 < len(sample) or min(even, odd) * 10 > max(even, odd):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _guessed(data: bytes) -> str:
    """In the encoding that makes most sense of a sample, or UTF-8 if little of it is damaged."""
    with contextlib.suppress(UnicodeDecodeError):
        # Surrogates do not belong into UTF-8, but some programs write them: pairs are joined, halves are dropped later.
        return data.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
    text = data.decode("utf-8", "replace")
    if text.count("\ufffd") * 200 <= len(text):
        return text
    from charset_normalizer import from_bytes

    best = from_bytes(data[:_SAMPLE], steps=5, chunk_size=512).best()
    if best is None:
        # A sample cut within a character is decoded by none of the encodings that have several bytes to one.
        best = from_bytes(data[: _SAMPLE - 1], steps=5, chunk_size=512).best()
    if best is None:
        raise unsupported(f"It is neither text nor a known type. {SUPPORTED}")
    return data.decode(best.encoding, "replace")


def _readable(text: str) -> str:
    if text.count("\ufffd") * 20 > len(text):
        raise broken("Its characters cannot be decoded.")
    return text


def _header_row(text: str, delimiter: str | None) -> str:
    """The first row with its line end; empty where it holds only numbers, so that it is no header."""
    sample = text[:4096]
    if delimiter is None:
        try:
            delimiter = csv.Sniffer().sniff(sample, ",;\t|").delimiter
        except csv.Error:
            delimiter = ","
    end, quoted = 0, False
    for line in io.StringIO(sample):
        end += len(line)
        quoted ^= line.count('"') % 2 == 1
        if not quoted:
            break
    row = sample[:end]
    if quoted or not row.endswith("\n") or all(_NUMBER.fullmatch(cell.strip('"')) for cell in row.split(delimiter)):
        return ""
    return row
