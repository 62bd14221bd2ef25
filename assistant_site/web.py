"""The web process: which server it is, and how that is started."""

import sys

from django.conf import settings

STOP_SECONDS = 5  # that answers under way have to end when the process is stopped


def command() -> list[str]:
    """What starts the web process, as `WEB_SERVER` and `WEB_PROCESSES` want it."""
    application = "assistant_site.asgi:application"
    address = [settings.HOST, str(settings.PORT)]
    if settings.WEB_SERVER == "daphne":
        for_daphne = ["-b", address[0], "-p", address[1], "--application-close-timeout", str(STOP_SECONDS)]
        return [sys.executable, "-m", "daphne", *for_daphne, application]
    options = {
        "host": address[0],
        "port": address[1],
        "workers": str(settings.WEB_PROCESSES),
        "loop": "uvloop",
        "http": "assistant_site.uvicorn_http:BoundedHttp",
        "ws": "websockets-sansio",
        "ws-max-size": str(settings.MAX_BODY_BYTES),
        "lifespan": "off",
        "timeout-keep-alive": "75",  # longer than that of the proxies and clients that keep connections
        "timeout-graceful-shutdown": str(STOP_SECONDS),
        "log-level": "warning",
    }
    flags = ["--no-access-log", "--no-server-header", "--no-date-header", "--no-proxy-headers"]
    written = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [sys.executable, "-m", "uvicorn", *written, *flags, application]
