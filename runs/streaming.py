"""A run's events as a server-sent event stream."""

import asyncio
import logging
from collections.abc import AsyncIterator

from django.http import StreamingHttpResponse

from assistant_site.wire import sse
from assistant_site.wire.rendering import dumps
from runs.endings import error_data
from runs.following import follow

logger = logging.getLogger(__name__)


def stream_run(run_id: str, *, after: int = 0) -> StreamingHttpResponse:
    """Streams what happens to the run behind the position `after`, until it rests. Holds no thread, no connection."""
    response = StreamingHttpResponse(frames(run_id, after), content_type=sse.CONTENT_TYPE)
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would collect the events otherwise
    return response


async def frames(run_id: str, after: int) -> AsyncIterator[bytes]:
    try:
        async for batch in follow(run_id, after=after):
            yield b"".join([sse.frame(entry.name, entry.data, entry.position) for entry in batch])
    except asyncio.CancelledError:
        raise
    except Exception:  # the status line is out: all that is left is to tell it in the stream
        logger.exception("The event stream of %s broke.", run_id)
        yield sse.frame(b"error", dumps(error_data("The event stream broke. The run goes on.")))
    yield sse.DONE
