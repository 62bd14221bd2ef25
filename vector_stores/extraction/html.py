"""HTML as Markdown: headings, lists, tables and links survive, programs and drawings do not."""

import re
import warnings
from pathlib import Path

from bs4 import BeautifulSoup, XMLParsedAsHTMLWarning
from markdownify import MarkdownConverter

from vector_stores.extraction.documents import too_large
from vector_stores.extraction.texts import decode
from vector_stores.extraction.writer import Writer

_MAX_BYTES = 32 * 1024 * 1024
_UNSEEN = ["script", "style", "noscript", "template", "svg", "head"]
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:-]{1,40})", re.IGNORECASE)
# Without escapes: who searches for snake_case shall find it.
_CONVERTER = MarkdownConverter(heading_style="ATX", strip=["img"], escape_underscores=False, escape_asterisks=False)
_MANY_BREAKS = re.compile(r"\n{3,}")


def read_html(path: Path, filename: str, writer: Writer) -> None:
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise too_large(f"HTML may have {_MAX_BYTES // 1024**2} MB.")
    declared = _CHARSET.search(data[:4096])
    text = decode(data, declared.group(1).decode() if declared else None)
    warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)
    soup = BeautifulSoup(text, "lxml")
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    for tag in soup(_UNSEEN):
        tag.decompose()
    try:
        body = _CONVERTER.convert_soup(soup)
    except RecursionError:  # hundreds of nested tags carry no structure that a reader would see
        body = soup.get_text("\n", strip=True)
    body = _MANY_BREAKS.sub("\n\n", body).strip()
    if title and not body.startswith("# "):
        writer.write(f"# {title}\n\n")
    if body:
        writer.write(body + "\n")
