"""Each provider against its recorded contract: exactly the right request, its results, and each of its failures."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from assistant_site.llm.tests.quirk_server import CUT, Answer, QuirkServer, Request, answering
from tools.web_search import asking
from tools.web_search.asking import BAD_ACCESS, BAD_QUERY, BROKEN, BUSY, REFUSED, SILENT, UNREADABLE, USED_UP, detail_in
from tools.web_search.hits import SearchFailed, SearchHit
from tools.web_search.providers.exa import DAYS
from tools.web_search.providers.searxng import NO_ENGINE
from tools.web_search.tests.recorded import ANSWERS, KEY, SEARXNG, found

ADDRESS = "https://www.djangoproject.com/"
TEXT = "Django is a high-level Python web framework."


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PAUSE_SECONDS", 0.0)


def asked(provider: str, **options: Any) -> Request:
    with QuirkServer(answering(ANSWERS[provider])) as server:
        found(server, provider, **options)
        [request] = server.requests
    return request


def query_of(request: Request) -> dict[str, str]:
    return {name: value for name, [value] in parse_qs(urlsplit(request.path).query).items()}


def failure_of(provider: str, *answers: Answer, **options: Any) -> SearchFailed:
    with QuirkServer(*answers) as server, pytest.raises(SearchFailed) as caught:
        found(server, provider, **options)
    assert KEY not in caught.value.told + caught.value.reason
    assert "127.0.0.1" not in caught.value.told
    return caught.value


# --- Requests ---------------------------------------------------------------------------------------------------------


def test_searxng_is_asked() -> None:
    request = asked("searxng", limit=3)
    assert (request.method, urlsplit(request.path).path, request.body) == ("GET", "/search", None)
    assert query_of(request) == {"q": "django", "format": "json", "safesearch": "1"}
    assert request.headers["accept"] == "application/json"
    assert "authorization" not in request.headers

    request = asked("searxng", query="a & b", time_range="week", allowed_domains=("a.org", "b.org"), country="de")
    assert query_of(request)["q"] == "a & b (site:a.org OR site:b.org)"
    assert query_of(request)["time_range"] == "week"


def test_tavily_is_asked() -> None:
    request = asked("tavily", limit=3)
    assert (request.method, request.path) == ("POST", "/search")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert request.body == {"query": "django", "max_results": 3, "search_depth": "basic"}

    request = asked("tavily", time_range="month", allowed_domains=("a.org", "b.org"))
    assert request.body["time_range"] == "month"
    assert request.body["include_domains"] == ["a.org", "b.org"]


def test_brave_is_asked() -> None:
    request = asked("brave", limit=3)
    assert (request.method, urlsplit(request.path).path, request.body) == ("GET", "/res/v1/web/search", None)
    assert request.headers["x-subscription-token"] == KEY
    assert query_of(request) == {"q": "django", "count": "3"}

    request = asked("brave", time_range="year", allowed_domains=("a.org",), country="de")
    assert query_of(request) == {"q": "django site:a.org", "count": "5", "freshness": "py", "country": "DE"}


def test_serper_is_asked() -> None:
    request = asked("serper", limit=3)
    assert (request.method, request.path, request.headers["x-api-key"]) == ("POST", "/search", KEY)
    assert request.body == {"q": "django", "num": 3}

    request = asked("serper", time_range="day", allowed_domains=("a.org",), country="de")
    assert request.body == {"q": "django site:a.org", "num": 5, "tbs": "qdr:d", "gl": "de"}


def test_exa_is_asked() -> None:
    request = asked("exa", limit=3)
    assert (request.method, request.path, request.headers["x-api-key"]) == ("POST", "/search", KEY)
    contents = {"text": {"maxCharacters": 500}, "highlights": True}
    assert request.body == {"query": "django", "type": "auto", "numResults": 3, "contents": contents}

    request = asked("exa", time_range="week", allowed_domains=("a.org",))
    assert request.body["includeDomains"] == ["a.org"]
    assert request.body["startPublishedDate"].endswith("T00:00:00.000Z")
    assert DAYS["week"] == 7


# --- Results ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "hits"),
    [
        (
            "searxng",
            [
                SearchHit(
                    "The web framework for perfectionists with deadlines | Django",
                    ADDRESS,
                    "Django is a <b>high-level</b> Python web framework &amp; more.",
                    "",
                    "searxng",
                ),
                SearchHit(
                    "Django (web framework)",
                    "https://en.wikipedia.org/wiki/Django",
                    "Django is a free and open-source framework.",
                    "2026-01-02T03:04:05",
                    "searxng",
                ),
            ],
        ),
        ("tavily", [SearchHit("Django", ADDRESS, TEXT, "2026-01-02", "tavily")]),
        (
            "brave",
            [
                SearchHit(
                    "Django",
                    ADDRESS,
                    "<strong>Django</strong> is a high-level Python web framework.",
                    "2026-01-02T03:04:05",
                    "brave",
                )
            ],
        ),
        ("serper", [SearchHit("Django", ADDRESS, TEXT, "2 days ago", "serper")]),
        (
            "exa",
            [
                SearchHit(
                    "Django",
                    ADDRESS,
                    "Django is a high-level … Python web framework.",
                    "2026-01-02T03:04:05.000Z",
                    "exa",
                )
            ],
        ),
    ],
)
def test_results_are_read(provider: str, hits: list[SearchHit]) -> None:
    with QuirkServer(answering(ANSWERS[provider])) as server:
        assert found(server, provider) == hits


@pytest.mark.parametrize(
    ("provider", "empty"),
    [
        ("searxng", {"results": [], "unresponsive_engines": []}),
        ("searxng", {}),
        ("tavily", {"results": []}),
        ("brave", {"type": "search"}),
        ("brave", {"web": None}),
        ("serper", {"organic": []}),
        ("exa", {"results": []}),
    ],
)
def test_nothing_was_found(provider: str, empty: dict[str, Any]) -> None:
    with QuirkServer(answering(empty)) as server:
        assert found(server, provider) == []


@pytest.mark.parametrize("provider", list(ANSWERS))
def test_rows_of_another_shape_do_no_harm(provider: str) -> None:
    odd: list[Any] = [None, 1, "x", [], {}, {"title": 5, "url": None, "content": [], "highlights": {"a": 1}}]
    answer: dict[str, Any] = {"results": odd, "organic": odd, "web": {"results": odd}}
    with QuirkServer(answering(answer)) as server:
        assert {(hit.title, hit.url, hit.snippet) for hit in found(server, provider)} == {("", "", "")}


def test_exa_without_highlights_gives_its_text() -> None:
    row = {**ANSWERS["exa"]["results"][0], "highlights": []}
    with QuirkServer(answering({"results": [row]})) as server:
        assert found(server, "exa")[0].snippet == "The whole page."


# --- Failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "status", "told", "remedy"),
    [
        ("searxng", 400, BAD_QUERY, ""),
        ("searxng", 403, REFUSED, "Add json to search.formats"),
        ("searxng", 404, REFUSED, "SEARXNG_URL is its address without /search."),
        ("searxng", 429, BUSY, "Set server.limiter to false"),
        ("tavily", 400, BAD_QUERY, ""),
        ("tavily", 401, BAD_ACCESS, "Check TAVILY_API_KEY: the key is not valid."),
        ("tavily", 403, BAD_ACCESS, "The plan of the key in TAVILY_API_KEY does not allow this."),
        ("tavily", 429, BUSY, "has reached its rate limit."),
        ("tavily", 432, USED_UP, "is used up."),
        ("tavily", 433, USED_UP, "pay-as-you-go limit"),
        ("brave", 401, BAD_ACCESS, "Check BRAVE_API_KEY"),
        ("brave", 422, BAD_QUERY, "check BRAVE_API_KEY"),
        ("brave", 429, BUSY, "BRAVE_API_KEY has reached its rate limit"),
        ("serper", 400, BAD_QUERY, "not enough credits"),
        ("serper", 403, BAD_ACCESS, "Check SERPER_API_KEY"),
        ("serper", 429, BUSY, "SERPER_API_KEY has reached its rate limit."),
        ("exa", 400, BAD_QUERY, ""),
        ("exa", 401, BAD_ACCESS, "Check EXA_API_KEY"),
        ("exa", 402, USED_UP, "The credits of the key in EXA_API_KEY are used up."),
        ("exa", 429, BUSY, "EXA_API_KEY has reached its rate limit."),
        ("exa", 418, REFUSED, "Check EXA_API_KEY."),
        ("searxng", 301, REFUSED, "Check SEARXNG_URL."),
    ],
)
def test_each_failure_has_a_sentence_and_a_remedy(provider: str, status: int, told: str, remedy: str) -> None:
    failed = failure_of(provider, answering({"message": f"no, {KEY} is wrong"}, status))
    assert failed.told == told
    assert failed.reason.startswith(f"It answered {status} (no, … is wrong).")
    assert remedy in failed.reason


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"detail": {"error": "Unauthorized"}}, "Unauthorized"),
        ({"type": "ErrorResponse", "error": {"code": "RATE_LIMITED", "detail": "Too\nmany"}}, "Too many"),
        ({"message": "Not enough credits", "statusCode": 400}, "Not enough credits"),
        ({"requestId": "x", "error": "Invalid API key"}, "Invalid API key"),
        ({"error": "No query"}, "No query"),
        ("x" * 1_000, "x" * 200),
        ({"error": {"error": {"error": {"error": "deep"}}}}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_what_an_error_says(body: Any, said: str) -> None:
    assert detail_in(body) == said


@pytest.mark.parametrize("provider", list(ANSWERS))
def test_a_fault_of_the_server_is_tried_once_more(provider: str) -> None:
    with QuirkServer(answering(b"oops", 502), answering(ANSWERS[provider])) as server:
        assert found(server, provider)[0].url == ADDRESS
        first, second = server.requests
    assert (first.path, first.body) == (second.path, second.body)

    with QuirkServer(answering(b"oops", 503)) as server, pytest.raises(SearchFailed) as caught:
        found(server, provider)
    assert len(server.requests) == 2
    assert caught.value.told == BROKEN


def test_a_refusal_is_not_tried_again() -> None:
    with QuirkServer(answering({}, 429)) as server, pytest.raises(SearchFailed):
        found(server, "tavily")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        answering(b"<html>A login page</html>"),
        answering(b"[1]"),
        answering(b"null"),
        answering(b"\xff\xfe"),
        answering(b"[" * 100_000),
        answering({"results": "many"}),
        answering({"results": {"a": 1}}),
    ],
)
def test_answers_that_are_none(answer: Answer) -> None:
    assert failure_of("tavily", answer).told == UNREADABLE


def test_silence_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "SECONDS", 0.3)
    failed = failure_of("tavily", Answer(before=30.0))
    assert failed.told == SILENT


def test_a_broken_connection() -> None:
    assert failure_of("tavily", Answer((b"{", CUT), headers={"content-type": "application/json"})).told == SILENT


def test_a_huge_answer_is_not_read() -> None:
    assert failure_of("tavily", answering(json.dumps({"results": ["x" * 3_000_000]}).encode())).told == SILENT


# --- SearXNG's traps --------------------------------------------------------------------------------------------------

SILENT_ENGINES = {"results": [], "unresponsive_engines": [["google", "HTTP connection error"], ["bing", "timeout"]]}
EMPTY: dict[str, Any] = {"results": [], "unresponsive_engines": []}


def test_an_empty_list_is_no_proof() -> None:
    failed = failure_of("searxng", answering(SILENT_ENGINES))
    assert failed.told == NO_ENGINE
    assert "google (HTTP connection error), bing (timeout)" in failed.reason


@pytest.mark.parametrize("first", [SILENT_ENGINES, EMPTY])
def test_a_time_range_that_finds_nothing_is_given_up(first: dict[str, Any]) -> None:
    with QuirkServer(answering(first), answering(SEARXNG)) as server:
        hits = found(server, "searxng", time_range="day")
        assert ["time_range" in query_of(request) for request in server.requests] == [True, False]
    assert [hit.is_in_range for hit in hits] == [False, False]


def test_a_time_range_that_finds_something_is_kept() -> None:
    with QuirkServer(answering(SEARXNG)) as server:
        assert all(hit.is_in_range for hit in found(server, "searxng", time_range="day"))
        assert len(server.requests) == 1
