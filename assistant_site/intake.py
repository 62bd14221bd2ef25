"""What daphne takes in before any of our code sees a request.

Twisted collects a whole body first, and takes multipart forms apart in the event loop, in memory: 300 MB from a caller
without a token stopped every other request for many seconds. Here forms are left to Django, and of a body that is
larger than MAX_BODY_MB only so much is kept that the handler can refuse it.
"""

from typing import Any

from daphne import http_protocol
from django.conf import settings


class BoundedRequest(http_protocol.WebRequest):  # type: ignore[misc]
    def __init__(self, *args: Any, **options: Any) -> None:
        self.taken_in = 0
        super().__init__(*args, **{**options, "parsePOSTFormSubmission": False})

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 Twisted's name
        if self.taken_in <= settings.MAX_BODY_BYTES:
            super().handleContentChunk(data)
        self.taken_in += len(data)


def bound() -> None:
    """Makes daphne use it, which looks the class up for each connection; any other server is not touched."""
    http_protocol.WebRequest = BoundedRequest
