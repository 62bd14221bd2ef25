"""Runs a benchmark's coroutine, on uvloop where it is installed: the client then costs less."""

import asyncio
from collections.abc import Coroutine
from typing import Any


def run_loop(job: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(job)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(job)
