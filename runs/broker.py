"""django-q2's queue over our Valkey connection."""

import time
from functools import lru_cache
from typing import Any

from django_q.brokers.redis_broker import Redis as RedisBroker

from assistant_site import valkey


class ValkeyBroker(RedisBroker):  # type: ignore[misc]
    """One connection pool a process, whatever form REDIS_URL has (django-q2 itself knows no unix sockets)."""

    def dequeue(self) -> Any:
        """While Valkey is away there is nothing to do, and nothing to complain of: /readyz says it."""
        try:
            return super().dequeue()
        except (valkey.Failed, OSError):
            time.sleep(1)
            return None

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        return valkey.blocking()


class PipelineBroker(ValkeyBroker):
    """Puts tasks into the queue when its pipeline is carried out, together with what else is in that."""

    def __init__(self, pipeline: Any) -> None:
        self.list_key = of_this_process().list_key
        self.connection = pipeline


@lru_cache(maxsize=1)
def of_this_process() -> ValkeyBroker:
    """Kept, because django-q2 would build a broker for each task."""
    return ValkeyBroker()
