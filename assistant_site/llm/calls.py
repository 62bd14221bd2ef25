"""The tool calls of one turn, put together from pieces that every provider cuts and labels in its own way.

A piece belongs to a *slot*: the call it continues. The rules, from the clearest label to none:

* An `index` (a whole number from 0) that was not seen opens a call; gaps and a start at 1 do not matter.
* A seen index continues its call, unless the piece has a new id *and* a name: then it is a parallel call under a shared
  index. A new id without a name is a provider that makes an id per piece, and continues.
* Without an index: a known id continues its call; a new id with a name, or a name once the last call's arguments are a
  complete object, opens one; everything else continues the last call.
* A complete object followed by `{` is the next call, glued on; only an empty `{}` in front is no call but a placeholder
  that bridges to Claude send at a block's start.

Arguments flow on as they arrive. Held back are only pieces that may still turn out to be nothing: blanks, `{}`, `null`;
and all of a call while the one before it may still grow: the SDKs take a call for done when the next one begins.
"""

import re
from collections.abc import Iterable
from typing import Any, Final, Literal
from uuid import uuid4

import orjson

from assistant_site.llm.chat import ChatEvent, JSONObject, ToolCallArguments, ToolCallStarted
from assistant_site.llm.errors import WENT_WRONG, TurnFailed

MAX_CALLS = 128
_CARRIED = ("extra_content", "provider_specific_fields")  # Gemini's signature, as itself and as LiteLLM names it
_NOTHING = ("", "{}", "null")

_BLANKS = re.compile(r"[ \t\r\n]*")
_OUTSIDE_STRING = re.compile(r'["{}\[\]]')
_INSIDE_STRING = re.compile(r'["\\]')


class ObjectScanner:
    """Follows a JSON object through its pieces, just closely enough to know where it ends."""

    __slots__ = ("_depth", "_escaped", "_in_string", "state")

    def __init__(self) -> None:
        self.state: Literal["empty", "inside", "complete", "other"] = "empty"
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def advance(self, text: str) -> int:
        """Reads on; the position of a `{` that begins another object behind a complete one, or -1."""
        at, end = 0, len(text)
        while at < end:
            if self.state == "inside":
                at = self._inside(text, at)
            elif self.state == "other":
                return -1
            else:
                at = _end_of(_BLANKS.match(text, at), at)
                if at == end:
                    return -1
                if text[at] != "{":
                    self.state = "other"
                elif self.state == "complete":
                    return at
                else:
                    self.state, self._depth = "inside", 1
                    at += 1
        return -1

    def _inside(self, text: str, at: int) -> int:
        """Up to the next character that matters; the text's length if there is none."""
        if self._escaped:
            self._escaped = False
            return at + 1
        found = (_INSIDE_STRING if self._in_string else _OUTSIDE_STRING).search(text, at)
        if found is None:
            return len(text)
        mark = found[0]
        if mark == "\\":
            self._escaped = True
        elif mark == '"':
            self._in_string = not self._in_string
        else:
            self._depth += 1 if mark in "{[" else -1
            if self._depth == 0:
                self.state = "complete"
        return found.end()


def _end_of(found: re.Match[str] | None, otherwise: int) -> int:
    return found.end() if found else otherwise


class _Call:
    __slots__ = ("extras", "held", "id", "index", "name", "scanner", "sent", "started", "their_id", "waiting")

    def __init__(self, index: int, name: str, their_id: str, own_id: str) -> None:
        self.index = index
        self.name = name
        self.their_id = their_id  # as the provider gave it, perhaps later than the first piece; may be empty
        self.id: Final = own_id  # as we tell it: theirs if it is unique
        self.scanner = ObjectScanner()
        self.started = False
        self.sent = False  # some of the arguments have been told
        self.held: list[str] = []
        self.extras: JSONObject = {}
        self.waiting: list[ChatEvent] = []  # until the calls before it are told whole


class ToolCalls:
    """Collects a turn's calls; what becomes known is appended to the list of events given."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._slots: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._telling = 0  # the index of the call that is being told

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def all_complete(self) -> bool:
        """There are calls, and each one's arguments are nothing or a whole object."""
        return bool(self._calls) and all(call.scanner.state in ("empty", "complete") for call in self._calls)

    @property
    def extras(self) -> dict[int, JSONObject]:
        return {call.index: call.extras for call in self._calls if call.extras}

    def feed(self, pieces: Iterable[object], events: list[ChatEvent], *, whole: bool = False) -> None:
        """Takes a delta's `tool_calls`; `whole` when each entry is a call of its own (an answer that is no stream)."""
        for piece in pieces:
            if isinstance(piece, dict):
                self._take(piece, events, whole)
                self._go_on(events)

    def finish(self, events: list[ChatEvent]) -> None:
        """Tells what was held back; a call without arguments has `{}`."""
        for call in self._calls:
            self._begin_telling(call, events)
            self._start(call, events)
            if not call.sent:
                text = "".join(call.held)
                self._tell(call, "{}" if text.strip() in _NOTHING else text, events)

    def _take(self, piece: dict[str, Any], events: list[ChatEvent], whole: bool) -> None:
        function = piece.get("function")
        if not isinstance(function, dict):
            function = piece  # flat: {"name": …, "arguments": …}
        name = function.get("name")
        name = name.strip() if isinstance(name, str) else ""
        their_id = piece.get("id")
        their_id = "" if their_id is None else str(their_id)
        text = _as_text(function.get("arguments"))
        call = self._open(None, name, their_id) if whole else self._slot(piece.get("index"), name, their_id)
        if name and not call.name:
            call.name = name
        if call.name and not call.started:
            self._start(call, events)
        for key in _CARRIED:
            if piece.get(key):
                call.extras[key] = piece[key]
        if text:
            self._append(call, text, name, their_id, events)

    def _slot(self, index: object, name: str, their_id: str) -> _Call:
        if isinstance(index, str) and index.isdecimal():
            index = int(index)
        if type(index) is int and index >= 0:
            return self._indexed(index, name, their_id)
        return self._unlabelled(name, their_id)

    def _indexed(self, index: int, name: str, their_id: str) -> _Call:
        call = self._slots.get(index)
        if call is None:
            last = self._calls[-1] if self._calls else None
            if not name and their_id in self._by_id:
                return self._by_id[their_id]
            if not name and not their_id and last is not None and last.scanner.state == "inside":
                return last  # an index that counts pieces
            return self._open(index, name, their_id)
        if their_id and their_id != call.their_id:
            if name and call.name:
                return self._open(index, name, their_id)
            call.their_id = call.their_id or their_id
        elif name and call.name and name != call.name and not their_id and call.scanner.state != "inside":
            return self._open(index, name, their_id)
        return call

    def _unlabelled(self, name: str, their_id: str) -> _Call:
        if their_id in self._by_id:
            return self._by_id[their_id]
        if not self._calls:
            return self._open(None, name, their_id)
        last = self._calls[-1]
        if name and last.name:
            begun = last.scanner.state
            if their_id or begun == "complete" or (begun == "empty" and name != last.name):
                return self._open(None, name, their_id)
        return last

    def _open(self, index: int | None, name: str, their_id: str) -> _Call:
        if len(self._calls) >= MAX_CALLS:
            raise TurnFailed("server_error", WENT_WRONG, detail=f"more than {MAX_CALLS} tool calls in one turn")
        unique = bool(their_id) and their_id not in self._by_id
        call = _Call(len(self._calls), name, their_id, their_id if unique else f"call_{uuid4().hex[:24]}")
        self._calls.append(call)
        if unique:
            self._by_id[their_id] = call
        if index is not None:
            self._slots[index] = call
        return call

    def _append(self, call: _Call, text: str, name: str, their_id: str, events: list[ChatEvent]) -> None:
        while (cut := call.scanner.advance(text)) >= 0:
            self._tell_or_hold(call, text[:cut], events)
            text = text[cut:]
            if not call.sent and "".join(call.held).strip() == "{}":
                call.held.clear()
                call.scanner = ObjectScanner()
                continue
            glued = self._open(None, name or call.name, their_id if their_id != call.their_id else "")
            for index, owner in self._slots.items():
                if owner is call:
                    self._slots[index] = glued
            if glued.name:
                self._start(glued, events)
            call = glued
        self._tell_or_hold(call, text, events)

    def _tell_or_hold(self, call: _Call, piece: str, events: list[ChatEvent]) -> None:
        if call.sent:
            if piece:
                self._emit(call, ToolCallArguments(call.index, piece), events)
            return
        call.held.append(piece)
        if call.started and (call.scanner.state == "inside" or "".join(call.held).strip() not in _NOTHING):
            self._tell(call, "".join(call.held), events)

    def _tell(self, call: _Call, text: str, events: list[ChatEvent]) -> None:
        call.held.clear()
        call.sent = True
        self._emit(call, ToolCallArguments(call.index, text), events)

    def _start(self, call: _Call, events: list[ChatEvent]) -> None:
        if call.started:
            return
        call.started = True
        self._emit(call, ToolCallStarted(call.index, call.id, call.name), events)
        if call.held and "".join(call.held).strip() not in _NOTHING:
            self._tell(call, "".join(call.held), events)

    def _emit(self, call: _Call, event: ChatEvent, events: list[ChatEvent]) -> None:
        (events if call.index <= self._telling else call.waiting).append(event)

    def _go_on(self, events: list[ChatEvent]) -> None:
        """To the next calls, as far as those before them are whole."""
        while self._telling + 1 < len(self._calls):
            told = self._calls[self._telling]
            if not told.sent or told.scanner.state != "complete":
                return
            self._begin_telling(self._calls[self._telling + 1], events)

    def _begin_telling(self, call: _Call, events: list[ChatEvent]) -> None:
        self._telling = call.index
        events += call.waiting
        call.waiting.clear()


def _as_text(arguments: object) -> str:
    """Arguments as their JSON text: some servers give them as the object itself."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else orjson.dumps(arguments).decode()
