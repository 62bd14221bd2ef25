"""Asking for a model turn: one provider after the other, until one begins to answer.

The next one is asked when a provider cannot be reached, is silent, or refuses for a reason of its own: 429, 5xx, a
used-up quota, a credential or a model that it does not know. Never when the request itself is refused, and never after
the first event: what readers have seen is not said twice. While another provider is left, none is asked twice; the last
one gets the usual retries, and its failure is the turn's.
"""

import contextlib
import logging
from collections.abc import AsyncGenerator
from dataclasses import replace

from assistant_site.llm import client
from assistant_site.llm.chat import ChatEvent
from assistant_site.llm.errors import TurnFailed
from assistant_site.metrics import counted
from runs import images
from runs.preparing import Prepared
from runs.turn import Turn
from tenants import health

logger = logging.getLogger(__name__)


async def events_of(prepared: Prepared, turn: Turn) -> AsyncGenerator[ChatEvent, None]:
    """The turn's events as they arrive; `turn.route` is whose they are. Raises `ModelFailed`."""
    for left in range(len(prepared.routes) - 1, -1, -1):
        route = turn.route = prepared.routes[-1 - left]
        request = await images.shown(route.endpoint, prepared.request, prepared.allowed_hosts)
        request = replace(request, model=route.model)
        begun = False
        try:
            asking = client.stream_turn(route.endpoint, request, most_retries=0 if left else None)
            async with contextlib.aclosing(asking) as events:
                async for event in events:
                    begun = True
                    yield event
        except TurnFailed as failure:
            if failure.elsewhere:
                health.note(route.provider_id, route.model, failure, route.endpoint.api_key)
            if begun or not left or not failure.elsewhere:
                raise
            counted.FALLBACKS.inc()
            logger.warning("%s is asked next, for %s.", prepared.routes[-left].name, prepared.request.model)
        else:
            health.succeeded(route.provider_id, route.model)
            return
