"""What a call has shown so far: its logs and images as they stand in the step, told piece by piece.

An execution that is followed again, by another worker, gives its events from the first one on. What was told of it is
neither told nor stored again.
"""

import asyncio
import copy
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tools.texts import cut, storable

PACE_SECONDS = 0.05  # between two pieces of a text: what comes meanwhile is told together
MOST_TOLD = 32_000  # characters of one piece
NO_OUTPUT = "The code ran and printed nothing."


class Outputs:
    """The call's details, which grow. `told` is what another worker has told of them."""

    def __init__(self, told: dict[str, Any], grow: Callable[[dict[str, Any]], None]) -> None:
        self.input = str(told.get("input") or "")
        self.entries: list[dict[str, Any]] = copy.deepcopy(told.get("outputs") or [])
        self._grow = grow
        self._at = -1  # the entry that the execution has come to
        self._characters = 0  # of its text, if it is a text
        self._ends_line = True
        self._is_result = False  # what the logs end with
        self._untold: list[str] = []  # of the entry's text
        self._told_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    @property
    def details(self) -> dict[str, Any]:
        return {"input": self.input, "outputs": copy.deepcopy(self.entries)}

    def told_input(self, code: str) -> None:
        """The code as it is run: tells what the reader of the arguments could not."""
        rest = code[len(self.input) :] if code.startswith(self.input) else ""
        if rest:
            self.input += rest
            self._grow({"input": rest})

    def text(self, text: str, *, is_result: bool = False) -> None:
        """Adds to the logs. Results, which may come in pieces, stand on lines of their own."""
        if (is_result or self._is_result) and is_result != self._is_result and not self._ends_line:
            text = "\n" + text
        self._is_result = is_result
        text = storable(text)
        if not text:
            return
        if self._at < 0 or self.entries[self._at]["type"] != "logs":
            self._next("logs")
        self._ends_line = text.endswith("\n")
        known = self._characters
        self._characters += len(text)
        new = text[max(0, len(self.entries[self._at]["logs"]) - known) :] if self._at < len(self.entries) else text
        if new:
            self._add({"type": "logs", "logs": new})

    def line(self, text: str) -> None:
        """Adds a text that stands on lines of its own."""
        if text:
            self.text(("" if self._ends_line else "\n") + text + ("" if text.endswith("\n") else "\n"))

    def end_with(self, text: str) -> None:
        """Adds a line behind all that was told, for the events of the execution come no further."""
        self.tell()
        self._at = len(self.entries) - 1
        last = self.entries[-1].get("logs", "") if self.entries else ""
        self._characters = len(last)
        self._ends_line = not last or last.endswith("\n")
        self.line(text)

    async def image(self, save: Callable[[int], Awaitable[str]]) -> None:
        """Adds an image; `save` stores it, given its number, and returns its file's id."""
        self._next("image")
        if self._at == len(self.entries):
            number = sum(entry["type"] == "image" for entry in self.entries) + 1
            self._add({"type": "image", "image": {"file_id": await save(number)}})
        self._ends_line = True

    def _next(self, kind: str) -> None:
        """Goes on to the entry that comes next, which may have been told; else to a new one."""
        self.tell()
        self._at += 1
        self._characters = 0
        if self._at < len(self.entries) and self.entries[self._at]["type"] != kind:
            self._at = len(self.entries)  # not the events that were told: what comes is added to them

    def _add(self, entry: dict[str, Any]) -> None:
        if self._at == len(self.entries):
            self.entries.append(copy.deepcopy(entry))
        else:
            self.entries[self._at]["logs"] += entry["logs"]
        if entry["type"] == "logs":
            self._tell_soon(entry["logs"])
        else:
            self._grow({"outputs": [{"index": self._at, **entry}]})

    def _tell_soon(self, text: str) -> None:
        self._untold.append(text)
        if self._timer is None:
            wait = self._told_at + PACE_SECONDS - time.monotonic()
            if wait <= 0:
                self.tell()
            else:
                self._timer = asyncio.get_running_loop().call_later(wait, self.tell)

    def tell(self) -> None:
        """Tells what has gathered of a text."""
        self.stop()
        text = "".join(self._untold)
        self._untold.clear()
        for at in range(0, len(text), MOST_TOLD):
            piece = {"index": self._at, "type": "logs", "logs": text[at : at + MOST_TOLD]}
            self._grow({"outputs": [piece]})
        if text:
            self._told_at = time.monotonic()

    def stop(self) -> None:
        """Tells nothing any more by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def images(self) -> tuple[str, ...]:
        return tuple(entry["image"]["file_id"] for entry in self.entries if entry["type"] == "image")

    @property
    def logs(self) -> str:
        return "\n".join(entry["logs"].rstrip("\n") for entry in self.entries if entry["type"] == "logs")


def for_the_model(outputs: Outputs, remarks: list[str], most_bytes: int) -> str:
    """The call's output as the model gets it: the logs, their head and tail if they are long, and what it must know."""
    parts = [cut(outputs.logs, most_bytes)] if outputs.logs.strip() else []
    parts += [f"[image {file_id} shown to the user]" for file_id in outputs.images]
    return "\n".join([*(parts or [NO_OUTPUT]), *remarks])
