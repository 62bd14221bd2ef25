"""Results of searches, for some minutes in Valkey. Losing them costs a search."""

import hashlib
import json
import logging
from dataclasses import asdict

from django.conf import settings

from assistant_site import valkey
from tools.web_search.hits import SearchHit, SearchOptions

logger = logging.getLogger(__name__)


def _name(tenant_id: str, provider: str, query: str, options: SearchOptions) -> str:
    asked = json.dumps([tenant_id, provider, query, options.as_json()], sort_keys=True)
    return f"holdfast:web-search:{hashlib.sha256(asked.encode()).hexdigest()}"


async def get(tenant_id: str, provider: str, query: str, options: SearchOptions) -> list[SearchHit] | None:
    if not settings.WEB_SEARCH_CACHE_SECONDS:
        return None
    try:
        stored = await valkey.of_this_loop().get(_name(tenant_id, provider, query, options))
    except valkey.Failed as error:
        logger.debug("The cache of web searches could not be read: %s", error)
        return None
    if not stored:
        return None
    try:
        return [SearchHit(**each) for each in json.loads(stored)]
    except (ValueError, TypeError):  # another version's
        return None


async def put(tenant_id: str, provider: str, query: str, options: SearchOptions, hits: list[SearchHit]) -> None:
    seconds = settings.WEB_SEARCH_CACHE_SECONDS
    if not seconds:
        return
    stored = json.dumps([asdict(hit) for hit in hits])
    try:
        await valkey.of_this_loop().set(_name(tenant_id, provider, query, options), stored, ex=seconds)
    except valkey.Failed as error:
        logger.debug("The cache of web searches could not be written: %s", error)
