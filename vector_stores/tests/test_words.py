"""Words of any language: how texts are taken apart, and that PostgreSQL takes what is made of them."""

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from vector_stores.words import MAX_POSITIONS, is_single, tokens_of, tsvector_of


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Hello, World_wide WEB", ["hello", "world", "wide", "web"]),
        ("我喜欢猫", ["我喜", "喜欢", "欢猫"]),
        ("東京タワーへ", ["東京", "京タ", "タワ", "ワー", "ーへ"]),
        ("佐々木", ["佐々", "々木"]),
        ("한국어 문장", ["한국", "국어", "문장"]),
        ("ภาษา", ["ภา", "าษ", "ษา"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("Straße naïve Ωmega", ["straße", "naïve", "ωmega"]),
        ("ﾈｺ ＡＢＣ ﬁn", ["ネコ", "abc", "fin"]),  # half and full width, ligatures
        ("GPT-4在2024年", ["gpt", "4", "在", "2024", "年"]),
        ("Boats, cities; horses. Class bus gas as IS", ["boat", "city", "horse", "class", "bus", "gas", "as", "is"]),
        ("trees and shoes", ["tree", "and", "shoe"]),
        ("猫", ["猫"]),
        ("x" * 100, ["x" * 60]),
        ("😀 👩‍👩‍👧 ❤️", []),
        ("…—!?", []),
        ("", []),
    ],
)
def test_a_text_becomes_words_and_pairs(text: str, tokens: list[str]) -> None:
    assert tokens_of(text) == tokens


def test_a_combining_accent_is_the_same_as_the_letter_with_it() -> None:
    assert tokens_of("cafe\u0301") == tokens_of("café") == ["café"]


def test_in_a_passage_every_character_begins_a_word() -> None:
    assert tsvector_of("白い猫", "vs_1") == "'vs:vs_1' '白い':1 'い猫':2 '猫':3"
    assert is_single("猫")
    assert not any(map(is_single, ["白い", "a", "é", ""]))


def test_a_word_keeps_a_bounded_number_of_places() -> None:
    literal = tsvector_of("the " * 20_000 + "end", "vs_1")
    assert literal.count(",") == MAX_POSITIONS - 1
    assert literal.endswith("'end'")  # beyond the last position that PostgreSQL knows


@given(text=st.text(max_size=200))
def test_any_text_becomes_a_literal_that_holds_its_words(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode().replace("\x00", "")
    held = set(tokens_of(text))
    literal = tsvector_of(text, "vs_1")
    assert all(f"'{word}'" in literal for word in held)
    assert not any(mark in word for word in held for mark in "'\\:&|!<>()* \n")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "text", ["it's \\ a 'test' & | ! <-> :*", "猫が'好き\\", "x" * 5_000, "a1 " * 30_000, "'''\\\\"]
)
def test_postgresql_takes_the_literal(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT array_agg(lexeme ORDER BY lexeme) FROM unnest(%s::tsvector)", [tsvector_of(text, "vs_a'b\\c")]
        )
        found = set(cursor.fetchone()[0])
    assert found >= {"vs:vs_a'b\\c", *tokens_of(text)}
