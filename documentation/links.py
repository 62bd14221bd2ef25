"""Looks for dead ends in a built site: `python -m documentation.links FOLDER`.

Every link, picture, style sheet and script must be a file of the site, with the anchor that the link names.
Addresses of other hosts are judged by their form alone, and only links may have one: what a page loads must lie in
the site.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {"img": "src", "script": "src", "source": "src", "iframe": "src", "video": "src"}


@dataclass
class Page(HTMLParser):
    """What a page names: `anchors` in it, `links` (line, address), `loads` (line, address)."""

    anchors: set[str] = field(default_factory=set)
    links: list[tuple[int, str]] = field(default_factory=list)
    loads: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        for name in ("id", "name"):
            if (value := given.get(name)) and (name == "id" or tag == "a"):
                self.anchors.add(value)
        line = self.getpos()[0]
        if tag == "a" and given.get("href") is not None:
            self.links.append((line, given["href"] or ""))
        elif tag == "link" and given.get("href") and given.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append((line, given["href"] or ""))
        elif (attribute := _LOADED.get(tag)) and given.get(attribute):
            self.loads.append((line, given[attribute] or ""))


def read(site: Path) -> dict[Path, Page]:
    pages = {}
    for file in sorted(site.rglob("*.html")):
        page = pages[file] = Page()
        page.feed(file.read_text())
    return pages


def dead_ends(site: Path) -> Iterator[str]:
    """Where, and what is wrong, of each link that leads nowhere."""
    site = site.resolve()
    pages = read(site)
    for file, page in pages.items():
        if file.name == "404.html":  # has addresses from the root of its host
            continue
        where = file.relative_to(site)
        loaded = {address for _, address in page.loads}
        for line, address in [*page.links, *page.loads]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if address in loaded and parts.scheme != "data":
                    yield f"{where}:{line}: is loaded from another host: {address}"
                elif parts.scheme in ("http", "https") and not (parts.netloc and " " not in address):
                    yield f"{where}:{line}: is no address: {address}"
                elif parts.scheme not in ("http", "https", "mailto", "data", "javascript"):
                    yield f"{where}:{line}: has an unknown scheme: {address}"
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if target.is_dir():
                target = target / "index.html"
            if not target.is_relative_to(site) or not target.is_file():
                yield f"{where}:{line}: leads to no file: {address}"
            elif (
                parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors | {"__top"}
            ):
                yield f"{where}:{line}: leads to no anchor: {address}"


def check(site: Path) -> int:
    """Prints what is wrong and how much was looked at; 1 if something is wrong."""
    found = list(dead_ends(site))
    pages = read(site)
    count = sum(len(page.links) + len(page.loads) for page in pages.values())
    sys.stdout.write("".join(f"{each}\n" for each in found))
    sys.stdout.write(f"{len(pages)} pages, {count} links: {len(found) or 'no'} dead ends.\n")
    return 1 if found or not pages else 0


if __name__ == "__main__":
    raise SystemExit(check(Path(sys.argv[1])))
