"""Markers in a model's text: found however it is cut, at the right place, and only those that were given out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.citations import Citations, Cited, Source, without_citations

SOURCES = {
    source.place: source
    for source in (
        Source(1, 0, "file-a", "a.md", "first", line=3),
        Source(1, 1, "file-b", "手册.pdf", "second", page=12),
        Source(12, 103, "file-c", "c d.txt", "third"),
    )
}
MADE_UP = "【9:9†nobody.txt】"


def taken_apart(*pieces: str) -> tuple[str, list[tuple[str, int]], str]:
    """The text as shown, its citations with their places, and the text that the places say."""
    citations = Citations(SOURCES)
    text, found = "", []
    for piece in [*(part for each in pieces for part in citations.feed(each)), citations.end()]:
        if isinstance(piece, Cited):
            found.append((piece.source.file_id, len(text)))
        text += piece.text if isinstance(piece, Cited) else piece
    return text, found, "".join(text[start : text.find("】", start) + 1] for _, start in found)


def test_a_marker_is_cited_at_its_place() -> None:
    text, found, said = taken_apart("Der Preis 💶 ist 5 €【1:0†a.md】. 完【1:1†手册.pdf】")
    assert text == "Der Preis 💶 ist 5 €【1:0†a.md】. 完【1:1†手册.pdf】"
    assert [file for file, _ in found] == ["file-a", "file-b"]
    assert said == "【1:0†a.md】【1:1†手册.pdf】"


def test_the_name_in_a_marker_is_the_models_business() -> None:
    for marker in ("【1:0】", "【1:0†source】", "【1:0†a.md†L3-L9】", "【1:0†另一个名字】"):
        assert taken_apart(f"x{marker}y") == (f"x{marker}y", [("file-a", 1)], marker)


def test_a_made_up_marker_vanishes() -> None:
    assert taken_apart(f"It is so{MADE_UP}, and so【1:7†a.md】.") == ("It is so, and so.", [], "")


def test_other_brackets_stay() -> None:
    for text in (
        "【注意】重要",
        "【1】一",
        "【12:30 会议】",
        "【10:30】开会",
        "【3:2】",
        "【1:0†a\n】",
        "【【1:0",
        "【1:0†a.md",
        "】【",
        "【" * 20,
    ):
        assert taken_apart(text)[0] == text
        assert taken_apart(*text)[0] == text


def test_a_marker_inside_an_unfinished_one_is_found() -> None:
    assert taken_apart("【1:【1:0†a.md】")[:2] == ("【1:【1:0†a.md】", [("file-a", 3)])


def test_what_cannot_become_a_marker_is_shown_at_once() -> None:
    citations = Citations(SOURCES)
    assert citations.feed("Hello 【") == ["Hello "]
    assert citations.feed("注意】") == ["【注意】"]
    assert citations.feed("【1:0†" + "x" * 301) == ["【1:0†" + "x" * 301]
    assert citations.end() == ""


def test_a_source_makes_a_marker_that_is_found_again() -> None:
    source = Source(3, 4, "file-x", "【odd】 † na\nme.txt" * 20, "quote")
    [cited] = Citations({source.place: source}).feed(source.marker)
    assert isinstance(cited, Cited)
    assert cited.source == source
    assert "\n" not in source.marker


def test_stored_markers_are_taken_out_of_what_the_model_sees_again() -> None:
    text = "甲【1:0†a.md】乙【1:1†b】丙"
    annotations = [
        {"type": "file_citation", "start_index": text.index(marker), "end_index": text.index(marker) + len(marker)}
        for marker in ("【1:0†a.md】", "【1:1†b】")
    ]
    assert without_citations(text, annotations) == "甲乙丙"
    assert without_citations("a【1:0†x】", []) == "a【1:0†x】"


PIECES = st.lists(
    st.sampled_from(
        [
            "【1:0†a.md】",
            "【1:1†手册.pdf】",
            "【12:103】",
            "【10:30】",
            MADE_UP,
            "【注】",
            "text ",
            "👩‍👩‍👧",
            "【",
            "】",
            "1:0†",
            "\n",
        ]
    )
    | st.text(max_size=5),
    max_size=12,
)


@given(pieces=PIECES, cuts=st.lists(st.integers(1, 4), min_size=1, max_size=200))
def test_it_does_not_matter_how_the_text_is_cut(pieces: list[str], cuts: list[int]) -> None:
    whole = "".join(pieces)
    cut, at = [], 0
    for length in cuts:
        cut.append(whole[at : at + length])
        at += length
    assert taken_apart(*cut, whole[at:]) == taken_apart(whole)


@pytest.mark.parametrize("text", ["", "plain", "a【1:0†a.md】b", f"a{MADE_UP}b【"])
def test_nothing_is_held_back_for_ever(text: str) -> None:
    assert taken_apart(*text) == taken_apart(text)
