"""SearXNG: a metasearch engine of one's own, without a key (https://docs.searxng.org/dev/search_api.html).

It skips engines that cannot search a time range, and answers with an empty list when none of them answered it.
"""

from dataclasses import replace
from typing import Any

from tools.web_search.asking import BAD_QUERY, BUSY, REFUSED, Access, Failure, ask, rows_of, text_of
from tools.web_search.hits import SearchFailed, SearchHit, SearchOptions
from tools.web_search.queries import with_sites

FAILURES = {
    400: Failure(BAD_QUERY),
    403: Failure(REFUSED, "Add json to search.formats in its settings.yml, and restart it."),
    404: Failure(REFUSED, "{name} is its address without /search."),
    429: Failure(BUSY, "Set server.limiter to false in its settings.yml, or let this server through its limiter."),
}
NO_ENGINE = "The search engines behind the search service did not answer."


class SearXNG:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def search(self, query: str, options: SearchOptions) -> list[SearchHit]:
        if options.time_range is None:
            return await self._search(query, options)
        try:
            found = await self._search(query, options)
        except _NoEngine:
            found = []
        if not found:
            wider = await self._search(query, replace(options, time_range=None))
            found = [replace(hit, is_in_range=False) for hit in wider]
        return found

    async def _search(self, query: str, options: SearchOptions) -> list[SearchHit]:
        params = {"q": with_sites(query, options.allowed_domains), "format": "json", "safesearch": "1"}
        if options.time_range is not None:
            params["time_range"] = options.time_range
        answer = await ask(self._access, "GET", "/search", params=params, failures=FAILURES)
        rows = rows_of(answer, self._access, "results")
        silent = answer.get("unresponsive_engines")
        if not rows and isinstance(silent, list) and silent:
            reason = f"It found nothing, and of its engines did not answer: {_named(silent)}."
            raise _NoEngine(NO_ENGINE, f"{reason} Look at its log; enable other engines in its settings.yml.")
        return [_hit(row) for row in rows]


class _NoEngine(SearchFailed):
    pass


def _named(engines: list[Any]) -> str:
    """Engines with their trouble, such as `bing (timeout)`."""
    told = [f"{each[0]} ({each[1]})" for each in engines if isinstance(each, list) and len(each) > 1]
    return " ".join(", ".join(told).split())[:300] or "some"


def _hit(row: dict[str, Any]) -> SearchHit:
    return SearchHit(
        title=text_of(row, "title"),
        url=text_of(row, "url"),
        snippet=text_of(row, "content"),
        published=text_of(row, "publishedDate", "pubdate"),
        source="searxng",
    )
