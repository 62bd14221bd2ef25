"""Worker processes, of runs and of ingestion: how they show that they are there, and what is done when one dies.

A worker of django-q2 waits for tasks inside a lock that all workers share. One that is killed there (out of memory, a
crash) takes the lock with it: its successor waits for ever, and the cluster cannot even be stopped. So a successor
ends the whole cluster at once; whoever started it (`up`, systemd, a container's restart policy) starts a sound one, and
the runs of the dead are taken up when their leases end.
"""

import logging
import multiprocessing
import os

import psutil

logger = logging.getLogger(__name__)

ALIVE_KEY = "holdfast:worker:"
ALIVE_SECONDS = 15

# Made before the cluster forks, so that all its processes share it: those begun less those ended in good order.
_alive = multiprocessing.Value("i", 0)


def note_end() -> None:
    """Called in a worker process that ends in good order, such as one that is recycled."""
    with _alive.get_lock():
        _alive.value -= 1


def note_spawn() -> None:
    """Called in each new worker process; does not return in one that takes a dead one's place."""
    from django_q.conf import Conf  # reads the database's settings: not before Django is set up

    with _alive.get_lock():
        _alive.value += 1
        number = _alive.value
    if number <= Conf.WORKERS:
        return
    logger.error("A worker process died. The cluster ends, because django-q2 cannot go on safely; start it again.")
    sentinel = psutil.Process().parent()
    cluster = sentinel.parent() if sentinel else None
    if cluster is not None:
        for process in [*cluster.children(recursive=True), cluster]:
            if process.pid != os.getpid():
                process.kill()
    os._exit(1)
