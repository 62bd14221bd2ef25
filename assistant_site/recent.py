"""What a process has just read from the database, and goes by for a moment."""

import time
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Values that are good for so many `seconds` after they were read; of at most `most` keys."""

    def __init__(self, seconds: float, most: int = 10_000) -> None:
        self.seconds = seconds
        self._most = most
        self._read: dict[K, tuple[float, V]] = {}

    def get(self, key: K) -> V | None:
        """None: it has to be read."""
        read_at, value = self._read.get(key, (float("-inf"), None))
        return value if time.monotonic() - read_at <= self.seconds else None

    def put(self, key: K, value: V, read_at: float | None = None) -> V:
        """`read_at`: `time.monotonic()` before it was read; now, if reading took no time worth counting."""
        if len(self._read) >= self._most:
            self._read.clear()
        self._read[key] = (time.monotonic() if read_at is None else read_at, value)
        return value

    def forget(self, key: K) -> None:
        self._read.pop(key, None)

    def clear(self) -> None:
        self._read.clear()
