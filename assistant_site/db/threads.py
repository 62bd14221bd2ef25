"""Database work of asynchronous code: plain synchronous functions in a bounded number of threads.

Each thread keeps its own connection, so the number of threads is the number of connections. The function runs in a copy
of the caller's context: it sees the rows that the caller may see (`scope`).
"""

import asyncio
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

from assistant_site.metrics import counted

P = ParamSpec("P")
T = TypeVar("T")


class DatabaseThreads:
    """`await threads.run(function, …)` runs it beside the event loop and gives its connection back."""

    def __init__(self, size: int) -> None:
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="database")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        asked_at = time.perf_counter()

        def call() -> T:
            counted.DATABASE_WAIT.observe(time.perf_counter() - asked_at)
            close_old_connections()
            try:
                return function(*args, **kwargs)
            finally:
                close_old_connections()

        return await asyncio.get_running_loop().run_in_executor(self._pool, copy_context().run, call)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class OfEachLoop:
    """Threads for the running event loop, made when it first asks; `size` says how many."""

    def __init__(self, size: Callable[[], int]) -> None:
        self._size = size
        self._of_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, DatabaseThreads] = (
            weakref.WeakKeyDictionary()
        )

    def __call__(self) -> DatabaseThreads:
        loop = asyncio.get_running_loop()
        if loop not in self._of_loops:
            self._of_loops[loop] = DatabaseThreads(self._size())
        return self._of_loops[loop]


# A few threads that all asynchronous code of a loop shares, for now and then a small question.
of_this_loop = OfEachLoop(lambda: 2)
