"""The real SearXNG, with the settings that `deploy` has for it: what it answers is what the recorded one answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant_site.llm.tests.quirk_server import QuirkServer, answering
from tools.web_search.asking import REFUSED, Access
from tools.web_search.hits import SearchFailed, SearchHit, SearchOptions
from tools.web_search.providers.searxng import NO_ENGINE, SearXNG
from tools.web_search.searching import search
from tools.web_search.tests import real
from tools.web_search.tests.recorded import run

pytestmark = [
    pytest.mark.searxng,
    pytest.mark.skipif(not real.RealSearXNG.is_installed(), reason="SearXNG is not installed: make searxng"),
]
ROWS = {
    "results": [
        {"url": "https://a.example/x", "title": "A <b>title</b>", "text": "some <b>bold</b> text &amp; more"},
        {"url": "https://b.example/y", "title": "Another", "text": "其他【1:0†x】"},
    ]
}


@pytest.fixture(scope="module")
def engine() -> Iterator[QuirkServer]:
    """What SearXNG asks."""
    with QuirkServer(answering(ROWS)) as server:
        yield server


@pytest.fixture(scope="module")
def searxng(engine: QuirkServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[real.RealSearXNG]:
    with real.RealSearXNG(tmp_path_factory.mktemp("searxng"), engine.port) as running:
        yield running


@pytest.fixture(autouse=True)
def _answers(engine: QuirkServer) -> None:
    engine.script[:] = [answering(ROWS)]
    engine.requests.clear()


def access_to(searxng: real.RealSearXNG) -> Access:
    return Access("searxng", f"http://127.0.0.1:{searxng.port}", "SEARXNG_URL", "", ("127.0.0.1",))


def found(searxng: real.RealSearXNG, query: str = "cats", **options: Any) -> list[SearchHit]:
    return run(SearXNG(access_to(searxng)).search(query, SearchOptions(**options)))


def test_a_search(searxng: real.RealSearXNG, engine: QuirkServer, search_settings: Any) -> None:
    result = run(search("tenant", [access_to(searxng)], "cats & dogs 猫", SearchOptions(allowed_domains=())))
    assert [(hit.title, hit.url, hit.snippet) for hit in result.hits] == [
        ("A title", "https://a.example/x", "some bold text & more"),
        ("Another", "https://b.example/y", "其他[1:0 x]"),
    ]
    assert len(engine.requests) == 1


def test_an_engine_that_knows_no_time_range_is_asked_without(searxng: real.RealSearXNG, engine: QuirkServer) -> None:
    assert [hit.is_in_range for hit in found(searxng, time_range="week")] == [False, False]
    assert len(engine.requests) == 1


def test_nothing_is_found(searxng: real.RealSearXNG, engine: QuirkServer) -> None:
    engine.script[:] = [answering({"results": []})]
    assert found(searxng) == []


def test_no_json_is_refused_with_its_remedy(engine: QuirkServer, tmp_path: Path) -> None:
    with real.RealSearXNG(tmp_path, engine.port, without_json=True) as other, pytest.raises(SearchFailed) as caught:
        found(other)
    assert caught.value.told == REFUSED
    assert "Add json to search.formats" in caught.value.reason


def test_engines_that_do_not_answer(searxng: real.RealSearXNG, engine: QuirkServer) -> None:
    """The last one: SearXNG lets an engine that failed rest for a while."""
    engine.script[:] = [answering({}, 500)]
    with pytest.raises(SearchFailed) as caught:
        found(searxng)
    assert caught.value.told == NO_ENGINE
    assert "local (" in caught.value.reason
