"""A run's events as a server-sent event stream."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator

from django.conf import settings
from django.http import StreamingHttpResponse

from assistant_site.wire import sse
from assistant_site.wire.rendering import dumps
from runs.endings import error_data
from runs.events import Told
from runs.following import TO_ITS_REST, Goal, follow

logger = logging.getLogger(__name__)

_PIECE = 64 * 1024  # bytes


class RunStream(StreamingHttpResponse):
    """Streams what happens to the run behind the position `after`, until it rests. Holds no thread, no connection.

    With `keep_alive` silences are filled with comments; some clients of OpenAI's own endpoints take those for errors.
    """

    def __init__(
        self, run_id: str, *, after: int = 0, goal: Goal = TO_ITS_REST, keep_alive: bool | None = None
    ) -> None:
        alive = settings.STREAM_KEEP_ALIVE if keep_alive is None else keep_alive
        super().__init__(frames(run_id, after, goal, alive), content_type=sse.CONTENT_TYPE)
        self.run_id = run_id
        self.after = after
        self.headers["Cache-Control"] = "no-cache"
        self.headers["X-Accel-Buffering"] = "no"  # nginx would collect the events otherwise


async def frames(run_id: str, after: int, goal: Goal, keep_alive: bool) -> AsyncIterator[bytes]:
    try:
        async for batch in follow(run_id, after=after, goal=goal):
            for piece in pieces(batch):
                yield piece
            if keep_alive and not batch:
                yield sse.KEEP_ALIVE
    except asyncio.CancelledError:
        raise
    except Exception:  # the status line is out: all that is left is to tell it in the stream
        logger.exception("The event stream of %s broke.", run_id)
        yield sse.frame(b"error", dumps(error_data("The event stream broke. The run goes on.")))
    yield sse.DONE


def pieces(batch: list[Told]) -> Iterator[bytes]:
    """The frames of a batch, several in a piece, but no more than a slow reader's connection shall hold at a time."""
    piece: list[bytes] = []
    size = 0
    for entry in batch:
        frame = sse.frame(entry.name, entry.data, entry.position)
        piece.append(frame)
        size += len(frame)
        if size > _PIECE:
            yield b"".join(piece)
            piece, size = [], 0
    if piece:
        yield b"".join(piece)
