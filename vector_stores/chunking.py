"""Cutting a document into passages that overlap, at the places where a reader would cut.

A passage is `text[start:end]` of the document, so that a citation of it can be found there again. Only a table's header
is put in front where the passage begins among the table's rows. Lengths are bytes of UTF-8, because that is what
`tokens.estimate_text` counts; each passage looks only at its own surroundings, so the time is linear in the text.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from assistant_site.llm.tokens import estimate_text, text_bytes
from vector_stores.extraction.documents import Document, Table

_MAX_HEADING = 500
_MAX_GRAPHEME = 64  # characters; what is longer (a letter under a heap of accents) may be cut
_CONTINUATION = bytes(range(0x80, 0xC0))

# Places to cut after or before, best first. A passage begins well with a heading or page.
_SECTION = re.compile(r"(?<=\n)(?=#{1,6}[ \t])|\f")
_SEEN_AHEAD = 7  # so much of a heading tells that it is one
_PARAGRAPH = re.compile(r"\n(?:[ \t]*\n)+")
_SENTENCE = re.compile(r"[.!?…][\"')\]»”’]*\s+|[。！？．｡]+[」』”’）〕】]*\s*")
_LINE = re.compile(r"\n")
_WORD = re.compile(r"\s+|[、，；：､]")
_PROSE = (_PARAGRAPH, _SENTENCE, _LINE, _WORD)
_ROWS = (_LINE, _SENTENCE, _WORD)
_HEADINGS_AND_FENCES = re.compile(r"^(?:(#{1,6})[ \t]+([^\n]*)|[ \t]*(?:```|~~~))", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Passage:
    """`start` and `end` are its place in the document's text, in characters; page, line and heading are `start`'s."""

    position: int
    text: str
    start: int
    end: int
    token_count: int
    page: int | None
    line: int | None
    heading: str


def chunks_of(document: Document, *, max_tokens: int, overlap_tokens: int) -> list[Passage]:
    """Passages of at most `max_tokens` that share up to `overlap_tokens` with the one before.

    Together they hold the whole text, but for stretches of nothing but space. An overlap of more than half the length
    is cut down to it.
    """
    cutter = _Cutter(document, max_tokens * 7 // 2, min(overlap_tokens, max_tokens // 2) * 7 // 2)
    places = _Places(document)
    passages: list[Passage] = []
    for start, end, header in cutter.spans():
        text = document.text[start:end]
        if text.strip():
            text = header + text
            page, line, heading = places.of(start)
            passages.append(Passage(len(passages), text, start, end, estimate_text(text), page, line, heading))
    return passages


class _Cutter:
    def __init__(self, document: Document, max_bytes: int, overlap_bytes: int) -> None:
        self.text = document.text
        self.tables = document.tables
        self.table_starts = [table.start for table in document.tables]
        self.has_sections = document.markdown or "\f" in document.text
        self.max_bytes = max_bytes
        self.overlap_bytes = overlap_bytes
        self.stride_bytes = max_bytes - overlap_bytes

    def spans(self) -> Iterator[tuple[int, int, str]]:
        """Start, end and header of each passage."""
        start = end = 0
        while end < len(self.text):
            header = self._header_at(start)
            cut = self._cut(start, end, header)
            if cut is None and start < end:
                start = end  # without overlap there is room for more
                continue
            end = cut or self._anywhere(start, header)
            yield start, end, header
            start = max(start + 1, self._overlap_start(start, end)) if self.overlap_bytes else end

    def _table_at(self, position: int) -> Table | None:
        index = bisect_right(self.table_starts, position) - 1
        return self.tables[index] if index >= 0 and position < self.tables[index].end else None

    def _header_at(self, start: int) -> str:
        """What is put in front of a passage: a header of reasonable size, where it would otherwise be missing."""
        table = self._table_at(start)
        if table is None or text_bytes(table.header) >= self.max_bytes // 4:
            return ""
        return table.header + "\n"

    def _reach(self, start: int, header: str) -> int:
        return start + _fitting(self.text, start, self.max_bytes - text_bytes(header))

    def _cut(self, start: int, done: int, header: str) -> int | None:
        """Where the passage that begins at `start` ends, best at a good place; None: no further than `done`."""
        text, high = self.text, self._reach(start, header)
        if high >= len(text):
            return len(text)
        if high <= done:
            return None
        room = text[done:high]
        # So much of the passage may be given up for a good place; more only for a new section, or to keep a row whole.
        length = self.stride_bytes * len(room) // max(1, text_bytes(room))
        near, far = max(done, high - length // 4), max(done, high - length // 2)
        table = self._table_at(high)
        if table is not None and text[high - 1] != "\n":
            row = text.rfind("\n", max(done, table.start - 1), high) + 1
            if row > done:
                return row
            if start < done:
                return None
        if self.has_sections and (cut := _last(_SECTION, text, far, high)):
            return cut
        for pattern in _ROWS if table is not None else _PROSE:
            if cut := _last(pattern, text, near, high):
                return cut
        cut = _between_graphemes(text, high)
        return cut if cut > done else None

    def _anywhere(self, start: int, header: str) -> int:
        """The end of a passage of something that has no good place to cut; at least one character."""
        return max(start + 1, self._reach(start, header))

    def _overlap_start(self, start: int, end: int) -> int:
        """Where the passage after the one that ends at `end` begins."""
        if end >= len(self.text):
            return end
        text, low = self.text, max(start + 1, end - _fitting_before(self.text, end, self.overlap_bytes))
        if self._table_at(low) is not None and (row := _first(_LINE, text, low, end)):
            return row
        high = low + (end - low) // 4
        for pattern in (_SECTION, *_PROSE):
            if cut := _first(pattern, text, low, high):
                return cut
        while low < end and _between_graphemes(text, low) != low:
            low += 1
        return low


def _fitting(text: str, start: int, max_bytes: int) -> int:
    """How many characters from `start` on fit into so many bytes."""
    window = text[start : start + max_bytes]
    if window.isascii():
        return len(window)
    data = window.encode("utf-8", "surrogatepass")
    if len(data) <= max_bytes:
        return len(window)
    cut = data[: max_bytes + 1]
    # The byte after the limit tells whether the last character is whole: then it begins the next one.
    begun = len(cut.translate(None, _CONTINUATION))
    return begun - 1


def _fitting_before(text: str, end: int, max_bytes: int) -> int:
    """How many characters before `end` fit into so many bytes."""
    window = text[max(0, end - max_bytes) : end]
    if window.isascii():
        return len(window)
    data = window.encode("utf-8", "surrogatepass")
    return len(window) if len(data) <= max_bytes else len(data[-max_bytes:].translate(None, _CONTINUATION))


def _last(pattern: re.Pattern[str], text: str, low: int, high: int) -> int | None:
    """The last place in (low, high] that the pattern allows."""
    beyond = high + _SEEN_AHEAD if pattern is _SECTION else high
    found = None
    for match in pattern.finditer(text, low, beyond):
        if low < match.end() <= high:
            found = match.end()
    return found


def _first(pattern: re.Pattern[str], text: str, low: int, high: int) -> int | None:
    """The first place in [low, high] that the pattern allows."""
    for match in pattern.finditer(text, max(0, low - 1), high):
        if match.end() >= low:
            return match.end()
    return None


def _between_graphemes(text: str, position: int) -> int:
    """The place at or before `position` where no character that a reader sees as one is cut."""
    lowest = max(0, position - _MAX_GRAPHEME)
    place = position
    while place > lowest and _joins(text, place):
        place -= 1
    return place if place > lowest else position


def _joins(text: str, place: int) -> bool:
    """Whether the characters around this place belong together."""
    if not 0 < place < len(text):
        return False
    before, after = text[place - 1], text[place]
    if after < "\u0300":
        return before == "\u200d"
    if after == "\u200d" or before == "\u200d" or unicodedata.category(after)[0] == "M" or after in "\u0e33\u0eb3":
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":
        return True  # skin colours, and the letters of a region's flag
    if "\u1160" <= after <= "\u11ff":
        return "\u1100" <= before <= "\u11ff"  # the parts of a Korean syllable
    if _is_regional(after) and _is_regional(before):
        count = 0
        while place - count > 0 and count < _MAX_GRAPHEME and _is_regional(text[place - count - 1]):
            count += 1
        return count % 2 == 1  # a flag is two of them
    return False


def _is_regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


class _Places:
    """Page, line and heading of positions that only grow."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.page_offsets = [page.offset for page in document.pages]
        self.line = 1
        self.counted = 0
        self.headings = _headings(document.text) if document.markdown else iter(())
        self.path: list[str] = [""] * 6
        self.ahead = next(self.headings, None)

    def of(self, start: int) -> tuple[int | None, int | None, str]:
        return self._page(start), self._line(start), self._heading(start)

    def _page(self, start: int) -> int | None:
        index = bisect_right(self.page_offsets, start) - 1
        return self.document.pages[index].number if index >= 0 else None

    def _line(self, start: int) -> int | None:
        if not self.document.has_lines:
            return None
        self.line += self.document.text.count("\n", self.counted, start)
        self.counted = start
        return self.line

    def _heading(self, start: int) -> str:
        while self.ahead is not None and self.ahead[0] <= start:
            _, level, title = self.ahead
            self.path[level - 1 :] = [title] + [""] * (6 - level)
            self.ahead = next(self.headings, None)
        return " > ".join(title for title in self.path if title)[:_MAX_HEADING]


def _headings(text: str) -> Iterator[tuple[int, int, str]]:
    """Position, level and title of each heading that is not within a fenced block of code."""
    fenced = False
    for match in _HEADINGS_AND_FENCES.finditer(text):
        marks, title = match.groups()
        if marks is None:
            fenced = not fenced
        elif not fenced and (title := " ".join(title[:_MAX_HEADING].rstrip("# \t\r").split())):
            yield match.start(), len(marks), title
