"""Sessions of deleted threads are closed soon after the commit, beside the request that deleted them.

Best effort: what is missed here ends when it has been idle for long enough.
"""

import asyncio
import logging
import queue
import threading
from functools import partial
from typing import Any

from django.db import transaction

from sandbox.protocol import SandboxError, SessionKey
from tools.code_interpreter import access

logger = logging.getLogger(__name__)

MOST_WAITING = 1_000
CLOSE_SECONDS = 5.0
IDLE_SECONDS = 30.0  # after which the thread that closes ends

_waiting: queue.Queue[SessionKey] = queue.Queue(MOST_WAITING)
_lock = threading.Lock()
_closer: threading.Thread | None = None


def space_deleted(sender: Any, instance: Any, **_: Any) -> None:
    """A thread's code space was deleted, with its thread or its tenant."""
    if instance.generation and not access.is_off():
        transaction.on_commit(partial(close_soon, SessionKey(instance.tenant_id, instance.thread_id)))


def close_soon(key: SessionKey) -> None:
    global _closer
    with _lock:
        try:
            _waiting.put_nowait(key)
        except queue.Full:
            return
        if _closer is None:
            _closer = threading.Thread(target=_close_all, name="closing code sessions", daemon=True)
            _closer.start()


def _close_all() -> None:
    global _closer
    while True:
        try:
            key = _waiting.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            with _lock:
                if _waiting.empty():
                    _closer = None
                    return
            continue
        try:
            asyncio.run(asyncio.wait_for(_close(key), CLOSE_SECONDS))
        except (SandboxError, TimeoutError) as problem:
            logger.info("The code session of the deleted thread %s was not closed: %s", key.thread_id, problem)
        except Exception:
            logger.exception("The code session of the deleted thread %s was not closed.", key.thread_id)
        finally:
            _waiting.task_done()


def wait() -> None:
    """Until everything that was to be closed so far has been seen to."""
    _waiting.join()


async def _close(key: SessionKey) -> None:
    try:
        await access.sandbox().close(key)
    finally:
        await access.disconnect()
