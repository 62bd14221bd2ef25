"""The tool as a run uses it: its options, its sentences, and that nothing is raised."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import LazySettings

from assistant_site.llm.tests.quirk_server import Answer, QuirkServer, answering
from assistant_site.tests.callers import LocalCaller
from tools.registry import server_tools
from tools.tool import ToolContext, ToolResult
from tools.web_search import accounts, pages, searching
from tools.web_search.asking import Access
from tools.web_search.tests.recorded import TAVILY, access_to, run
from tools.web_search.tool import WebSearch, options_of, pages_to_read

TOOL = WebSearch()
PLAIN = {"type": "web_search"}

pytestmark = pytest.mark.usefixtures("search_settings")


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[QuirkServer]:
    """A provider that every tenant has."""
    with QuirkServer(answering(TAVILY)) as server:
        monkeypatch.setattr(accounts, "accesses_of", lambda tenant_id: [access_to(server, "tavily")])
        yield server


def call(arguments: str, tool: dict[str, Any] = PLAIN, **fields: Any) -> ToolResult:
    context = ToolContext(tenant_id="tenant_x", turn=2, options=tool, **fields)
    return run(TOOL.call(context, arguments))


def test_a_search(provider: QuirkServer) -> None:
    result = call('{"query": "django"}', number=100)
    assert "1. 【2:100†Django】 Django\nAddress: https://www.djangoproject.com/" in result.output
    assert [source.url for source in result.sources] == ["https://www.djangoproject.com/"]
    [request] = provider.requests
    assert request.body["query"] == "django"


@pytest.mark.parametrize(
    ("arguments", "queries"),
    [
        ('{"query": "a"}', ["a"]),
        ('{"queries": ["a", "b", "a", " "]}', ["a", "b"]),
        ('{"queries": "a"}', ["a"]),
        ('{"query": ["a", 5, null]}', ["a"]),
        ('{"query": "a  \\n b", "time_range": "century", "more": 1}', ["a b"]),
        ('{"queries": ["a", "b", "c", "d"]}', ["a", "b", "c"]),
    ],
)
def test_queries_however_they_are_written(provider: QuirkServer, arguments: str, queries: list[str]) -> None:
    call(arguments)
    assert sorted(request.body["query"] for request in provider.requests) == queries
    assert all("time_range" not in request.body for request in provider.requests)


@pytest.mark.parametrize("arguments", ["{}", '{"query": ""}', '{"query": 5}', '{"query": {}}', ""])
def test_no_query(provider: QuirkServer, arguments: str) -> None:
    assert call(arguments) == ToolResult("Nothing was searched: give a `query`.")
    assert provider.requests == []


def test_options_are_heeded(provider: QuirkServer) -> None:
    tool = {
        **PLAIN,
        "filters": {"allowed_domains": ["DjangoProject.com"]},
        "search_context_size": "low",
        "user_location": {"type": "approximate", "country": "DE", "city": "Köln"},
    }
    call('{"query": "django", "time_range": "week"}', tool)
    [request] = provider.requests
    assert request.body["include_domains"] == ["djangoproject.com"]
    assert (request.body["max_results"], request.body["time_range"]) == (3, "week")
    assert options_of(tool, {}).country == "de"
    [offer] = TOOL.offers(tool, None)
    assert offer.name == "web_search"
    assert offer.description.endswith(" The user is, approximately, here: Köln, DE.")
    assert offer.parameters["required"] == ["query"]


@pytest.mark.parametrize(
    ("size", "number", "results", "read"),
    [("low", 5, 3, 0), ("medium", 5, 5, 0), (None, 5, 5, 0), ("high", 5, 5, 2), ("low", 1, 1, 0), ("high", 10, 10, 2)],
)
def test_sizes(size: str | None, number: int, results: int, read: int, search_settings: LazySettings) -> None:
    search_settings.WEB_SEARCH_NUM_RESULTS = number
    tool = {**PLAIN, **({"search_context_size": size} if size else {})}
    assert (options_of(tool, {}).limit, pages_to_read(tool)) == (results, read)


def test_pages_are_read_when_asked_for(provider: QuirkServer, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Answer((b"<html><body><p>All about it.</p></body></html>",), headers={"content-type": "text/html"})
    monkeypatch.setattr(pages, "ALLOWED_HOSTS", ("127.0.0.1",))
    with QuirkServer(page) as web:
        url = f"http://127.0.0.1:{web.port}/page"
        provider.script[:] = [answering({"results": [{"title": "T", "url": url, "content": "Excerpt."}]})]
        assert "> All about it." in call('{"query": "x"}', {**PLAIN, "search_context_size": "high"}).output
        assert "> Excerpt." in call('{"query": "x"}').output
        assert len(web.requests) == 1


def test_nothing_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "accesses_of", lambda tenant_id: [])
    assert call('{"query": "x"}') == ToolResult(searching.NOT_CONFIGURED)


def test_a_failure_is_a_sentence(provider: QuirkServer) -> None:
    provider.script[:] = [answering({}, 401)]
    result = call('{"query": "x"}')
    assert result.output == "Nothing was found. The search service refused this server's access to it."
    assert result.sources == ()


def test_a_fault_of_ours_is_a_sentence(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(tenant_id: str) -> list[Access]:
        raise RuntimeError("a fault")

    monkeypatch.setattr(accounts, "accesses_of", broken)
    assert call('{"query": "x"}').output.startswith("The search failed because of a fault of the server.")
    assert "a fault" in caplog.text


def test_a_search_that_is_cancelled_ends(provider: QuirkServer) -> None:
    provider.script[:] = [Answer(before=30.0)]

    async def stopped() -> None:
        context = ToolContext(tenant_id="tenant_x", turn=1, options=PLAIN)
        task = asyncio.create_task(TOOL.call(context, '{"query": "x"}'))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(stopped())


def test_switched_off_it_is_not_offered(search_settings: LazySettings) -> None:
    assert TOOL.is_offered()
    search_settings.WEB_SEARCH = ["off"]
    assert not TOOL.is_offered()


# --- In requests ------------------------------------------------------------------------------------------------------

LOCATION = {"type": "approximate", "country": "DE", "region": "NRW", "city": "Köln", "timezone": "Europe/Berlin"}


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "web_search"},
        {"type": "web_search_2025_08_26"},
        {"type": "web_search_preview", "search_context_size": "low"},
        {"type": "web_search_preview_2025_03_11", "search_content_types": ["text", "image"]},
        {
            "type": "web_search",
            "filters": {"allowed_domains": ["pubmed.ncbi.nlm.nih.gov", "a-b.example"]},
            "search_context_size": "high",
            "user_location": LOCATION,
            "external_web_access": False,
        },
        {"type": "web_search", "filters": {}, "user_location": {"type": "approximate"}},
    ],
)
def test_it_comes_back_as_it_was_given(alice: LocalCaller, tool: dict[str, Any]) -> None:
    made = alice.post("assistants", {"model": "gpt-4o", "tools": [tool]})
    assert made.status == 200, made.body
    assert made.body["tools"] == [tool]
    assert alice.get(f"assistants/{made.body['id']}").body["tools"] == [tool]
    assert isinstance(server_tools()[tool["type"]], WebSearch)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"search_context_size": "huge"}, "tools[0].search_context_size"),
        ({"filters": {"allowed_domains": ["https://a.example/"]}}, "tools[0].filters.allowed_domains[0]"),
        ({"filters": {"allowed_domains": ["a OR b"]}}, "tools[0].filters.allowed_domains[0]"),
        ({"filters": {"allowed_domains": ["a.example"] * 101}}, "tools[0].filters.allowed_domains"),
        ({"filters": {"blocked": []}}, "tools[0].filters.blocked"),
        ({"user_location": {"type": "exact"}}, "tools[0].user_location.type"),
        ({"user_location": {"country": "Germany"}}, "tools[0].user_location.country"),
        ({"user_location": {"timezone": "x y"}}, "tools[0].user_location.timezone"),
        ({"api_key": "x"}, "tools[0].api_key"),
    ],
)
def test_what_is_wrong_is_refused(alice: LocalCaller, options: dict[str, Any], param: str) -> None:
    made = alice.post("assistants", {"model": "gpt-4o", "tools": [{**PLAIN, **options}]})
    assert made.status == 400
    assert made.body["error"]["param"] == param
