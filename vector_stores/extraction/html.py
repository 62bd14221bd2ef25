"""HTML as Markdown: headings, lists, tables and links survive, programs and drawings do not."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path

from bs4 import BeautifulSoup, Tag, XMLParsedAsHTMLWarning
from markdownify import MarkdownConverter

from vector_stores.extraction.documents import too_large
from vector_stores.extraction.texts import decode
from vector_stores.extraction.writer import Writer

_MAX_BYTES = 32 * 1024 * 1024
_UNSEEN = ["script", "style", "noscript", "template", "svg", "head"]
# Of a web page, what stands around its text.
_AROUND = {"nav", "header", "footer", "aside", "form", "button", "select", "dialog", "iframe", "menu"}
_ROLES_AROUND = {"navigation", "banner", "contentinfo", "complementary", "search", "dialog", "alertdialog", "menu"}
_NOT_SHOWN = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)
_ARTICLE_CHARACTERS = 200
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:-]{1,40})", re.IGNORECASE)
# Without escapes: who searches for snake_case shall find it.
_CONVERTER = MarkdownConverter(heading_style="ATX", strip=["img"], escape_underscores=False, escape_asterisks=False)
_MANY_BREAKS = re.compile(r"\n{3,}")


def read_html(path: Path, filename: str, writer: Writer) -> None:
    title, soup = _parsed(path)
    _write(title, _markdown(soup), writer)


def read_article(path: Path, filename: str, writer: Writer) -> None:
    """What the page is about, as far as its markup tells; all of it if that is next to nothing."""
    title, soup = _parsed(path)
    _remove(soup, lambda tag: _is_hidden(tag) or tag.name in _AROUND or tag.get("role") in _ROLES_AROUND)
    main = [tag for tag in soup.find_all(True) if tag.name == "main" or tag.get("role") == "main"]
    articles = soup.find_all("article")
    body = _markdown(main[0]) if main else _markdown(articles[0]) if len(articles) == 1 else ""
    if len(body) < _ARTICLE_CHARACTERS:
        body = _markdown(soup)
    if len(body) < _ARTICLE_CHARACTERS:
        _, soup = _parsed(path)
        _remove(soup, _is_hidden)
        body = _markdown(soup)
    _write(title, body, writer)


def _is_hidden(tag: Tag) -> bool:
    """What a reader of the page does not see is often written for machines."""
    return tag.has_attr("hidden") or tag.get("aria-hidden") == "true" or bool(_NOT_SHOWN.search(str(tag.get("style"))))


def _remove(soup: BeautifulSoup, is_unwanted: Callable[[Tag], bool]) -> None:
    for tag in [tag for tag in soup.find_all(True) if is_unwanted(tag)]:
        if not tag.decomposed:
            tag.decompose()


def _parsed(path: Path) -> tuple[str, BeautifulSoup]:
    """The page's title, and its content without what nobody sees."""
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
    return title, soup


def _markdown(part: Tag) -> str:
    try:
        body = _CONVERTER.convert_soup(part)
    except RecursionError:  # hundreds of nested tags carry no structure that a reader would see
        body = part.get_text("\n", strip=True)
    return _MANY_BREAKS.sub("\n\n", body).strip()


def _write(title: str, body: str, writer: Writer) -> None:
    if title and not body.startswith("# "):
        writer.write(f"# {title}\n\n")
    if body:
        writer.write(body + "\n")
