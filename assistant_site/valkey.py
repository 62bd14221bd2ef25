"""Connections to Valkey (Redis protocol). Valkey wakes, carries and counts; nothing is lost with it.

Time-outs are short: whoever waits for Valkey has a way on without it.
"""

import asyncio
import logging
import weakref
from functools import lru_cache
from typing import Any

import redis
import redis.asyncio
from django.conf import settings

logger = logging.getLogger(__name__)

Failed = redis.RedisError  # what every call may raise

_OPTIONS: dict[str, Any] = {"socket_connect_timeout": 2, "protocol": 2}


@lru_cache(maxsize=1)
def blocking() -> "redis.Redis":
    """The client of this process's synchronous code; safe to share between threads."""
    return redis.Redis.from_url(settings.VALKEY_URL, socket_timeout=5, **_OPTIONS)


_clients: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, redis.asyncio.Redis]" = weakref.WeakKeyDictionary()


def of_this_loop() -> "redis.asyncio.Redis":
    """The client of the running event loop; not for blocking reads, which need a longer time-out."""
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        _clients[loop] = redis.asyncio.Redis.from_url(settings.VALKEY_URL, socket_timeout=5, **_OPTIONS)
    return _clients[loop]


STOP_CHANNEL = "holdfast:stop"
WAITING_CHANNEL = "holdfast:waiting"  # where a worker that leaves runs queued says its name


def tell_workers_to_stop(run_id: str) -> None:
    """Asks whoever carries this run to look at its row at once; without Valkey its next heartbeat will."""
    try:
        blocking().publish(STOP_CHANNEL, run_id)
    except Failed as error:
        logger.warning("Could not tell the workers to stop %s at once: %s", run_id, error)
