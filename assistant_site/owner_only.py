"""Files that nobody but their owner can read."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def files() -> Iterator[None]:
    """What this process makes meanwhile, in any of its threads, is for its owner only."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
