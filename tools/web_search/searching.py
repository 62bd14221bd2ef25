"""A search carried out: the cache, then one provider after the other until one answers."""

import asyncio
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from tools.web_search import cache
from tools.web_search.asking import BROKEN, Access
from tools.web_search.cleaning import cleaned
from tools.web_search.hits import SearchFailed, SearchHit, SearchOptions
from tools.web_search.providers import PROVIDERS

logger = logging.getLogger(__name__)

SECONDS = 20.0  # after which no further provider is asked

NOT_CONFIGURED = "Web search is not configured on this server, so nothing was searched. Answer without it, and say so."
NOT_CACHED = "This assistant may not reach the web, and nothing is cached for this query."


@dataclass(frozen=True)
class Found:
    """The pages, cleaned, or in `failure` a sentence that says why there are none to be had."""

    hits: tuple[SearchHit, ...] = ()
    failure: str = ""


async def search_all(
    tenant_id: str, accesses: Sequence[Access], queries: Sequence[str], options: SearchOptions, *, live: bool = True
) -> Found:
    """Several queries at once; their pages by turns, each address once, `options.limit` in all."""
    each = await asyncio.gather(*(search(tenant_id, accesses, query, options, live=live) for query in queries))
    ranks = itertools.zip_longest(*(found.hits for found in each))
    hits = cleaned((hit for rank in ranks for hit in rank if hit), limit=options.limit)
    if not hits and all(found.failure for found in each):
        return each[0]
    return Found(tuple(hits))


async def search(
    tenant_id: str, accesses: Sequence[Access], query: str, options: SearchOptions, *, live: bool = True
) -> Found:
    """`live`: whether providers may be asked, or only the cache."""
    if not accesses:
        return Found(failure=NOT_CONFIGURED)
    told: dict[str, None] = {}
    deadline = asyncio.get_running_loop().time() + SECONDS
    for access in accesses:
        hits = await cache.get(tenant_id, access.provider, query, options)
        if hits is not None:
            return Found(tuple(hits))
        if not live or (told and asyncio.get_running_loop().time() > deadline):
            continue
        try:
            raw = await PROVIDERS[access.provider](access).search(query, options)
        except SearchFailed as failed:
            logger.warning("Web search by %s for tenant %s failed. %s", access.provider, tenant_id, failed.reason)
            told[failed.told] = None
            continue
        except Exception:
            logger.exception("Web search by %s for tenant %s failed.", access.provider, tenant_id)
            told[BROKEN] = None
            continue
        hits = cleaned(raw, limit=options.limit, domains=options.allowed_domains)
        await cache.put(tenant_id, access.provider, query, options, hits)
        return Found(tuple(hits))
    return Found(failure=f"Nothing was found. {' '.join(told)}" if live else NOT_CACHED)
