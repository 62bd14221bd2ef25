"""Exa (https://docs.exa.ai/reference/search)."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from tools.web_search.asking import BAD_ACCESS, BAD_QUERY, BUSY, USED_UP, Access, Failure, ask, rows_of, text_of
from tools.web_search.hits import SearchHit, SearchOptions

DAYS = {"day": 1, "week": 7, "month": 31, "year": 366}
SNIPPET_CHARACTERS = 500
FAILURES = {
    400: Failure(BAD_QUERY),
    401: Failure(BAD_ACCESS, "Check {name}: the key is not valid."),
    402: Failure(USED_UP, "The credits of the key in {name} are used up."),
    403: Failure(BAD_ACCESS, "The plan of the key in {name} does not allow this."),
    429: Failure(BUSY, "The key in {name} has reached its rate limit."),
}


class Exa:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def search(self, query: str, options: SearchOptions) -> list[SearchHit]:
        contents = {"text": {"maxCharacters": SNIPPET_CHARACTERS}, "highlights": True}
        body: dict[str, Any] = {"query": query, "type": "auto", "numResults": options.limit, "contents": contents}
        if options.time_range is not None:
            since = timezone.now() - timedelta(days=DAYS[options.time_range])
            body["startPublishedDate"] = since.strftime("%Y-%m-%dT00:00:00.000Z")
        if options.allowed_domains:
            body["includeDomains"] = list(options.allowed_domains)
        headers = {"x-api-key": self._access.key}
        answer = await ask(self._access, "POST", "/search", headers=headers, body=body, failures=FAILURES)
        return [_hit(row) for row in rows_of(answer, self._access, "results")]


def _hit(row: dict[str, Any]) -> SearchHit:
    highlights = row.get("highlights")
    parts = [part for part in highlights if isinstance(part, str)] if isinstance(highlights, list) else []
    return SearchHit(
        title=text_of(row, "title"),
        url=text_of(row, "url"),
        snippet=" … ".join(parts) or text_of(row, "text"),
        published=text_of(row, "publishedDate"),
        source="exa",
    )
