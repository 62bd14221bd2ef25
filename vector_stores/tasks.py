"""The queue between requests and ingestion. It only wakes: what is to be done stands in the rows.

Django's `on_commit` is right here, where `db.afterwards` would be too early inside of another action's transaction: a
wake-up that is lost, as in a test that is rolled back, costs some seconds at most.
"""

import logging
from functools import lru_cache, partial
from typing import Any

from django.db import transaction
from django_q.brokers import get_broker
from django_q.tasks import async_task

from assistant_site import valkey

logger = logging.getLogger(__name__)

CLUSTER = "ingestion"
ALIVE_KEY = "holdfast:ingestion:"  # of workers that show themselves, for /readyz
MOST_AT_ONCE = 4  # workers that one request wakes; whoever is awake goes on until nothing is left


def wake() -> None:
    """Runs in an ingestion worker: its threads look for work now, not some seconds later."""
    from vector_stores.worker import of_this_process

    of_this_process().wake()


def wake_ingestion(files: int = 1) -> None:
    """Asks for workers once the present transaction is committed."""
    transaction.on_commit(partial(_send, min(files, MOST_AT_ONCE)))


def _send(times: int) -> None:
    try:
        for _ in range(times):
            async_task("vector_stores.tasks.wake", task_name="wake", cluster=CLUSTER, broker=_broker())
    except (valkey.Failed, OSError) as error:
        logger.warning("Ingestion could not be woken, its ticker will look by itself: %s", error)


@lru_cache(maxsize=1)
def _broker() -> Any:
    """Kept, because django-q2 would build one for each task."""
    return get_broker(CLUSTER)
