"""Serper: Google's results (https://serper.dev)."""

from typing import Any

from tools.web_search.asking import BAD_ACCESS, BAD_QUERY, BUSY, Access, Failure, ask, rows_of, text_of
from tools.web_search.hits import SearchHit, SearchOptions
from tools.web_search.queries import with_sites

TBS = {"day": "qdr:d", "week": "qdr:w", "month": "qdr:m", "year": "qdr:y"}
FAILURES = {
    400: Failure(BAD_QUERY, "If it says that there are not enough credits, those of the key in {name} are used up."),
    401: Failure(BAD_ACCESS, "Check {name}: the key is not valid."),
    403: Failure(BAD_ACCESS, "Check {name}: the key is not valid."),
    429: Failure(BUSY, "The key in {name} has reached its rate limit."),
}


class Serper:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def search(self, query: str, options: SearchOptions) -> list[SearchHit]:
        body: dict[str, Any] = {"q": with_sites(query, options.allowed_domains), "num": options.limit}
        if options.time_range is not None:
            body["tbs"] = TBS[options.time_range]
        if options.country:
            body["gl"] = options.country
        headers = {"X-API-KEY": self._access.key}
        answer = await ask(self._access, "POST", "/search", headers=headers, body=body, failures=FAILURES)
        return [_hit(row) for row in rows_of(answer, self._access, "organic")]


def _hit(row: dict[str, Any]) -> SearchHit:
    return SearchHit(
        title=text_of(row, "title"),
        url=text_of(row, "link"),
        snippet=text_of(row, "snippet"),
        published=text_of(row, "date"),
        source="serper",
    )
