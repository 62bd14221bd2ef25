"""Reading a page that was found: its text, as far as it can be had in a few seconds. Never raises.

The page is a stranger's: it is fetched by the guarded client, from public addresses only, and parsed in the confined
child process that reads uploaded files.
"""

import asyncio
import logging
import re
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from assistant_site import fetching
from tools.web_search.cleaning import neutral
from vector_stores.extraction import CannotExtract, Options, extract
from vector_stores.extraction.kinds import HEAD_BYTES, Kind, kind_of

logger = logging.getLogger(__name__)

MAX_BYTES = 2 * 1024 * 1024
SECONDS = 10.0
MOST_CHARACTERS = 6_000
ALL_SECONDS = 15.0  # for all pages of a search
# Search engines name the pages, so what callers may reach in private networks is not for them.
ALLOWED_HOSTS: tuple[str, ...] = ()
_NAMES = {
    "text/html": "page.html",
    "application/xhtml+xml": "page.html",
    "text/plain": "page.txt",
    "application/pdf": "page.pdf",
}
_READABLE = {Kind.HTML, Kind.TEXT, Kind.PDF}
_OPTIONS = Options(
    seconds=10,
    memory_bytes=768 * 1024**2,
    max_characters=3_000_000,
    ocr=False,
    image_text="off",
    max_ocr_pages=0,
    article=True,
)
# A child process each, so only a few at once; they wait for their children and hold nothing else up.
_readers = ThreadPoolExecutor(2, thread_name_prefix="pages")

_TARGET = r"(?:[^()\s]|\([^()\s]{0,300}\)){0,2000}(?:\s\"[^\"\n]{0,300}\")?"
_LINK = re.compile(rf"!?\[([^\[\]\n]{{0,300}})\]\({_TARGET}\)")
_ONLY_LINKS = re.compile(rf"[\s*+\-|•·»,/]*(?:{_LINK.pattern}[\s*+\-|•·»,/]*)+")
_RULES = re.compile(r"[\s|\-=_*]*")


async def read(urls: Sequence[str]) -> dict[str, str]:
    """The text of those of these pages that could be read, by their addresses."""
    tasks = {url: asyncio.create_task(_page(url)) for url in urls}
    if not tasks:
        return {}
    try:
        await asyncio.wait(tasks.values(), timeout=ALL_SECONDS)
    finally:
        for task in tasks.values():
            task.cancel()
    return {
        url: text for url, task in tasks.items() if task.done() and not task.cancelled() and (text := task.result())
    }


async def _page(url: str) -> str:
    try:
        page = await fetching.fetch(url, max_bytes=MAX_BYTES, seconds=SECONDS, allowed_hosts=ALLOWED_HOSTS)
        kind = page.content_type.partition(";")[0].strip().lower()
        if kind not in _NAMES or not page.body:
            return ""
        return await asyncio.get_running_loop().run_in_executor(_readers, _text, page.body, _NAMES[kind])
    except (fetching.CannotFetch, CannotExtract) as error:
        logger.info("A page that was found could not be read: %s", error.message)
    except Exception:
        logger.exception("A page that was found could not be read.")
    return ""


def _text(body: bytes, name: str) -> str:
    if kind_of(body[:HEAD_BYTES], name) not in _READABLE:
        return ""
    with tempfile.TemporaryDirectory(prefix="holdfast-page-") as folder:
        path = Path(folder) / name
        path.write_bytes(body)
        document = extract(path, name, _OPTIONS)
    return readable(document.text) if document.markdown else bounded(neutral(document.text[: 2 * MOST_CHARACTERS]))


def readable(markdown: str) -> str:
    """A page's Markdown without its navigation, which is lines of links, and with links as their words."""
    kept: list[str] = []
    length = 0
    for line in markdown.splitlines():
        line = line[: 4 * MOST_CHARACTERS]
        if _ONLY_LINKS.fullmatch(line) or _RULES.fullmatch(line):
            continue
        kept.append(_LINK.sub(r"\1", line).rstrip())
        length += len(kept[-1])
        if length > 2 * MOST_CHARACTERS:  # some is lost in `neutral`
            break
    return bounded(neutral("\n".join(kept)))


def bounded(text: str) -> str:
    text = text.strip()
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS].rstrip() + " …"
