"""What all tenants use in one process is shared, so that none of them takes all of it."""

import asyncio
import weakref
from collections.abc import Callable


class Shares:
    """`async with shares.of(tenant_id)`: so many at once of each; more wait, in the order in which they came."""

    def __init__(self, size: Callable[[], int]) -> None:
        self._size = size
        self._in_use: weakref.WeakValueDictionary[tuple[asyncio.AbstractEventLoop, str], asyncio.Semaphore]
        self._in_use = weakref.WeakValueDictionary()

    def of(self, name: str) -> asyncio.Semaphore:
        key = (asyncio.get_running_loop(), name)
        share = self._in_use.get(key)
        if share is None:
            share = self._in_use[key] = asyncio.Semaphore(self._size())
        return share
