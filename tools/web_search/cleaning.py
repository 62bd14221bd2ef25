"""Strangers' texts made harmless, so that they stay data: no tags, no markers like ours, no words of a chat template.

What is left may still say anything. It is framed as a quotation; see `telling`.
"""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from tools.web_search.hits import SearchHit

TITLE_CHARACTERS = 200
SNIPPET_CHARACTERS = 500
DATE_CHARACTERS = 40
URL_CHARACTERS = 2_000
_RAW_CHARACTERS = 5_000  # of a title or snippet, before anything is done with it

_PROGRAMS = re.compile(r"<(script|style)\b.*?(</\1\b[^<>]{0,100}>|$)", re.IGNORECASE | re.DOTALL)
_WITHIN_WORDS = re.compile(r"</?(?:a|b|i|u|em|strong|mark|span|font|code|sub|sup)(?:\s[^<>]{0,1000})?>", re.IGNORECASE)
_TAGS = re.compile(r"<!--.{0,1000}?-->|<[!/?a-zA-Z][^<>]{0,1000}>", re.DOTALL)
# Control characters, and those that show text in another order than it has or hide it.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f]"
)
_NUMBERS_OF_A_MARKER = re.compile(r"(\d{1,4}\s?[:：]\s?\d{1,4})\s?[†‡]")
# What chat templates put between turns; servers that read it in a text take it for the template's own.
_BAR_TOKENS = re.compile(r"<(?=[|｜])|(?<=[|｜])>")
_BRACKET_TOKENS = re.compile(r"\[(/?[A-Z_]{4,30})\]|<<(/?SYS)>>")
_IN_ADDRESSES = re.compile(r"[\s\x00-\x1f\x7f<>\"`\\{}|^【】†]")
_BRACKETS = re.compile(r"[\[\]]")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def neutral(text: str) -> str:
    """Without what could be taken for a marker of ours, or for the bounds of a message."""
    text = _UNSEEN.sub("", text).replace("【", "[").replace("】", "]")
    text = _NUMBERS_OF_A_MARKER.sub(r"\1 ", text)
    return _BRACKET_TOKENS.sub(r"(\1\2)", _BAR_TOKENS.sub("'", text))


def _without_tags(text: str) -> str:
    return _TAGS.sub(" ", _WITHIN_WORDS.sub("", _PROGRAMS.sub(" ", text)))


def line(text: str, most: int) -> str:
    """A stranger's text as one line of plain text, with at most so many characters."""
    text = text[:_RAW_CHARACTERS]
    for _ in range(2):  # what was escaped is looked at once more
        text = html.unescape(_without_tags(text))
    text = " ".join(neutral(_without_tags(text)).split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def address(url: str) -> str:
    """The address in a form that cannot end early where it is shown; empty if it is none of a web page."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and not parts.username and not parts.password
        parts.port  # noqa: B018  raises if it is none
    except ValueError:
        return ""
    if not usable or len(url) > URL_CHARACTERS or _IN_ADDRESSES.search(parts.netloc) or _UNSEEN.search(parts.netloc):
        return ""
    place = len(parts.scheme) + len("://") + len(parts.netloc)
    rest = _BRACKETS.sub(_encoded, url[place:])
    return url[:place] + _UNSEEN.sub(_encoded, _IN_ADDRESSES.sub(_encoded, rest))


def _encoded(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode(errors="ignore"))


def date(text: str) -> str:
    """A moment as its day; words such as `2 days ago` as they are."""
    found = _DATE.match(text)
    return found[0] if found else line(text, DATE_CHARACTERS)


def is_within(url: str, domains: Sequence[str]) -> bool:
    """Whether the address belongs to one of these domains or of their subdomains; without domains every one does."""
    host = (urlsplit(url).hostname or "").lower()
    return not domains or any(host == domain or host.endswith(f".{domain}") for domain in domains)


def cleaned(hits: Iterable[SearchHit], *, limit: int, domains: Sequence[str] = ()) -> list[SearchHit]:
    """The hits that can be shown, each address once, in their order."""
    kept: dict[str, SearchHit] = {}
    for hit in hits:
        url = address(hit.url)
        if not url or not is_within(url, domains):
            continue
        same = url.partition("#")[0].rstrip("/")
        title = line(hit.title, TITLE_CHARACTERS) or urlsplit(url).hostname or url
        snippet = line(hit.snippet, SNIPPET_CHARACTERS)
        kept.setdefault(
            same, replace(hit, title=title, url=url, snippet=snippet, published=date(hit.published.strip()))
        )
    return list(kept.values())[:limit]
