"""Which providers there are: a literal dict from the name in `WEB_SEARCH` to what speaks with it."""

from collections.abc import Callable

from tools.web_search.asking import Access
from tools.web_search.hits import SearchProvider
from tools.web_search.providers.brave import Brave
from tools.web_search.providers.exa import Exa
from tools.web_search.providers.searxng import SearXNG
from tools.web_search.providers.serper import Serper
from tools.web_search.providers.tavily import Tavily

PROVIDERS: dict[str, Callable[[Access], SearchProvider]] = {
    "searxng": SearXNG,
    "tavily": Tavily,
    "brave": Brave,
    "serper": Serper,
    "exa": Exa,
}
