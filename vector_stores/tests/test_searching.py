"""Search in stores: whose passages, in what order, with what score, by how many statements."""

import logging
import math
import random
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from assistant_site.demo.embedding import embed
from assistant_site.tests.callers import new_tenant
from tenants.models import Tenant
from vector_stores import actions, bm25, r2r, vectors
from vector_stores.models import Engine, StoreFileStatus, VectorStore
from vector_stores.searching import Hit, Weights, ranking_of, search
from vector_stores.tests.embedding_server import EmbeddingServer, answer
from vector_stores.tests.shelf import Shelf

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant(db: None) -> Tenant:
    return new_tenant("Sara")[0]


@pytest.fixture
def shelf(tenant: Tenant) -> Shelf:
    """Words only."""
    return Shelf(tenant)


@pytest.fixture
def hybrid(tenant: Tenant, embedding_server: EmbeddingServer) -> Shelf:
    return Shelf(tenant, embed)


def texts(hits: list[Hit]) -> list[str]:
    return [hit.text for hit in hits]


def find(shelf: Shelf, *queries: str, limit: int = 10, **options: Any) -> list[str]:
    return texts(search([shelf.store], list(queries), limit=limit, **options))


# --- By words --------------------------------------------------------------------------------------------------------

LIBRARY = {
    "en": "The cathedral of Chartres was rebuilt after the fire of 1194.",
    "zh": "故宫位于北京市中心，建于明朝永乐年间。",
    "ja": "法隆寺は現存する世界最古の木造建築である。",
    "ko": "경복궁은 조선 왕조의 정궁이며 서울에 있다.",
    "th": "วัดพระแก้วตั้งอยู่ในกรุงเทพมหานคร",
    "de": "Die Größe der Straße wurde in Metern gemessen.",
    "hi": "ताजमहल आगरा में स्थित है।",
    "mixed": "我们用 Kubernetes 部署 PostgreSQL 数据库。",
}


@pytest.mark.parametrize(
    ("query", "language"),
    [
        ("When was Chartres rebuilt?", "en"),
        ("故宫在哪里？", "zh"),
        ("世界最古の木造建築は何ですか", "ja"),
        ("경복궁은 어디에 있나요", "ko"),
        ("วัดพระแก้วอยู่ที่ไหน", "th"),
        ("groesse GRÖßE", "de"),
        ("ताजमहल कहाँ है", "hi"),
        ("如何部署 kubernetes", "mixed"),
        ("库", "mixed"),
        ("寺", "ja"),
        ("1194", "en"),
    ],
)
def test_the_words_of_any_language_find_their_passage(query: str, language: str, shelf: Shelf) -> None:
    for name, text in LIBRARY.items():
        shelf.put(name, text)
    assert find(shelf, query)[0] == LIBRARY[language]


@pytest.mark.parametrize("query", ["", "   ", "😀", "…?!", "\u200b", "zyxwv", "' & | ! :* \\", "ฮ"])
def test_a_query_without_known_words_finds_nothing(query: str, shelf: Shelf) -> None:
    shelf.put("a.txt", *LIBRARY.values())
    assert find(shelf, query) == []


def test_a_very_long_query_is_answered(shelf: Shelf) -> None:
    shelf.put("a.txt", *LIBRARY.values())
    assert find(shelf, "When was Chartres rebuilt? " + "lorem ipsum " * 900)[0] == LIBRARY["en"]
    assert find(shelf, "故宫" + "在哪里呢我想知道" * 1_250)[0] == LIBRARY["zh"]


def test_only_frequent_words_still_find_something(shelf: Shelf) -> None:
    shelf.put("a.txt", *[f"this is the passage of number {number}" for number in range(300)])
    found = search([shelf.store], ["the of this is"], limit=5)
    assert len(found) == 5
    assert all(0 <= hit.score < 0.6 for hit in found)


def test_a_rare_word_counts_more_than_frequent_ones_and_short_passages_more_than_long_ones(shelf: Shelf) -> None:
    filler = "and then wind and rain came over hills and fields "
    shelf.put("noise.txt", *[f"the weather of the town {number}" for number in range(50)])
    shelf.put("long.txt", "The zeppelin over the town " + filler * 20)
    shelf.put("short.txt", "A zeppelin over the town")
    assert [hit.filename for hit in search([shelf.store], ["the zeppelin of the town"], limit=2)] == [
        "short.txt",
        "long.txt",
    ]


def plain_bm25(query: list[str], passages: list[list[str]], lengths: list[int]) -> list[float]:
    mean = sum(lengths) / len(lengths)
    scores = []
    for words, length in zip(passages, lengths, strict=True):
        score = 0.0
        for word in query:
            having = sum(word in each for each in passages)
            idf = math.log(1 + (len(passages) - having + 0.5) / (having + 0.5))
            times = words.count(word)
            score += idf * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * length / mean))
        scores.append(score)
    return scores


def test_the_order_and_scores_are_those_of_bm25(shelf: Shelf) -> None:
    chosen = random.Random(4)
    vocabulary = [f"word{number}" for number in range(12)]
    passages = [["common", *chosen.choices(vocabulary, k=chosen.randint(2, 25))] for _ in range(60)]
    file = shelf.put("a.txt", *[" ".join(words) for words in passages])
    query = ["common", "word1", "word2", "word9"]
    lengths = [-(-len(" ".join(words)) * 2 // 7) for words in passages]
    expected = plain_bm25(query, passages, lengths)
    best_possible = 2.2 * sum(
        math.log(1 + (60 - having + 0.5) / (having + 0.5))
        for having in (sum(word in each for each in passages) for word in query)
    )
    found = bm25.best(" ".join(query), bm25.Scope((shelf.store.pk,), 60), limit=60)
    assert len(found) == 60
    positions = dict(
        zip(sorted(hit.chunk_id for hit in found), range(60), strict=True)
    )  # chunks were made in the passages' order
    for hit in found:
        assert hit.share == pytest.approx(expected[positions[hit.chunk_id]] / best_possible)
    assert [hit.share for hit in found] == sorted((hit.share for hit in found), reverse=True)
    assert file.chunk_count == 60


@pytest.mark.parametrize(("enough", "found"), [(3, {"rare.txt"}), (4, {"rare.txt", "noise.txt"})])
def test_passages_with_frequent_words_only_are_fetched_where_there_are_too_few_others(
    enough: int, found: set[str], shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bm25, "MAX_CANDIDATES", 8)
    monkeypatch.setattr(bm25, "MIN_CANDIDATES", enough)
    shelf.put("noise.txt", *[f"frequent {number}" for number in range(30)])
    shelf.put("rare.txt", *[f"rare frequent words {number}" for number in range(3)])
    hits = search([shelf.store], ["rare frequent"], limit=10)
    assert {hit.filename for hit in hits} == found
    assert [hit.filename for hit in hits[:3]] == ["rare.txt"] * 3


def test_in_a_large_store_frequent_words_are_estimated_and_rare_ones_counted(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        shelf.put(f"{number}.txt", f"everywhere number{number}", "everywhere" if number % 2 else "sometimes", "rest")
    scope = bm25.Scope((shelf.store.pk,), 90)
    exact = bm25._counts(["everywhere", "number7", "unknown"], scope)
    assert exact == {"everywhere": 45, "number7": 1}
    monkeypatch.setattr(bm25, "LARGE", 10)
    estimated = bm25._counts(["everywhere", "number7", "unknown"], scope)
    assert estimated.keys() == exact.keys()
    assert estimated["number7"] == 1
    assert 20 < estimated["everywhere"] < 70
    assert search([shelf.store], ["everywhere number7"], limit=3)[0].text == "everywhere number7"


# --- By meaning ------------------------------------------------------------------------------------------------------


def test_exact_search_finds_what_plain_python_finds(tenant: Tenant) -> None:
    chosen = random.Random(8)
    points = {f"point {number}": [chosen.gauss(0, 1) for _ in range(32)] for number in range(300)}
    shelf = Shelf(tenant, points.__getitem__, dimension=32)
    shelf.put("points.txt", *points)
    place = vectors.Place(tenant.pk, shelf.store.pk, 0, 32)
    for _ in range(20):
        query = [chosen.gauss(0, 1) for _ in range(32)]
        by_cosine = sorted(points, key=lambda name: -cosine(points[name], query))[:20]
        found = vectors.nearest(place, vectors.literal(query), 20)
        texts = dict(connection_rows("SELECT id, text FROM vector_stores_chunk"))
        names = [texts[hit.chunk_id] for hit in found]
        assert len(set(names) & set(by_cosine)) >= 19  # half precision may swap the last two
        assert found[0].similarity == pytest.approx(max(cosine(each, query) for each in points.values()), abs=1e-3)


def cosine(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True)) / (math.hypot(*left) * math.hypot(*right))


def connection_rows(sql: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def test_a_hybrid_store_finds_by_meaning_what_has_no_word_in_common(
    tenant: Tenant, embedding_server: EmbeddingServer
) -> None:
    meanings = {
        "Felines enjoy fish.": [1.0, 0.1, 0.0],
        "The train leaves at nine.": [0.0, 0.1, 1.0],
        "What do cats eat?": [0.9, 0.2, 0.1],
    }
    embedding_server.reply = lambda body: answer(
        {"data": [{"index": at, "embedding": meanings[text]} for at, text in enumerate(body["input"])]}
    )
    shelf = Shelf(tenant, meanings.__getitem__, dimension=3)
    shelf.put("a.txt", "Felines enjoy fish.", "The train leaves at nine.")
    found = search([shelf.store], ["What do cats eat?"], limit=5)
    assert texts(found) == ["Felines enjoy fish.", "The train leaves at nine."]
    assert found[0].score == pytest.approx(
        cosine(meanings["Felines enjoy fish."], meanings["What do cats eat?"]), abs=1e-3
    )


def test_words_and_meaning_are_joined_by_rank(hybrid: Shelf) -> None:
    hybrid.put("a.txt", "red apple pie", "red car race", "blue sky")
    found = search([hybrid.store], ["red apple"], limit=3)
    assert texts(found)[0] == "red apple pie"
    assert found[0].score == pytest.approx(cosine(embed("red apple pie"), embed("red apple")), abs=1e-3)


def test_weights_decide_which_ranking_counts(tenant: Tenant, embedding_server: EmbeddingServer) -> None:
    def meaning(text: str) -> list[float]:
        return [1.0, 0.0] if "fish" in text or "cats" in text else [0.0, 1.0]

    embedding_server.reply = lambda body: answer(
        {"data": [{"index": at, "embedding": meaning(text)} for at, text in enumerate(body["input"])]}
    )
    shelf = Shelf(tenant, meaning, dimension=2)
    shelf.put("a.txt", "felines love fish", "a musical named cat, in London", "dogs bark")
    by_meaning = find(shelf, "a musical for cats", weights=Weights(embedding=1, text=0.01))
    by_words = find(shelf, "a musical for cats", weights=Weights(embedding=0.01, text=1))
    assert by_meaning[0] == "felines love fish"
    assert by_words[0] == "a musical named cat, in London"


def test_a_query_that_cannot_be_embedded_is_searched_by_its_words(
    hybrid: Shelf, embedding_server: EmbeddingServer, caplog: pytest.LogCaptureFixture
) -> None:
    hybrid.put("a.txt", "red apple pie", "blue sky")
    embedding_server.reply = lambda body: answer({"error": {"message": "no such route"}}, 404)
    with caplog.at_level(logging.WARNING):
        found = search([hybrid.store], ["apple"], limit=3)
    assert texts(found) == ["red apple pie"]
    assert 0 < found[0].score <= 1
    assert "searched by its words only" in caplog.text


def test_vectors_of_another_dimension_are_left_alone(hybrid: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    hybrid.put("a.txt", "red apple pie", "blue sky")
    hybrid.store.embedding_dimension = 128
    with caplog.at_level(logging.WARNING):
        assert find(hybrid, "apple") == ["red apple pie"]
    assert "dimensions" in caplog.text


def test_only_the_present_generation_is_searched(hybrid: Shelf) -> None:
    hybrid.put("a.txt", "red apple pie")
    hybrid.store.generation = 1
    hybrid.embed = lambda text: embed("something else")
    hybrid.put("b.txt", "yellow submarine")
    place = vectors.Place(hybrid.tenant.pk, hybrid.store.pk, 1, 256)
    assert len(vectors.nearest(place, vectors.literal(embed("x")), 10)) == 1
    assert vectors.delete_generation(hybrid.store.pk, 0, limit=10) == 1
    assert vectors.delete_generation(hybrid.store.pk, 0, limit=10) == 0
    assert find(hybrid, "apple") == ["red apple pie", "yellow submarine"]


def test_a_passage_whose_vector_is_still_to_be_made_is_found_by_its_words(hybrid: Shelf) -> None:
    hybrid.put("a.txt", "red apple pie", "blue sky")
    hybrid.embed = None
    hybrid.put("b.txt", "green apple juice, fresh")
    assert "green apple juice, fresh" in find(hybrid, "apple juice")


def test_a_vector_of_zeros_harms_nobody(hybrid: Shelf) -> None:
    hybrid.put("a.txt", "red apple pie")
    hybrid.embed = lambda text: [0.0] * 256
    hybrid.put("b.txt", "an apple without a place")
    found = search([hybrid.store], ["apple"], limit=5)
    assert {hit.filename for hit in found} == {"a.txt", "b.txt"}
    assert all(0 <= hit.score <= 1 for hit in found)


# --- Whose passages --------------------------------------------------------------------------------------------------


def test_tenants_and_stores_with_the_same_text_never_see_each_other(embedding_server: EmbeddingServer) -> None:
    sara, bela = new_tenant("Sara")[0], new_tenant("Bela")[0]
    shelves = [Shelf(sara, embed), Shelf(sara, embed), Shelf(bela, embed), Shelf(bela)]
    files = [shelf.put("same.txt", "the same words for everybody", "故宫位于北京") for shelf in shelves]
    for shelf, file in zip(shelves, files, strict=True):
        for query in ("same words", "故宫", "宫"):
            found = search([shelf.store], [query], limit=50)
            assert {hit.store_file_id for hit in found} == {file.pk}
            assert {hit.vector_store_id for hit in found} == {shelf.store.pk}


def test_several_stores_are_searched_as_one(hybrid: Shelf) -> None:
    thread = Shelf(hybrid.tenant)
    hybrid.put("assistant.txt", "apples are grown in the valley", "nothing here")
    thread.put("thread.txt", "apples are sold on the market")
    found = search([hybrid.store, thread.store], ["apples market"], limit=5)
    assert texts(found)[0] == "apples are sold on the market"
    assert {hit.filename for hit in found} == {"assistant.txt", "thread.txt"}


def test_the_same_passage_in_both_stores_is_told_once(shelf: Shelf) -> None:
    first = shelf.put("a.txt", "apples are red", "apples are red")
    other = Shelf(shelf.tenant)
    second = other.put("a.txt", "apples are red")
    type(second).objects.across_tenants().filter(pk=second.pk).update(file=first.file)
    assert len(search([shelf.store, other.store], ["apples"], limit=9)) == 1
    shelf.put("copy.txt", "apples are red")
    assert len(search([shelf.store, other.store], ["apples"], limit=9)) == 2


def test_a_passage_in_both_stores_keeps_its_best_place(hybrid: Shelf) -> None:
    hybrid.embed = lambda text: embed("apples pears")
    hybrid.put("near.txt", "apples in the garden")
    hybrid.embed = embed
    first = hybrid.put("both.txt", "apples pears and plums")
    thread = Shelf(hybrid.tenant)
    second = thread.put("both.txt", "apples pears and plums")
    type(second).objects.across_tenants().filter(pk=second.pk).update(file=first.file)
    found = search([hybrid.store, thread.store], ["apples pears"], limit=9)
    assert texts(found) == ["apples pears and plums", "apples in the garden"]


@pytest.mark.parametrize("status", [StoreFileStatus.CANCELLED, StoreFileStatus.IN_PROGRESS, StoreFileStatus.FAILED])
def test_passages_of_a_file_that_is_not_completed_are_never_found(status: StoreFileStatus, hybrid: Shelf) -> None:
    hybrid.put("good.txt", "apples and pears")
    hybrid.put("other.txt", "apples and plums", status=status)
    assert find(hybrid, "apples plums") == ["apples and pears"]


def test_removed_files_are_not_found_and_take_nobodys_place(hybrid: Shelf) -> None:
    gone = hybrid.put("gone.txt", *[f"apples apples {number}" for number in range(80)])
    hybrid.put("kept.txt", "some apples in a long text about other fruit")
    actions.remove_file(tenant=hybrid.tenant, store_id=hybrid.store.pk, file_id=gone.file_id)
    assert find(hybrid, "apples") == ["some apples in a long text about other fruit"]


def test_filters_come_before_ranking(hybrid: Shelf) -> None:
    hybrid.put("noise.txt", *[f"apples apples {number}" for number in range(80)], attributes={"year": 1999})
    hybrid.put("wanted.txt", "one apple among other things, apples", attributes={"year": 2024, "lang": "en"})
    newer = {"type": "gt", "key": "year", "value": 2000}
    assert find(hybrid, "apples", filters=newer) == ["one apple among other things, apples"]
    assert find(hybrid, "apples", filters={"type": "eq", "key": "year", "value": 1}) == []
    found = search([hybrid.store], ["apples"], limit=1, filters=newer)
    assert found[0].attributes == {"year": 2024, "lang": "en"}


# --- Scores, queries, statements -------------------------------------------------------------------------------------


def test_scores_are_from_0_to_1_fall_and_can_be_asked_for(hybrid: Shelf) -> None:
    hybrid.put("a.txt", *[f"apples {'pears ' * number}" for number in range(1, 9)])
    found = search([hybrid.store], ["apples pears"], limit=50)
    scores = [hit.score for hit in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    middle = scores[4]
    above = search([hybrid.store], ["apples pears"], limit=50, score_threshold=middle)
    assert 0 < len(above) < len(found)
    assert all(hit.score >= middle for hit in above)
    assert search([hybrid.store], ["apples and pears"], limit=50, score_threshold=1.0) == []


def test_several_queries_are_merged_each_by_its_best_place(shelf: Shelf) -> None:
    shelf.put("a.txt", "the moon is far away", "bread is baked at night", "nobody asked for this")
    assert set(find(shelf, "bread", "moon", "moon", " ", limit=2)) == {
        "the moon is far away",
        "bread is baked at night",
    }


def test_the_number_of_statements_does_not_depend_on_what_is_found(hybrid: Shelf) -> None:
    def statements(**options: Any) -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            search([hybrid.store], ["apples pears"], limit=20, **options)
        return len(captured)

    hybrid.put("a.txt", "apples", attributes={"a": 1})
    statements()  # the query is embedded, and that is written down, once
    few = statements()
    filtered = statements(filters={"type": "eq", "key": "a", "value": 1})
    for number in range(20):
        hybrid.put(f"{number}.txt", "apples pears", f"pears {number}", attributes={"a": number % 2})
    assert statements() == few == 7
    assert statements(filters={"type": "eq", "key": "a", "value": 1}) == filtered == 7


def test_ranking_is_said_openly(shelf: Shelf, hybrid: Shelf) -> None:
    assert ranking_of(shelf.store) == "keyword"
    assert ranking_of(hybrid.store) == "hybrid"
    assert ranking_of(VectorStore(engine=Engine.R2R)) == "hybrid"


def test_no_store_and_no_query_find_nothing(shelf: Shelf) -> None:
    assert search([], ["apples"], limit=5) == []
    assert search([shelf.store], [], limit=5) == []
    assert search([shelf.store], ["apples"], limit=5) == []


# --- The reranker ----------------------------------------------------------------------------------------------------


@pytest.fixture
def reranker(settings: Any) -> Iterator[EmbeddingServer]:
    """Prefers passages that have the word `best`."""
    with EmbeddingServer().running() as server:
        settings.RERANK_BASE_URL, settings.RERANK_MODEL, settings.RERANK_API_KEY = server.base_url, "judge", "key"
        server.reply = lambda body: answer(
            {
                "results": [
                    {"index": at, "relevance_score": 1.7 if "best" in text else 0.2}
                    for at, text in reversed(list(enumerate(body["documents"])))
                ]
            }
        )
        yield server


def test_a_reranker_has_the_last_word(shelf: Shelf, reranker: EmbeddingServer) -> None:
    shelf.put("a.txt", "apples apples", "of all the fruit in the garden the best ones are apples")
    found = search([shelf.store], ["apples"], limit=1)
    assert texts(found) == ["of all the fruit in the garden the best ones are apples"]
    assert found[0].score == 1.0
    assert (reranker.paths, reranker.keys) == (["/v1/rerank"], ["Bearer key"])
    assert reranker.asked[0] == {
        "model": "judge",
        "query": "apples",
        "documents": ["apples apples", "of all the fruit in the garden the best ones are apples"],
        "top_n": 2,
        "return_documents": False,
    }
    assert len(find(shelf, "apples", score_threshold=0.5)) == 1


def test_ranker_none_leaves_it_out(shelf: Shelf, reranker: EmbeddingServer) -> None:
    shelf.put("a.txt", "apples apples", "the best apples of them all")
    assert find(shelf, "apples", ranker="none")[0] == "apples apples"
    assert reranker.asked == []


@pytest.mark.parametrize(
    "given",
    [
        answer({}, 500),
        answer(b"<html>"),
        answer({"results": "none"}),
        answer({"results": [{"index": 7, "relevance_score": 1}]}),
        answer({"results": [{"index": 0, "relevance_score": None}]}),
        answer({"results": [{"index": 0}]}),
        answer({"results": [None]}),
        answer([]),
    ],
)
def test_a_reranker_that_fails_changes_nothing(
    given: Any, shelf: Shelf, reranker: EmbeddingServer, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.put("a.txt", "apples apples", "the best apples of them all")
    reranker.reply = lambda body: given
    assert find(shelf, "apples") == ["apples apples", "the best apples of them all"]
    assert "keeps its own" in caplog.text


def test_a_reranker_that_is_slow_or_gone_changes_nothing(
    shelf: Shelf, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.put("a.txt", "apples apples")
    settings.RERANK_BASE_URL = "http://127.0.0.1:1"
    assert find(shelf, "apples") == ["apples apples"]


# --- R2R -------------------------------------------------------------------------------------------------------------


def test_a_store_of_r2r_is_searched_there(tenant: Tenant, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    away = Shelf(tenant, engine=Engine.R2R)
    file = away.put("away.txt", "first passage", "second passage about apples", attributes={"a": 1})
    shelf.put("here.txt", "apples are here")
    asked = []

    def found(stores: list[VectorStore], ids: list[str] | None, query: str, limit: int) -> list[tuple[str, int, float]]:
        asked.append(([store.pk for store in stores], ids, query, limit))
        return [(file.pk, 1, 1.3), (file.pk, 99, 0.9), ("vsf_other", 0, 0.8), (file.pk, 0, 0.4)]

    monkeypatch.setattr(r2r, "search", found)
    hits = search([away.store], ["apples"], limit=5)
    assert [(hit.text, hit.score) for hit in hits] == [("second passage about apples", 1.0), ("first passage", 0.4)]
    assert asked == [([away.store.pk], None, "apples", 50)]
    both = search([shelf.store, away.store], ["apples"], limit=5, filters={"type": "eq", "key": "a", "value": 1})
    assert {hit.filename for hit in both} == {"away.txt"}
    assert asked[1] == ([away.store.pk], [file.pk], "apples", 50)


def test_while_r2r_is_down_the_words_kept_here_are_searched(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away = Shelf(tenant, engine=Engine.R2R)
    away.put("away.txt", "first passage", "second passage about apples")

    def down(*arguments: object) -> list[tuple[str, int, float]]:
        raise r2r.R2RFailed("R2R does not answer.", transient=True)

    monkeypatch.setattr(r2r, "search", down)
    assert find(away, "apples") == ["second passage about apples"]
    assert "R2R does not answer." in caplog.text
