"""What daphne holds in memory for a caller: bodies on their way in, unread answers on their way out.

*In.* Twisted collects a whole body first, and takes multipart forms apart in the event loop, in memory: 300 MB from a
caller without a token stopped every other request for many seconds; daphne then puts what there is into a queue, in
memory once more. Here forms are left to Django; a large body waits in a file, which the handler gets as it is; and of a
body that is larger than `bodies` allows nothing is kept at all. A socket's messages are bounded alike.

*Out.* Twisted buffers without limit what a slow reader has not taken. Here a `send` returns only when not too much is
left unsent, so that whoever produces waits; a reader that takes nothing at all for a minute is cut off.
"""

import asyncio
import io
import time
from functools import partial
from typing import IO, Any
from urllib.parse import unquote

from daphne import http_protocol, server, ws_protocol
from django.conf import settings

from assistant_site import bodies
from assistant_site.db.threads import of_this_loop
from assistant_site.wire.errors import WireError
from assistant_site.wire.headers import caller_address

_IN_MEMORY = 100_000  # a body that says it is smaller needs no file


class BoundedRequest(http_protocol.WebRequest):  # type: ignore[misc]
    """Keeps the body to itself; `server.create_application` hands it on in the scope's `extensions`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.body: IO[bytes] = io.BytesIO()
        self.content: IO[bytes] = io.BytesIO()
        self.taken_in = 0
        self.most = settings.MAX_BODY_BYTES
        self.refused: WireError | None = None
        self.is_over = False
        super().__init__(*args, **{**options, "parsePOSTFormSubmission": False})

    def gotLength(self, length: int | None) -> None:  # noqa: N802 Twisted's name
        self.content = io.BytesIO()
        if length is None or length >= _IN_MEMORY:
            try:
                self.content = bodies.waiting_file()
            except OSError as error:
                self.refused = bodies.cannot_wait(error)

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 Twisted's name
        before, self.taken_in = self.taken_in, self.taken_in + len(data)
        if before <= self.most < self.taken_in:
            self.pass_limit()
        if self.refused is None:
            try:
                self.content.write(data)
            except OSError as error:
                self.refused = bodies.cannot_wait(error)

    def pass_limit(self) -> None:
        """The body is larger than what everybody may send, or than what anybody may."""
        allowed = bodies.most_of(self.channel._command.decode("ascii", "replace"), self.asked_path())
        if self.most == allowed:
            self.refuse(bodies.too_large(allowed))
            return
        self.most = allowed
        # No more is read until it is known who sends it. What has been read already may be the end of the body; then
        # the view judges the token, as ever.
        connection = self.channel._networkProducer
        connection.pauseProducing()
        authorization, forwarded = (
            (self.requestHeaders.getRawHeaders(name) or [b""])[-1].decode("latin-1")
            for name in (b"authorization", b"x-forwarded-for")
        )
        address = caller_address(forwarded, str(getattr(self.channel.getPeer(), "host", "")))
        asking = asyncio.ensure_future(of_this_loop().run(bodies.refusal, authorization, address))
        asking.add_done_callback(partial(self.sender_known, connection))

    def sender_known(self, connection: Any, asking: "asyncio.Future[WireError | None]") -> None:
        refusal = asking.result()
        if refusal and not self.is_over:
            self.refuse(refusal)
        connection.resumeProducing()

    def refuse(self, refusal: WireError) -> None:
        """What came is given up, what comes is not kept."""
        self.refused = refusal
        self.content.seek(0)
        self.content.truncate()

    def asked_path(self) -> str:
        return unquote(self.channel._path.partition(b"?")[0].decode("ascii", "replace"))

    def process(self) -> Any:
        # An empty body for daphne's queue. Twisted also closes its own when the connection breaks: ours may be in use.
        self.body, self.content = self.content, io.BytesIO()
        self.is_over = True
        return super().process()

    def connectionLost(self, reason: Any) -> None:  # noqa: N802 Twisted's name
        self.is_over = True
        super().connectionLost(reason)

    def handle_exception(self, exception: BaseException) -> None:
        """An answer that has begun can become no error page: whoever reads it must see that it was cut."""
        if self._response_started:
            transport_of(self).abortConnection()
        else:
            super().handle_exception(exception)


_create_application = server.Server.create_application


def create_application_with_body(self: Any, protocol: Any, scope: dict[str, Any]) -> Any:
    """In the place of daphne's own: hands the body over beside the queue."""
    if isinstance(protocol, BoundedRequest):
        scope["extensions"] = {bodies.EXTENSION: bodies.Body(protocol.body, protocol.refused)}
    return _create_application(self, protocol, scope)


CLOSING_SECONDS = 30  # for a client that still sends when it is refused


class BoundedFactory(ws_protocol.WebSocketFactory):  # type: ignore[misc]
    """Messages up to MAX_BODY_MB, where daphne's limit of 1 MB would also break what goes out; refusals with a code.

    Who sends a larger one is told while it is on its way, and reads that when all of it was sent. What comes until
    then is thrown away; a connection that is closed before, with bytes unread, would take the code with it.
    """

    def setProtocolOptions(self, **options: Any) -> None:  # noqa: N802 autobahn's name
        limits = {"maxMessagePayloadSize": settings.MAX_BODY_BYTES, "maxFramePayloadSize": settings.MAX_BODY_BYTES}
        super().setProtocolOptions(**(options | limits), failByDrop=False, closeHandshakeTimeout=CLOSING_SECONDS)


MOST_UNSENT = 256 * 1024
STALLED_SECONDS = 60.0
_FIRST_LOOK_SECONDS, _LOOK_SECONDS = 0.001, 0.02  # a quick reader of a large file is soon given more


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
    left, moved_at, pause = unsent(protocol), time.monotonic(), _FIRST_LOOK_SECONDS
    while left > MOST_UNSENT and protocol in self.connections:
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LOOK_SECONDS)
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
    server.Server.create_application = create_application_with_body
    server.Server.handle_reply = handle_reply_patiently
