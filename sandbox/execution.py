"""What is known of code that runs in a session, and how much of its text is kept."""

import asyncio

from sandbox.protocol import Event, Limits, Reason


class Texts:
    """Lets an execution's text through up to half of its budget, and keeps the last half for the end."""

    def __init__(self, budget: int) -> None:
        self._head = self._most = budget // 2
        self._tail = ""
        self._left_out = 0

    def take(self, text: str) -> str:
        """What of it is to be told now."""
        now, rest = text[: self._head], text[self._head :]
        self._head -= len(now)
        if rest:
            self._tail += rest
            if len(self._tail) > 2 * self._most:
                self._cut()
        return now

    def _cut(self) -> None:
        self._left_out += max(0, len(self._tail) - self._most)
        self._tail = self._tail[-self._most :]

    def rest(self) -> str:
        """What was kept back, behind a line that says what is missing."""
        self._cut()
        gap = f"\n[... {self._left_out:,} characters are left out here ...]\n" if self._left_out else ""
        told, self._tail, self._left_out = gap + self._tail, "", 0
        return told


class Execution:
    """What is known of the code that runs."""

    def __init__(self, number: int, limits: Limits) -> None:
        self.number = number
        self.events: asyncio.Queue[Event | None] = asyncio.Queue(256)
        self.texts = Texts(limits.text_bytes)
        self.images = 0
        self.interrupted_for: Reason | None = None
