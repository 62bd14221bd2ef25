"""Answers that cannot be given at once: the server's handler waits for them in its event loop and holds no thread."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from django.http import HttpResponse
from django.http.response import HttpResponseBase


class LateResponse(HttpResponse):
    """An answer that has to be waited for, such as an upstream's: `make` runs in the event loop."""

    def __init__(self, make: Callable[[], Awaitable[HttpResponseBase]]) -> None:
        super().__init__()
        self.make = make
        self.asked = ("none", 0.0)  # the route, and when it was asked; for who tells of the answer


ASKED_AGAIN = "holdfast.asked_again"  # in the scope of a request that was made before, and has waited


class Patience(Protocol):
    """What a request waits for."""

    async def wait(self) -> None:
        """Returns when it is worth asking again."""
        ...

    async def leave(self) -> None:
        """The request was answered, or its caller has gone."""
        ...


class AskAgain(HttpResponse):
    """No answer yet: the same request is made once more when `patience` has waited."""

    def __init__(self, patience: Patience) -> None:
        super().__init__()
        self.patience = patience
        self.body = b""  # of the request; the handler keeps it
