"""Words of any language, for keyword search: how a text, or a query, is taken apart.

PostgreSQL's own parsers make one word of a whole Chinese sentence. Here, scripts that are written without spaces become
overlapping pairs of characters, everything else words, without the -s of English and Romance plurals. The same is done
to passages and to queries, so the two meet.
"""

import re
import unicodedata
from collections.abc import Iterator

MAX_WORD = 60  # characters; a longer one counts by its beginning
MAX_POSITIONS = 50  # of one word in one passage
LAST_POSITION = 16_383  # PostgreSQL knows no later one

# Chinese, Japanese, Korean; Thai, Lao, Burmese, Khmer, which put no spaces between words either.
_UNSPACED = (
    "々-〇぀-ヿㄅ-ㄯㇰ-ㇿ㐀-䶿一-鿿豈-﫿가-힯\U00020000-\U0003ffff\u0e01-\u0e4e\u0e80-\u0ece\u1000-\u104f\u1780-\u17d3"
)

_ONE_UNSPACED = re.compile(f"[{_UNSPACED}]")


def _marks() -> str:
    """The characters that belong to the letter before them (vowel signs of Hindi, accents), as a regular set."""
    marks = (chr(code) for code in range(0x300, 0xFE00) if unicodedata.category(chr(code)).startswith("M"))
    return "".join(mark for mark in marks if not _ONE_UNSPACED.match(mark))


_RUNS = re.compile(rf"([{_UNSPACED}]+)|([^\W_{_UNSPACED}]+(?:[{_marks()}]+[^\W_{_UNSPACED}]*)*)")


_PLURAL_LETTERS = 4  # of the shortest word that may be a plural


def singular(word: str) -> str:
    """The word without the ending of a plural: Harman's S-stemmer (1991), which does no more than that.

    "Boats" is found by "boat". What is no plural at all loses its s in passages and queries alike.
    """
    if len(word) < _PLURAL_LETTERS or not word.isascii() or word[-1] != "s":
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if word.endswith("es") and not word.endswith(("aes", "ees", "oes")):
        return word[:-1]
    return word if word.endswith(("us", "ss")) else word[:-1]


def store_word(vector_store_id: str) -> str:
    """The word by which the passages of a store are found; no text has one with a colon."""
    return f"vs:{vector_store_id}"


def tokens_of(text: str) -> list[str]:
    """The words of a text in their order, with repetitions. A character that stands alone is a word."""
    return list(_tokens(text, close=False))


def is_single(token: str) -> bool:
    """Whether a query's word is one character of an unspaced script; passages have it as the beginning of a pair."""
    return len(token) == 1 and _ONE_UNSPACED.match(token) is not None


def tsvector_of(text: str, vector_store_id: str) -> str:
    """A passage's words with their positions and its store's word, as a literal of PostgreSQL's type tsvector."""
    positions: dict[str, list[int]] = {}
    for at, token in enumerate(_tokens(text, close=True), start=1):
        found = positions.setdefault(token, [])
        if len(found) < MAX_POSITIONS and at <= LAST_POSITION:
            found.append(at)
    words = [f"{quoted(token)}:{','.join(map(str, at))}" if at else quoted(token) for token, at in positions.items()]
    return " ".join([quoted(store_word(vector_store_id)), *words])


def quoted(word: str) -> str:
    """A word as it is written in a tsvector or tsquery."""
    escaped = word.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _tokens(text: str, *, close: bool) -> Iterator[str]:
    """`close` adds the last character of each run by itself: then every character begins one of a passage's words."""
    for run in _RUNS.finditer(unicodedata.normalize("NFKC", text).lower()):
        unspaced, word = run.groups()
        if word:
            yield singular(word[:MAX_WORD])
            continue
        for at in range(len(unspaced) - 1):
            yield unspaced[at : at + 2]
        if close or len(unspaced) == 1:
            yield unspaced[-1]
