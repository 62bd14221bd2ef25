"""An answer's body into decoded chunks: a stream of events, one JSON text where a stream was asked for, or neither."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import aiohttp
import orjson

from assistant_site.llm.errors import ENDED_EARLY, NOT_COMPATIBLE, UNREADABLE, TurnFailed
from assistant_site.llm.headers import request_id_of
from assistant_site.llm.sse import DONE, LineTooLong, PayloadReader
from assistant_site.llm.transport import BROKEN, Silence, no_answer

MAX_WHOLE_BYTES = 16 * 1024 * 1024  # of an answer that is no stream
MAX_STREAM_BYTES = 128 * 1024 * 1024
# How long usage, `[DONE]` or the end may take once the answer has its finish_reason.
AFTER_REASON_SECONDS = 10.0
DRAIN_SECONDS = 2.0

_draining: set[asyncio.Task[None]] = set()  # keeps the tasks alive


class AnswerBody:
    """The pieces of a response, and its proper end."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._left = MAX_STREAM_BYTES
        self._all_said = False

    @property
    def request_id(self) -> str:
        return request_id_of(self._response.headers)

    @property
    def content_type(self) -> str:
        """In lower case, without parameters; empty if the provider gave none."""
        return self._response.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def piece(self, *, seconds: float | None = None) -> bytes | None:
        """The next bytes, None at the end. Raises what `BROKEN` lists, and `TimeoutError` after `seconds`."""
        if seconds is None:
            piece = await self._response.content.readany()
        else:
            async with asyncio.timeout(seconds):
                piece = await self._response.content.readany()
        self._left -= len(piece)
        if self._left < 0:
            raise TurnFailed("server_error", UNREADABLE, detail=f"more than {MAX_STREAM_BYTES} bytes")
        return piece or None

    def all_said(self) -> None:
        """`[DONE]` was read: what follows is only the connection's own end, which makes it usable again."""
        self._all_said = True

    def close(self) -> None:
        """Closes the connection, unless the answer was read to its end; that is awaited in the background."""
        if self._all_said and not self._response.closed:
            task = asyncio.create_task(self._drain())
            _draining.add(task)
            task.add_done_callback(_draining.discard)
        else:
            self._response.close()

    async def _drain(self) -> None:
        try:
            while await self.piece(seconds=DRAIN_SECONDS) is not None:
                pass
        except (*BROKEN, TimeoutError, TurnFailed):
            pass
        finally:
            self._response.close()


async def chunks_of(body: AnswerBody, *, may_stop: Callable[[], bool]) -> AsyncGenerator[list[object], None]:
    """The decoded chunks, in lists as they arrive together; one list with the whole answer if it is no stream.

    `may_stop` says whether the turn is complete already, so that a broken or missing end does not matter. Raises
    `TurnFailed`.
    """
    try:
        first = await _beginning(body)
        if first.startswith(b"<") or body.content_type in ("text/html", "application/xhtml+xml"):
            raise _not_compatible(body, first)
        if first.startswith((b"{", b"[")):
            yield await _whole(body, first)
            return
        reader = PayloadReader()
        seen = False
        piece: bytes | None = first
        while piece is not None:
            payloads = reader.feed(piece)
            if payloads:
                seen = True
                if payloads[-1] == DONE or DONE in payloads:
                    body.all_said()
                    yield [_decoded(payload) for payload in payloads[: payloads.index(DONE)]]
                    return
                yield [_decoded(payload) for payload in payloads]
            piece = await body.piece(seconds=AFTER_REASON_SECONDS if may_stop() else None)
        last = [_decoded_if_whole(payload) for payload in reader.end()]
        if not seen and not last and body.content_type != "text/event-stream":
            raise _not_compatible(body, first)
        yield last
    except LineTooLong:
        raise TurnFailed("server_error", UNREADABLE, detail="a line of more than 16 MiB") from None
    except (*BROKEN, TimeoutError) as error:
        if may_stop():
            return
        failure = no_answer(error)
        if not isinstance(error, Silence):
            failure = TurnFailed("server_error", ENDED_EARLY, retry=True, detail=failure.detail)
        raise failure from error


async def _beginning(body: AnswerBody) -> bytes:
    """The first bytes that are not blank, with the blanks cut off; nothing if the body is empty."""
    while (piece := await body.piece()) is not None:
        if piece := piece.lstrip(b" \t\r\n\xef\xbb\xbf"):
            return piece
    return b""


async def _whole(body: AnswerBody, first: bytes) -> list[object]:
    """A body that is JSON: one answer or error, or (some gateways) one JSON text per line."""
    parts = [first]
    size = len(first)
    while (piece := await body.piece()) is not None:
        size += len(piece)
        if size > MAX_WHOLE_BYTES:
            raise TurnFailed("server_error", UNREADABLE, detail=f"a body of more than {MAX_WHOLE_BYTES} bytes")
        parts.append(piece)
    text = b"".join(parts)
    try:
        return [orjson.loads(text)]
    except orjson.JSONDecodeError:
        pass
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) == 1 or not lines[0].rstrip().endswith(b"}"):
        return [_decoded(text)]
    return [_decoded(line) for line in lines]


def _decoded(payload: bytes) -> object:
    """A payload's JSON. What is not even meant as JSON (`data: ping`) says nothing: None."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        if not payload.startswith((b"{", b"[")):
            return None
    try:
        # NaN in log probabilities, half of a surrogate pair: Python's own parser takes what orjson refuses.
        return _without_surrogates(json.loads(payload.decode(errors="replace")))
    except (ValueError, RecursionError):
        detail = f"a chunk of {len(payload)} bytes is not JSON"
        raise TurnFailed("server_error", UNREADABLE, retry=True, detail=detail) from None


def _decoded_if_whole(payload: bytes) -> object:
    """The same for a last line without an end, which may be cut: then it says nothing."""
    try:
        return _decoded(payload)
    except TurnFailed:
        return None


def _without_surrogates(value: Any) -> Any:  # Any: JSON as it travels
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


def _not_compatible(body: AnswerBody, first: bytes) -> TurnFailed:
    beginning = first[:100].decode(errors="replace")
    seen = f"status 200, content type {body.content_type!r}"
    return TurnFailed(
        "server_error",
        NOT_COMPATIBLE,
        detail=f"{seen}, begins {beginning!r}",
        unquoted="" if beginning.startswith("<") else f"{NOT_COMPATIBLE} {seen}",  # a plain text may be an answer
    )
