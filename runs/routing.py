"""The addresses of the WebSockets."""

from typing import Any

from channels.routing import URLRouter
from django.urls import path, re_path

from runs.consumers import Call, RunSocket


def websockets(call: Call) -> Any:
    """The application of all sockets; what their messages ask for goes through `call`."""
    socket = RunSocket.over(call)
    addresses = ("threads/<str:thread_id>/ws", "threads/<str:thread_id>/runs/<str:run_id>/ws")
    elsewhere: Any = nowhere
    return URLRouter(
        [
            *[path(prefix + address, socket) for prefix in ("v1/", "api/v1/") for address in addresses],
            re_path("", elsewhere),
        ]
    )


async def nowhere(scope: Any, receive: Any, send: Any) -> None:
    """Refuses a socket at any other address."""
    await receive()
    await send({"type": "websocket.close"})
