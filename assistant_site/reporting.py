"""Errors to Sentry, or what speaks its protocol, for operators who set `SENTRY_DSN`.

An error is reported with its type, the place in the code and the ids of request, run and tenant. What callers and
models wrote is not: no bodies, headers, values of variables, breadcrumbs, nor texts of exceptions, which may quote it.
"""

import atexit
from functools import partial
from typing import TYPE_CHECKING, Any

import sentry_sdk
from django.conf import settings
from sentry_sdk.integrations.logging import LoggingIntegration

from assistant_site import logs

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

LAST_SECONDS = 2.0
_KEPT = frozenset(
    {"event_id", "level", "logger", "platform", "timestamp", "release", "environment", "server_name", "tags", "sdk"}
)


def start(role: str) -> None:
    """Reports what this process logs as an error from now on."""
    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        environment=settings.SENTRY_ENVIRONMENT,
        release=f"holdfast@{settings.VERSION}",
        default_integrations=False,
        integrations=[LoggingIntegration(level=None)],  # errors as events; nothing as breadcrumbs
        include_local_variables=False,
        max_breadcrumbs=0,
        # The SDK's own tags belong to the thread that sets them.
        before_send=partial(without_content, role=role),
    )
    atexit.register(stop)


def stop() -> None:
    """Sends what is left, as far as that takes no longer than `LAST_SECONDS`."""
    sentry_sdk.flush(LAST_SECONDS)


def without_content(event: "Event", hint: "Hint", *, role: str) -> "Event":
    """Only what is known to quote nobody."""
    given: dict[str, Any] = dict(event)
    kept: dict[str, Any] = {name: value for name, value in given.items() if name in _KEPT}
    kept["tags"] = {"role": role, **logs.about()}
    entry = given.get("logentry")
    # Libraries may have put anything into theirs; the logger's name says whose it is.
    if entry and str(given.get("logger")).partition(".")[0] in settings.OWN_LOGGERS:
        kept["logentry"] = {"message": entry.get("message", "")}  # the template, without what it is filled with
    if "exception" in given:
        kept["exception"] = {"values": [_plain(value) for value in given["exception"].get("values", [])]}
    return kept  # type: ignore[return-value]


def _plain(exception: dict[str, Any]) -> dict[str, Any]:
    frames = exception.get("stacktrace", {}).get("frames", [])
    names = ("filename", "function", "module", "lineno", "in_app")
    return {
        "type": exception.get("type"),
        "module": exception.get("module"),
        "stacktrace": {"frames": [{name: frame.get(name) for name in names} for frame in frames]},
    }
