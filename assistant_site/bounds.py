"""What daphne holds in memory for a caller: bodies on their way in, unread answers on their way out.

*In.* Twisted collects a whole body first, and takes multipart forms apart in the event loop, in memory: 300 MB from a
caller without a token stopped every other request for many seconds. Here forms are left to Django, and of a body that
is larger than MAX_BODY_MB only so much is kept that the handler can refuse it. A socket's messages are bounded alike.

*Out.* Twisted buffers without limit what a slow reader has not taken. Here a `send` returns only when not too much is
left unsent, so that whoever produces waits; a reader that takes nothing at all for a minute is cut off.
"""

import asyncio
import time
from typing import Any

from daphne import http_protocol, server, ws_protocol
from django.conf import settings


class BoundedRequest(http_protocol.WebRequest):  # type: ignore[misc]
    def __init__(self, *args: Any, **options: Any) -> None:
        self.taken_in = 0
        super().__init__(*args, **{**options, "parsePOSTFormSubmission": False})

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 Twisted's name
        if self.taken_in <= settings.MAX_BODY_BYTES:
            super().handleContentChunk(data)
        self.taken_in += len(data)


class BoundedFactory(ws_protocol.WebSocketFactory):  # type: ignore[misc]
    """Messages up to MAX_BODY_MB, where daphne's limit of 1 MB would also break what goes out; refusals with a code."""

    def setProtocolOptions(self, **options: Any) -> None:  # noqa: N802 autobahn's name
        limits = {"maxMessagePayloadSize": settings.MAX_BODY_BYTES, "maxFramePayloadSize": settings.MAX_BODY_BYTES}
        super().setProtocolOptions(**(options | limits), failByDrop=False)


MOST_UNSENT = 256 * 1024
STALLED_SECONDS = 60.0
_LOOK_SECONDS = 0.02


def unsent(protocol: Any) -> int:
    """Bytes that this connection has been given and its reader has not taken."""
    transport = transport_of(protocol)
    buffered = len(getattr(transport, "dataBuffer", b"")) - getattr(transport, "offset", 0)
    return int(buffered + getattr(transport, "_tempDataLen", 0))


def transport_of(protocol: Any) -> Any:
    return getattr(protocol, "transport", None) or getattr(getattr(protocol, "channel", None), "transport", None)


_handle_reply = server.Server.handle_reply


async def handle_reply_patiently(self: Any, protocol: Any, message: Any) -> None:
    """In the place of daphne's own, which returns at once."""
    await _handle_reply(self, protocol, message)
    left, moved_at = unsent(protocol), time.monotonic()
    while left > MOST_UNSENT and protocol in self.connections:
        await asyncio.sleep(_LOOK_SECONDS)
        before, left = left, unsent(protocol)
        if left < before:
            moved_at = time.monotonic()
        elif time.monotonic() - moved_at > STALLED_SECONDS:
            transport_of(protocol).abortConnection()
            return


def bound() -> None:
    """Makes daphne use these; any other server is not touched."""
    http_protocol.WebRequest = BoundedRequest  # looked up for each connection
    server.WebSocketFactory = BoundedFactory
    server.Server.handle_reply = handle_reply_patiently
