"""What uvicorn holds in memory for a caller: what `bounds` is for daphne.

*In.* uvicorn reads no further than 64 KiB ahead of the handler, which keeps bodies within their limits. It would read a
header without end, so its protocol is given one here. *Out.* `send` waits for the reader by itself; a reader that takes
nothing at all for a minute is cut off by the system (TCP_USER_TIMEOUT).
"""

import socket
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_UNFINISHED = 64 * 1024  # bytes of a request's head, or of anything else around its body
STALLED_SECONDS = 60


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a request whose head does not come to an end."""

    unfinished = 0

    def data_received(self, data: bytes) -> None:
        self.unfinished += len(data)
        super().data_received(data)
        if self.unfinished > MOST_UNFINISHED and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_headers_complete(self) -> None:
        self.unfinished = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.unfinished = 0
        super().on_message_complete()


def listening_at(host: str, port: int, backlog: int) -> socket.socket:
    """A socket there, whose connections end when their reader takes nothing for too long. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=backlog)
    milliseconds: Any = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux; connections have it from their listener
    if milliseconds is not None:
        listener.setsockopt(socket.IPPROTO_TCP, milliseconds, STALLED_SECONDS * 1000)
    return listener
