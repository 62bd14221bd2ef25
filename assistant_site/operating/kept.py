"""Figures that are asked for again and again: kept for some seconds, by each process."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Calls the function again when its last answer is older than so many seconds."""

    def __init__(self, function: Callable[[], T], seconds: float) -> None:
        self.__doc__ = function.__doc__
        self._function = function
        self._seconds = seconds
        self._lock = threading.Lock()
        self._last: tuple[float, T] | None = None

    def __call__(self) -> T:
        with self._lock:  # of many who ask at once, one asks the database
            if self._last is None or time.monotonic() - self._last[0] > self._seconds:
                self._last = (time.monotonic(), self._function())
            return self._last[1]

    def forget(self) -> None:
        self._last = None


def for_seconds(seconds: float) -> Callable[[Callable[[], T]], Kept[T]]:
    return lambda function: Kept(function, seconds)
