"""Tavily (https://docs.tavily.com/documentation/api-reference/endpoint/search)."""

from typing import Any

from tools.web_search.asking import BAD_ACCESS, BAD_QUERY, BUSY, USED_UP, Access, Failure, ask, rows_of, text_of
from tools.web_search.hits import SearchHit, SearchOptions

FAILURES = {
    400: Failure(BAD_QUERY),
    401: Failure(BAD_ACCESS, "Check {name}: the key is not valid."),
    403: Failure(BAD_ACCESS, "The plan of the key in {name} does not allow this."),
    429: Failure(BUSY, "The key in {name} has reached its rate limit."),
    432: Failure(USED_UP, "The plan of the key in {name} is used up."),
    433: Failure(USED_UP, "The pay-as-you-go limit of the key in {name} is reached."),
}


class Tavily:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def search(self, query: str, options: SearchOptions) -> list[SearchHit]:
        body: dict[str, Any] = {"query": query, "max_results": options.limit, "search_depth": "basic"}
        if options.time_range is not None:
            body["time_range"] = options.time_range
        if options.allowed_domains:
            body["include_domains"] = list(options.allowed_domains)
        headers = {"Authorization": f"Bearer {self._access.key}"}
        answer = await ask(self._access, "POST", "/search", headers=headers, body=body, failures=FAILURES)
        return [_hit(row) for row in rows_of(answer, self._access, "results")]


def _hit(row: dict[str, Any]) -> SearchHit:
    return SearchHit(
        title=text_of(row, "title"),
        url=text_of(row, "url"),
        snippet=text_of(row, "content"),
        published=text_of(row, "published_date"),
        source="tavily",
    )
