"""Brave Search (https://api-dashboard.search.brave.com/app/documentation/web-search)."""

from typing import Any

from tools.web_search.asking import BAD_ACCESS, BAD_QUERY, BUSY, USED_UP, Access, Failure, ask, rows_of, text_of
from tools.web_search.hits import SearchHit, SearchOptions
from tools.web_search.queries import with_sites

FRESHNESS = {"day": "pd", "week": "pw", "month": "pm", "year": "py"}
MOST_CHARACTERS = 400  # of a query
MOST_WORDS = 30  # of the 50 that it takes: the sites are words, too
FAILURES = {
    400: Failure(BAD_QUERY),
    401: Failure(BAD_ACCESS, "Check {name}: the key is not valid."),
    402: Failure(USED_UP, "The plan of the key in {name} is used up."),
    403: Failure(BAD_ACCESS, "The plan of the key in {name} does not allow this."),
    422: Failure(
        BAD_QUERY, "If every search fails so, check {name}: a key that is not valid may be answered like this."
    ),
    429: Failure(BUSY, "The key in {name} has reached its rate limit, or its month's quota."),
}


class Brave:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def search(self, query: str, options: SearchOptions) -> list[SearchHit]:
        short = " ".join(query.split()[:MOST_WORDS])
        params = {"q": with_sites(short, options.allowed_domains, MOST_CHARACTERS), "count": str(options.limit)}
        if options.time_range is not None:
            params["freshness"] = FRESHNESS[options.time_range]
        if options.country:
            params["country"] = options.country.upper()
        headers = {"X-Subscription-Token": self._access.key}
        answer = await ask(self._access, "GET", "/res/v1/web/search", headers=headers, params=params, failures=FAILURES)
        return [_hit(row) for row in rows_of(answer, self._access, "web", "results")]


def _hit(row: dict[str, Any]) -> SearchHit:
    return SearchHit(
        title=text_of(row, "title"),
        url=text_of(row, "url"),
        snippet=text_of(row, "description"),
        published=text_of(row, "page_age", "age"),
        source="brave",
    )
