"""The code blocks of the pages, with what their authors say about them (CONTRIBUTING.md, "Code blocks in the docs")."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from documentation.contents import PROJECT

_FENCE = re.compile(r"^( *)(`{3,}|~{3,})\s*([\w+.#-]*)(.*)$")
_NOT_RUN = re.compile(r"<!-- not run: (.+?) -->\s*$", re.DOTALL)
_SETUP = re.compile(r"<!-- setup\n(.*?)-->", re.DOTALL)
_FILE = re.compile(r"`([\w./-]+\.(?:py|csv|md|txt|json|jsonl|ya?ml|toml|pdf))`")


@dataclass(frozen=True)
class Block:
    """`line` is that of the opening fence. `not_run`: the author's reason. `setup`: hidden Python that comes before it.

    `file` is the name that the paragraph above gives the program, as in "`first.py`:".
    """

    page: Path
    line: int
    language: str
    text: str
    not_run: str | None
    setup: str
    file: str | None

    @property
    def where(self) -> str:
        """`docs/page.md:12`, as editors open it."""
        return f"{self.page.relative_to(PROJECT)}:{self.line}"


def pages() -> list[Path]:
    """Every page whose blocks are judged."""
    found = [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md"), PROJECT / "examples" / "README.md"]
    return sorted(page for page in found if page.name not in ("CHANGELOG.md", "LICENSE.md"))


def blocks_of(page: Path) -> Iterator[Block]:
    """Raises ValueError for a fence that is never closed."""
    lines = page.read_text().splitlines()
    above: list[str] = []
    at = 0
    while at < len(lines):
        opened = _FENCE.match(lines[at])
        if not opened:
            above.append(lines[at])
            at += 1
            continue
        begun, indent, fence, language = at, len(opened[1]), opened[2], opened[3]
        body: list[str] = []
        at += 1
        while at < len(lines) and lines[at].strip() != fence:
            body.append(lines[at][min(indent, len(lines[at]) - len(lines[at].lstrip())) :])
            at += 1
        if at == len(lines):
            raise ValueError(f"{page.relative_to(PROJECT)}:{begun + 1}: this block is never closed")
        told = "\n".join(above).rstrip()
        reason = _NOT_RUN.search(told)
        paragraph = re.sub(r"<!--.*?-->", "", told, flags=re.DOTALL).rstrip().rpartition("\n\n")[2]
        named = _FILE.findall(paragraph)
        setup = "\n".join(found[1] for found in _SETUP.finditer(told))
        yield Block(
            page,
            begun + 1,
            language,
            "\n".join(body) + "\n",
            " ".join(reason[1].split()) if reason else None,
            setup,
            named[-1] if named and paragraph.rstrip().endswith(":") else None,
        )
        above = []
        at += 1
