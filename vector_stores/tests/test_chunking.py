"""Passages: all of the text, none too long, cut where a reader would."""

import itertools
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_site.llm.tokens import estimate_text
from vector_stores.chunking import Passage, chunks_of
from vector_stores.extraction.documents import Document, PageStart, Table

ENGLISH = "The lease ended in spring. Nobody renewed it! Was it worth the money? The owner thought so.\n"
CHINESE = "租约在春天到期。没有人续签！这值得吗？房东认为值得，邻居不同意。"
JAPANESE = "契約は春に終わった。誰も更新しなかった！それは価値があったか？大家はそう思った。"
THAI = "สัญญาเช่าสิ้นสุดลงในฤดูใบไม้ผลิไม่มีใครต่ออายุน้ำใจ"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
PIECES = st.sampled_from(
    [
        ENGLISH,
        CHINESE,
        JAPANESE,
        THAI,
        FAMILY,
        "🇩🇪🇯🇵",
        "e\u0301o\u0308",
        "x" * 90,
        "\n\n",
        "\n# Heading\n\n",
        " ",
        "\f",
        "각각",
    ]
)
TEXTS = st.one_of(
    st.lists(PIECES, max_size=60).map("".join),
    st.tuples(PIECES, st.integers(1, 300)).map(lambda repeated: repeated[0] * repeated[1]),
    st.text(max_size=2000),
)


def chunked(text: str, max_tokens: int = 100, overlap_tokens: int = 50, **more: object) -> list[Passage]:
    return chunks_of(Document(text, **more), max_tokens=max_tokens, overlap_tokens=overlap_tokens)  # type: ignore[arg-type]


@given(TEXTS, st.integers(20, 200), st.integers(0, 100))
def test_passages_hold_the_whole_text_in_order_and_none_is_too_long(text: str, most: int, overlap: int) -> None:
    passages = chunked(text, most, overlap)
    covered = 0
    for position, passage in enumerate(passages):
        assert passage.position == position
        assert passage.text == text[passage.start : passage.end]
        assert passage.token_count == estimate_text(passage.text) <= most
        assert text[covered : passage.start].strip() == ""
        assert passage.end > covered
        covered = passage.end
    assert text[covered:].strip() == ""
    for before, after in itertools.pairwise(passages):
        assert before.start < after.start
        assert estimate_text(text[after.start : before.end]) <= min(overlap, most // 2)


@given(TEXTS.filter(lambda text: len(text) > 1500), st.integers(40, 120))
def test_there_are_about_as_many_passages_as_the_lengths_ask_for(text: str, most: int) -> None:
    overlap = most // 2
    passages = chunked(text, most, overlap)
    ideal = estimate_text(text) / (most - overlap)
    assert len(passages) <= 2.2 * ideal + 2


@given(st.lists(st.sampled_from([FAMILY, "🇩🇪", "e\u0301", "น้ำ", "각", "👍🏽", "字", "a"]), min_size=200, max_size=600))
def test_nothing_that_reads_as_one_character_is_cut(graphemes: list[str]) -> None:
    text = "".join(graphemes)
    borders = {0}
    for grapheme in graphemes:
        borders.add(max(borders) + len(grapheme))
    for start in [place for place in borders if text[place : place + 2] == "้ำ"]:
        borders.discard(start)
    for passage in chunked(text, 60, 20):
        assert passage.start in borders or unicodedata.category(text[passage.start]) == "Lo"
        assert passage.end in borders or unicodedata.category(text[passage.end]) == "Lo"


@pytest.mark.parametrize(("sentence", "ends"), [(ENGLISH, ".!?\n"), (CHINESE, "。！？"), (JAPANESE, "。！？")])
def test_prose_is_cut_between_sentences(sentence: str, ends: str) -> None:
    for passage in chunked(sentence * 40)[:-1]:
        assert passage.text.rstrip(" ")[-1] in ends
        assert passage.start == 0 or (sentence * 40)[: passage.start].rstrip(" ")[-1] in ends


def test_paragraphs_are_kept_together_before_sentences() -> None:
    text = (ENGLISH.strip() + " ") * 3 + "\n\n"
    for passage in chunked(text * 10, 100, 0):
        assert passage.text.endswith("\n\n")


def test_a_passage_ends_before_a_heading_rather_than_after() -> None:
    text = "words of the first part. " * 11 + "\n# Second part\n\n" + "more words. " * 30
    first = chunked(text, 100, 0)[0]
    assert text[first.end :].startswith("# Second part")


def test_neighbours_overlap_by_about_what_was_asked_for() -> None:
    text = ENGLISH * 200
    passages = chunked(text, 800, 400)
    shared = [estimate_text(text[b.start : a.end]) for a, b in itertools.pairwise(passages)]
    assert all(250 <= tokens <= 400 for tokens in shared)


def test_headings_above_are_told_as_a_path_and_code_has_none() -> None:
    text = (
        "# Manual #\n\n"
        + "intro. " * 40
        + "\n## Pumps\n\n```\n# no heading\n```\n"
        + "pump. " * 80
        + "\n# Index\n\nend\n"
    )
    headings = [passage.heading for passage in chunked(text, 50, 10)]
    assert headings[0] == "Manual"
    assert "Manual > Pumps" in headings
    assert set(headings) <= {"Manual", "Manual > Pumps", "Index"}
    assert all(not passage.heading for passage in chunked(text, 50, 10, markdown=False))


def test_a_path_of_headings_has_at_most_500_characters() -> None:
    assert len(chunked(f"# {'a' * 400}\n## {'b' * 400}\n\ntext", 400)[-1].heading) <= 500


def test_pages_and_lines_are_those_where_the_passage_begins() -> None:
    text = "".join(f"line {number} of many lines\n" for number in range(1, 301))
    pages = (PageStart(0, 1), PageStart(text.index("line 100 "), 2), PageStart(text.index("line 200 "), 3))
    for passage in chunked(text, pages=pages, has_lines=True):
        number = int(passage.text.split()[1])
        assert passage.line == number
        assert passage.page == (1 if number < 100 else 2 if number < 200 else 3)
    assert {passage.line for passage in chunked(text)} == {None}
    assert {passage.page for passage in chunked(text)} == {None}


def rows_document(row: str, count: int = 60) -> Document:
    before, header = "# Stock\n\n", "article\tprice\n"
    rows = "".join(f"{number}\t{row}\n" for number in range(count))
    start = len(before) + len(header)
    after = "Prices are in euro.\n"
    table = Table(start, start + len(rows), header.strip())
    return Document(before + header + rows + after, tables=(table,), has_lines=True)


@pytest.mark.parametrize("words", [3, 30, 60])
def test_rows_stay_whole_and_each_passage_among_them_repeats_the_header(words: int) -> None:
    document = rows_document("word " * words)
    table = document.tables[0]
    for passage in chunks_of(document, max_tokens=120, overlap_tokens=50):
        assert passage.token_count <= 120
        plain = document.text[passage.start : passage.end]
        among_rows = table.start <= passage.start < table.end
        assert passage.text == (table.header + "\n" if among_rows else "") + plain
        assert passage.start == 0 or document.text[passage.start - 1] == "\n"
        assert passage.end == len(document.text) or document.text[passage.end - 1] == "\n"


def test_rows_longer_than_a_passage_are_cut_and_a_huge_header_is_not_repeated() -> None:
    document = rows_document("word " * 200, count=5)
    assert all(passage.token_count <= 100 for passage in chunks_of(document, max_tokens=100, overlap_tokens=50))
    text = "a\n" * 300
    (table,) = (Table(0, len(text), "header" * 40),)
    assert chunks_of(Document(text, tables=(table,)), max_tokens=100, overlap_tokens=50)[0].text.startswith("a\n")


@pytest.mark.parametrize(
    "text",
    ["", " \n\t ", "\u0301" * 3000, "x" * 10_000, "🏳️‍🌈" * 1000, "\n" * 5000 + "x", "a" + "\u200d" * 2000],
    ids=["empty", "blank", "accents", "blob", "flags", "line feeds", "joiners"],
)
def test_odd_texts_are_cut_too(text: str) -> None:
    passages = chunked(text)
    assert all(passage.token_count <= 100 for passage in passages)
    assert bool(passages) == bool(text.strip())


def test_a_character_that_is_longer_than_allowed_is_a_passage() -> None:
    assert [passage.text for passage in chunked("字字", 0, 0)] == ["字", "字"]


@pytest.mark.parametrize("unit", [ENGLISH, CHINESE, THAI, "x", "\n", "# a\n", FAMILY, ". ", "|a|b|\n"])
def test_the_time_is_linear_in_the_text(unit: str) -> None:
    text = (unit * (1_000_000 // len(unit) + 1))[:1_000_000]
    started = time.process_time()
    chunked(text, 800, 400, has_lines=True)
    assert time.process_time() - started < 3
