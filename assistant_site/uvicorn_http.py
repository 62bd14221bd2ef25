"""What uvicorn is to refuse by itself; what it holds of bodies and of unread answers, it bounds as it is."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEADER_BYTES = 64 * 1024


class BoundedHttp(HttpToolsProtocol):
    """Its parser takes headers without an end; here a request has as many bytes of them as other servers take."""

    _in_head = False
    _head_bytes = 0

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEADER_BYTES:
                self.send_400_response("The headers of this request are too long.")
