"""django-q2's queue over our Valkey connection."""

import contextlib
import time
from functools import lru_cache
from typing import Any

from django_q.brokers.redis_broker import Redis as RedisBroker

from assistant_site import valkey


class ValkeyBroker(RedisBroker):  # type: ignore[misc]
    """One connection pool a process, whatever form REDIS_URL has (django-q2 itself knows no unix sockets)."""

    def dequeue(self) -> Any:
        """While Valkey is away there is nothing to do; an exception would stop the worker's supply for 10 s."""
        try:
            return super().dequeue()
        except (valkey.Failed, OSError):
            time.sleep(1)
            return None

    def set_stat(self, key: str, value: str, timeout: int) -> None:
        """django-q2's own monitor can do without; it would complain ten times a second while it stops."""
        with contextlib.suppress(valkey.Failed, OSError):
            super().set_stat(key, value, timeout)

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        return valkey.blocking()


@lru_cache(maxsize=1)
def of_this_process() -> ValkeyBroker:
    """Kept, because django-q2 would build a broker for each task."""
    return ValkeyBroker()
