"""Pages as the site's Markdown reads them: what the repository's hosts understand by themselves is written out."""

import os
import re
from collections.abc import Callable, Iterator

_FENCE = re.compile(r"^ *(`{3,}|~{3,})")
_ITEM = re.compile(r"^( *)([-*+]|\d+\.) +\S")
_LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\])\(([^()\s]+)\)")
_COMMENT = re.compile(r"^<!--.*?-->[^\S\n]*\n", re.MULTILINE | re.DOTALL)


def outside_fences(page: str) -> Iterator[tuple[bool, str]]:
    """The lines, each with whether it is text: not part of a code block or its fences."""
    fence = ""
    for line in page.splitlines():
        found = _FENCE.match(line)
        if found and not fence:
            fence = found[1]
            yield False, line
        elif fence:
            if found and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
            yield False, line
        else:
            yield True, line


def with_lists(page: str) -> str:
    """An empty line before each list that begins below a paragraph, and four spaces for what is nested in an item."""
    lines: list[str] = []
    before = ""
    for is_text, line in outside_fences(page):
        item = _ITEM.match(line) if is_text else None
        if item and before.strip() and not _ITEM.match(before) and not item[1] and not before.startswith(" "):
            lines.append("")
        if item and len(item[1]) in (2, 3):
            line = "    " + line.lstrip()
        lines.append(line)
        before = line
    return "\n".join(lines) + "\n"


def with_links(page: str, of: Callable[[str], str]) -> str:
    """Each target of a link or picture replaced by what `of` makes of it. Code, and addresses with a scheme, stay."""

    def replaced(found: re.Match[str]) -> str:
        if re.match(r"[a-z]+:|#", found[2]):
            return found[0]
        return f"{found[1]}({of(found[2])})"

    return "\n".join(_LINK.sub(replaced, line) if text else line for text, line in outside_fences(page)) + "\n"


def without_comments(page: str) -> str:
    """Without the notes for those who write and test the page."""
    parts: list[str] = []
    kept = [(is_text, line) for is_text, line in outside_fences(page)]
    text: list[str] = []
    for is_text, line in [*kept, (False, "")]:
        if is_text:
            text.append(line)
            continue
        parts.append(_COMMENT.sub("", "".join(each + "\n" for each in text)))
        text = []
        parts.append(line + "\n")
    return "".join(parts).rstrip("\n") + "\n"


def title_of(page: str) -> str:
    """The text of the first heading."""
    found = next((line for text, line in outside_fences(page) if text and line.startswith("# ")), "# Untitled")
    return found[2:].strip().replace("`", "")


def relative(target: str, page: str) -> str:
    """The path of `target` as a link in `page` says it; both are paths in the site."""
    return os.path.relpath(target, os.path.dirname(page) or ".").replace(os.sep, "/")
