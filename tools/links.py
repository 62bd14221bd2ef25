"""Links to files that code has written: `sandbox:/mnt/data/<name>` in an answer, found while it is being written.

Only names that are known are links; the longest one counts. What could still become a link, or a longer one, is held
back until it is one, or cannot be one any more.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

PREFIX = "sandbox:/mnt/data/"
# Behind a name comes nothing that a name could go on with. Letters beyond ASCII are taken for the text's own: Chinese
# and Japanese put no space there.
_GOES_ON = re.compile(r"[A-Za-z0-9_%/]|[.\-]+[A-Za-z0-9_]")
_MAY_GO_ON = re.compile(r"[.\-]*\Z")


@dataclass(frozen=True)
class Link:
    """A link in the text, as the model wrote it, and the file's name below /mnt/data."""

    text: str
    name: str


def spellings(name: str) -> list[str]:
    """The ways in which models write a name in a link: encoded, more or less strictly."""
    marks = "/!'()*"  # as `encodeURIComponent` leaves them, and then as `encodeURI` does
    return [quote(name), quote(name, marks), quote(name, marks + ";,?:@&=+$#"), name.replace(" ", "%20")]


class Links:
    """Takes a text apart as it comes: plain pieces, and links to known names."""

    def __init__(self, names: Iterable[str]) -> None:
        names = list(names)
        self._names = {PREFIX + spelled: name for name in names for spelled in spellings(name)}
        self._names |= {PREFIX + name: name for name in names}
        self._held = ""

    def feed(self, text: str) -> list[str | Link]:
        if not self._names:
            return [text] if text else []
        self._held += text
        return list(self._settled(final=False))

    def end(self) -> list[str | Link]:
        """What was held back; nothing more comes."""
        return list(self._settled(final=True))

    def _settled(self, *, final: bool) -> Iterator[str | Link]:
        text, self._held = self._held, ""
        plain = at = 0
        while (found := text.find(PREFIX, at)) >= 0:
            rest = text[found:]
            link = self._longest(rest)
            if not final and self._may_become_another(rest, link):
                self._held, text = rest, text[:found]
                break
            if link is None:
                at = found + len(PREFIX)
                continue
            if text[plain:found]:
                yield text[plain:found]
            yield Link(link, self._names[link])
            plain = at = found + len(link)
        else:
            if not final and (beginning := _beginning_at_the_end(text[plain:])):
                self._held, text = text[-beginning:], text[:-beginning]
        if text[plain:]:
            yield text[plain:]

    def _longest(self, rest: str) -> str | None:
        fitting = [each for each in self._names if rest.startswith(each) and not _GOES_ON.match(rest, len(each))]
        return max(fitting, key=len, default=None)

    def _may_become_another(self, rest: str, link: str | None) -> bool:
        if any(len(each) > len(rest) and each.startswith(rest) for each in self._names):
            return True
        return link is not None and _MAY_GO_ON.match(rest, len(link)) is not None


def _beginning_at_the_end(text: str) -> int:
    """How many of the text's last characters may be the beginning of a link."""
    most = min(len(text), len(PREFIX) - 1)
    return next((length for length in range(most, 0, -1) if text.endswith(PREFIX[:length])), 0)
