"""`POST /vector_stores/{id}/search`, whose answers are made beside the web process's threads."""

from typing import Any

import pytest

from assistant_site.tests.callers import LiveCaller, LocalCaller, new_tenant


@pytest.fixture
def animals(lena: LiveCaller) -> tuple[str, dict[str, str]]:
    """A store with three files, indexed; their ids by name."""
    texts = {
        "bird.txt": "The falcon sleeps at noon.",
        "fish.txt": "The carp is awake.",
        "日本語.txt": "猫は魚が好きです。",
    }
    files = {name: lena.upload(name, text.encode()) for name, text in texts.items()}
    store = lena.store()
    attributes = {"bird.txt": {"legs": 2}, "fish.txt": {"legs": 0}}
    each = [{"file_id": file, "attributes": attributes.get(name, {})} for name, file in files.items()]
    lena.post(f"vector_stores/{store}/file_batches", {"files": each})
    for file in files.values():
        assert lena.indexed(store, file)["status"] == "completed"
    return store, files


def test_one_request_does_not_ask_for_thousands_of_searches(alice: LocalCaller) -> None:
    refused = alice.post(f"vector_stores/{alice.store()}/search", {"query": ["falcon"] * 51})
    assert (refused.status, refused.error["code"]) == (400, "array_above_max_length")
    assert refused.error["param"] == "query"


def test_what_a_search_answers(lena: LiveCaller, animals: tuple[str, dict[str, str]]) -> None:
    store, files = animals
    found = lena.post(f"vector_stores/{store}/search", {"query": "When does the falcon sleep?"})
    assert {name: found[name] for name in ("object", "search_query", "has_more", "next_page")} == {
        "object": "vector_store.search_results.page",
        "search_query": ["When does the falcon sleep?"],
        "has_more": False,
        "next_page": None,
    }
    best = found["data"][0]
    assert 0 < best.pop("score") <= 1
    assert best == {
        "file_id": files["bird.txt"],
        "filename": "bird.txt",
        "attributes": {"legs": 2},
        "content": [{"type": "text", "text": "The falcon sleeps at noon."}],
    }
    assert found.headers["x-request-id"].startswith("req_")
    scores = [each.get("score", 1) for each in found["data"]]
    assert scores == sorted(scores, reverse=True)


def test_queries_filters_and_limits(lena: LiveCaller, animals: tuple[str, dict[str, str]]) -> None:
    store = animals[0]

    def names(**body: Any) -> list[str]:
        return [each["filename"] for each in lena.post(f"vector_stores/{store}/search", body)["data"]]

    assert set(names(query=["falcon", "carp"])) == {"bird.txt", "fish.txt"}
    assert names(query="猫は何が好きですか") == ["日本語.txt"]
    assert names(query="the", filters={"type": "eq", "key": "legs", "value": 0}) == ["fish.txt"]
    assert len(names(query="the", max_num_results=1)) == 1
    assert names(query="the", ranking_options={"ranker": "none", "score_threshold": 1.0}) == []
    assert names(query="falcon", rewrite_query=True) == ["bird.txt"]
    assert names(query="xyzzy") == []


def test_a_deleted_file_is_found_no_more(lena: LiveCaller, animals: tuple[str, dict[str, str]]) -> None:
    store, files = animals
    lena.delete(f"files/{files['bird.txt']}")
    found = lena.post(f"vector_stores/{store}/search", {"query": "falcon"})
    assert found["data"] == []


def test_a_strangers_store_is_not_there(lena: LiveCaller, live: Any, animals: tuple[str, dict[str, str]]) -> None:
    stranger = LiveCaller(*new_tenant("Mallory"), live.url)
    missing = stranger.post(f"vector_stores/{animals[0]}/search", {"query": "falcon"})
    assert (missing.status, missing.error["message"]) == (404, f"No vector store found with id '{animals[0]}'.")


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        ({}, "Missing required parameter: 'query'.", "query"),
        ({"query": 1}, "Invalid type for 'query': expected one of a string or array of strings, but got an integer "
         "instead.", "query"),
        ({"query": []},
         "Invalid 'query': empty array. Expected an array with minimum length 1, but got an empty array instead.",
         "query"),
        ({"query": ["a", ""]},
         "Invalid 'query[1]': empty string. Expected a string with minimum length 1, but got an empty string instead.",
         "query[1]"),
        ({"query": "a", "max_num_results": 51},
         "Invalid 'max_num_results': integer above maximum value. Expected a value <= 50, but got 51 instead.",
         "max_num_results"),
        ({"query": "a", "ranking_options": {"ranker": "best"}},
         "Invalid value: 'best'. Supported values are: 'none', 'auto', and 'default-2024-11-15'.",
         "ranking_options.ranker"),
        ({"query": "a", "filters": {"type": "like", "key": "a", "value": "b"}},
         None, "filters.type"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched(alice: LocalCaller, body: Any, message: str | None, param: str) -> None:
    refused = alice.post(f"vector_stores/{alice.store()}/search", body)
    assert (refused.status, refused.error["param"]) == (400, param)
    if message is not None:
        assert refused.error["message"] == message
