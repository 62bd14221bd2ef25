"""Sending spans to a collector, by OTLP over HTTP. Loaded only where an address is set.

Nothing waits for the collector: spans wait in a bounded queue of a thread, and what finds no room or no collector is
dropped. Of failures one line a minute is logged.
"""

import atexit
import logging
import os
import socket
import time
from collections.abc import Sequence
from typing import Final

from django.conf import settings
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from assistant_site.tracing import spans

logger = logging.getLogger(__name__)

SEND_SECONDS: Final = 5
TRY_SECONDS: Final = 5  # that one attempt to send may take
LAST_SECONDS: Final = 2  # that the end of a process waits for what is not sent yet
COMPLAIN_SECONDS: Final = 60.0

_provider: TracerProvider | None = None


class Exporter(SpanExporter):
    """The one for OTLP, whose failures are told in our words and not too often."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._complained_at = float("-inf")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._inner.export(spans)
        except Exception:
            result = SpanExportResult.FAILURE
        if result != SpanExportResult.SUCCESS and time.monotonic() - self._complained_at > COMPLAIN_SECONDS:
            self._complained_at = time.monotonic()
            logger.warning(
                "Traces cannot be sent to %s; they are dropped until it answers. Check OTEL_EXPORTER_OTLP_ENDPOINT.",
                settings.OTEL_ENDPOINT,
            )
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


def start(role: str) -> None:
    """Spans of this process are sent from now on. Starts a thread: only for a process that has been forked."""
    global _provider
    if _provider is not None:
        return
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it would repeat every failure with its stack
    attributes = {
        "service.name": settings.OTEL_SERVICE_NAME,
        "service.version": settings.VERSION,
        "service.instance.id": f"{role}:{socket.gethostname()}:{os.getpid()}",
        "holdfast.role": role,
        **dict(part.split("=", 1) for part in settings.OTEL_RESOURCE_ATTRIBUTES if "=" in part),
    }
    _provider = TracerProvider(_sampler(), Resource(attributes, spans.SCHEMA_URL), shutdown_on_exit=False)
    headers = dict(part.split("=", 1) for part in settings.OTEL_HEADERS if "=" in part)
    inner = OTLPSpanExporter(settings.OTEL_ENDPOINT, headers=headers, timeout=TRY_SECONDS)
    _provider.add_span_processor(
        BatchSpanProcessor(Exporter(inner), max_queue_size=4096, schedule_delay_millis=SEND_SECONDS * 1000)
    )
    spans.send_to(_provider.get_tracer("holdfast", settings.VERSION, spans.SCHEMA_URL))
    atexit.register(stop)


def stop() -> None:
    """Sends what is left, as far as that takes no longer than `LAST_SECONDS`."""
    global _provider
    provider, _provider = _provider, None
    if provider is not None:
        spans.send_to(None)
        provider.force_flush(LAST_SECONDS * 1000)


def _sampler() -> sampling.Sampler:
    share = settings.TRACES_PERCENT / 100
    return sampling.ParentBased(sampling.TraceIdRatioBased(share)) if share < 1 else sampling.DEFAULT_ON
