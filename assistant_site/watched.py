"""What a long-lived process does to be watched: its metrics, traces and errors, each only where it is wanted.

Called once a process is what it will be: these start threads, which do not live through a fork.
"""

from django.conf import settings

from assistant_site import logs
from assistant_site.metrics import publishing


def begin(role: str) -> None:
    """`role` is `web`, `worker` or `ingestion`."""
    logs.process = role
    publishing.publish(role)
    if settings.OTEL_ENDPOINT:
        from assistant_site.tracing import exporting

        exporting.start(role)
    if settings.SENTRY_DSN:
        from assistant_site import reporting

        reporting.start(role)


def end() -> None:
    """What was counted, timed and met last is sent."""
    publishing.stop()
    if settings.OTEL_ENDPOINT:
        from assistant_site.tracing import exporting

        exporting.stop()
    if settings.SENTRY_DSN:
        from assistant_site import reporting

        reporting.stop()
