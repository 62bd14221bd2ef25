"""`web_search`: the model writes a query, and is shown the web pages that were found, each with a marker to cite."""

import logging
from typing import Any, cast

from django.conf import settings

from assistant_site.db.threads import of_this_loop
from tools.served import ServedTool
from tools.tool import Offer, ToolContext, ToolResult
from tools.web_search import accounts, pages, searching, telling
from tools.web_search.hits import TIME_RANGES, SearchOptions, TimeRange
from tools.web_search.queries import queries_in
from tools.web_search.wire import WebSearchToolSerializer

logger = logging.getLogger(__name__)

SECONDS = 60.0
FEW_RESULTS = 3

DESCRIPTION = (
    "Searches the web and returns pages with their titles, addresses and excerpts. Use it for what is recent, for what "
    "you do not know, and to check what you are not sure of. Behind each statement that rests on a page write the "
    "page's marker, exactly as it was shown."
)
PARAMETERS = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "description": "What to search for, in the words of a search engine."},
        "time_range": {
            "type": "string",
            "enum": list(TIME_RANGES),
            "description": "Only if the answer must be this recent: pages of the last day, week, month or year.",
        },
    },
    "required": ["query"],
    "additionalProperties": False,
}


class WebSearch(ServedTool):
    type = "web_search"
    shape = WebSearchToolSerializer
    parameters = {"type": "object"}  # models have been seen to write `queries`: `queries_in` reads what there is
    gives_sources = True

    @property
    def seconds(self) -> float | None:
        return min(SECONDS, float(settings.TOOL_SECONDS))

    def is_offered(self) -> bool:
        return not accounts.is_off()

    def offers(self, tool: dict[str, Any], briefing: Any) -> list[Offer]:
        return [Offer("web_search", DESCRIPTION + _place(tool.get("user_location")), PARAMETERS)]

    async def run(self, context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
        queries = queries_in(arguments)
        if not queries:
            return ToolResult("Nothing was searched: give a `query`.")
        tool = context.options
        try:
            accesses = await of_this_loop().run(accounts.accesses_of, context.tenant_id)
            found = await searching.search_all(
                context.tenant_id,
                accesses,
                queries,
                options_of(tool, arguments),
                live=tool.get("external_web_access") is not False,
            )
            if found.failure:
                return ToolResult(found.failure)
            read = await pages.read([hit.url for hit in found.hits][: pages_to_read(tool)])
            return telling.result(found.hits, read, context)
        except Exception:
            logger.exception("A web search of tenant %s failed.", context.tenant_id)
            return ToolResult("The search failed because of a fault of the server. Say so if it matters.")


def options_of(tool: dict[str, Any], arguments: dict[str, Any]) -> SearchOptions:
    limit = int(settings.WEB_SEARCH_NUM_RESULTS)
    if tool.get("search_context_size") == "low":
        limit = min(FEW_RESULTS, limit)
    time_range = arguments.get("time_range")
    domains = (tool.get("filters") or {}).get("allowed_domains") or []
    return SearchOptions(
        limit=limit,
        time_range=cast(TimeRange, time_range) if time_range in TIME_RANGES else None,
        allowed_domains=tuple(domain.lower() for domain in domains),
        country=((tool.get("user_location") or {}).get("country") or "").lower(),
    )


def pages_to_read(tool: dict[str, Any]) -> int:
    wanted = tool.get("search_context_size") == "high" and tool.get("external_web_access") is not False
    return int(settings.WEB_SEARCH_READ_PAGES) if wanted else 0


def _place(location: dict[str, Any] | None) -> str:
    """Where the user is, for queries that depend on it."""
    given = location or {}
    parts = [given[name] for name in ("city", "region", "country", "timezone") if given.get(name)]
    return f" The user is, approximately, here: {', '.join(parts)}." if parts else ""
