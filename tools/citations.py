"""Citations: the markers by which a model points to a passage, found in its text while it is being written.

A search shows the model each passage under a marker such as `【1:0†notes.md】`: the model turn, the passage's number in
it, and the file's name. A marker in the answer becomes an annotation at its place; one that the model made up is taken
out. Other text in such brackets, as Chinese and Japanese have it, is left alone; also a time or a score: without a
name, two numbers are a marker only if they are a source's.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

OPENING, CLOSING = "【", "】"
_MARKER = re.compile(r"【(\d{1,4}):(\d{1,4})(†[^】\n]{0,300})?】")
# What may still become a marker when more text comes.
_BEGINNING = re.compile(r"【(\d{0,4}|\d{1,4}:\d{0,4}|\d{1,4}:\d{1,4}†[^】\n]{0,300})")
_NAME_CHARACTERS = 120
QUOTE_CHARACTERS = 1_000

Place = tuple[int, int]  # a marker's two numbers


@dataclass(frozen=True)
class Source:
    """A passage that the model may cite: of a file, or of a web page, whose title is its `filename`.

    `page` and `line` are those where it begins, if its file has them.
    """

    turn: int
    number: int
    file_id: str
    filename: str
    quote: str
    page: int | None = None
    line: int | None = None
    url: str = ""

    @classmethod
    def of_page(cls, turn: int, number: int, *, url: str, title: str) -> "Source":
        return cls(turn, number, "", title, "", url=url)

    @property
    def kind(self) -> str:
        """The type of the annotation."""
        return "url_citation" if self.url else "file_citation"

    @property
    def place(self) -> Place:
        return self.turn, self.number

    @property
    def marker(self) -> str:
        """As the model is shown it: no blanks around, nothing of the name that could end it."""
        name = re.sub(r"[【】†\s]+", " ", self.filename).strip()[:_NAME_CHARACTERS]
        return f"{OPENING}{self.turn}:{self.number}†{name}{CLOSING}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Source":
        return cls(**stored)

    def citation(self) -> dict[str, Any]:
        """The annotation's details, under its type's name: OpenAI's fields, and where a file's passage stands."""
        if self.url:
            return {"url": self.url, "title": self.filename}
        told: dict[str, Any] = {"file_id": self.file_id, "quote": self.quote[:QUOTE_CHARACTERS]}
        told |= {name: value for name in ("page", "line") if (value := getattr(self, name)) is not None}
        return told


@dataclass(frozen=True)
class Cited:
    """A marker in the text, as the model wrote it, and what it points to."""

    text: str
    source: Source


class Citations:
    """Takes a text apart as it comes: plain pieces, and markers of known sources. Made-up markers vanish.

    What could be the beginning of a marker is held back until it is one, or cannot be one any more.
    """

    def __init__(self, sources: Mapping[Place, Source]) -> None:
        self._sources = sources
        self._held = ""

    def feed(self, text: str) -> list[str | Cited]:
        self._held += text
        return list(self._settled())

    def end(self) -> str:
        """What was held back and is no marker after all."""
        rest, self._held = self._held, ""
        return rest

    def _settled(self) -> Iterator[str | Cited]:
        text, self._held = self._held, ""
        plain = at = 0
        while (found := text.find(OPENING, at)) >= 0:
            if marker := _MARKER.match(text, found):
                at = marker.end()
                source = self._sources.get((int(marker[1]), int(marker[2])))
                if source is None and marker[3] is None:
                    continue
                if text[plain:found]:
                    yield text[plain:found]
                if source is not None:
                    yield Cited(marker[0], source)
                plain = at
            elif _BEGINNING.fullmatch(text, found):
                self._held, text = text[found:], text[:found]
                break
            else:
                at = found + 1
        if text[plain:]:
            yield text[plain:]


def without_citations(text: str, annotations: list[dict[str, Any]]) -> str:
    """A stored text without its markers: those of an earlier run mean nothing to the model, or something else."""
    for annotation in sorted(annotations, key=lambda known: int(known["start_index"]), reverse=True):
        if annotation["type"] in ("file_citation", "url_citation"):
            text = text[: annotation["start_index"]] + text[annotation["end_index"] :]
    return text
