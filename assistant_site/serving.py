"""The web server of this process, with all its options: `manage.py serve` runs it, and so do `up` and containers.

daphne is what is developed with. With uvicorn, whose parser and event loop are in C, a request takes a fifth less CPU
(get run: 1.1 instead of 1.35 ms); it can be several processes that share the port (`WEB_SERVER`, `WEB_PROCESSES`).

Told to stop, either takes no new connection and lets answers under way go on for `WEB_DRAIN_SECONDS`. WebSockets are
closed without waiting: their clients know how to come back.
"""

from django.conf import settings

APPLICATION = "assistant_site.asgi:application"
_CLOSE_SECONDS = 5  # for the handler of a request whose client has left
_BACKLOG = 2048  # connections that wait to be taken; who comes when there are so many tries again after a second
_IDLE_SECONDS = 75  # after which a connection without a request is closed; longer than clients keep theirs


def serve() -> None:
    """Serves HTTP and WebSockets at HOST and PORT until it is told to stop."""
    if settings.WEB_SERVER == "uvicorn":
        with_uvicorn()
    else:
        with_daphne()


def with_daphne() -> None:
    from daphne.cli import CommandLineInterface
    from daphne.endpoints import build_endpoint_description_strings

    from assistant_site.daphne_draining import DrainingServer

    [where] = build_endpoint_description_strings(settings.HOST, settings.PORT)
    options = ["-e", f"{where}:backlog={_BACKLOG}", "--application-close-timeout", str(_CLOSE_SECONDS)]
    command = CommandLineInterface()
    command.server_class = DrainingServer
    command.run([*options, "-v", "0", APPLICATION])  # 0: no line for each request


def with_uvicorn() -> None:
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from assistant_site.uvicorn_bounds import BoundedProtocol, listening_at
    from assistant_site.uvicorn_processes import Config

    config = Config(
        APPLICATION,
        loop="uvloop",
        http=BoundedProtocol,
        ws="websockets-sansio",
        ws_max_size=settings.MAX_BODY_BYTES,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # what a proxy says is our own business: TRUST_PROXY_HEADERS
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=settings.WEB_DRAIN_SECONDS,
        reset_contextvars=True,  # whose rows may be seen belongs to the context: none may outlive its request
        workers=settings.WEB_PROCESSES,
    )
    sockets = [listening_at(settings.HOST, settings.PORT, _BACKLOG)]
    if settings.WEB_PROCESSES == 1:
        uvicorn.Server(config).run(sockets)
    else:
        Multiprocess(config, sockets).run()
