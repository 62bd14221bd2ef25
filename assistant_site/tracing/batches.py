"""Spans on their way to a collector: in batches, from a thread of their own, and never at anybody's cost.

The SDK's own processor lets the end of a process wait for as long as the collector takes for every batch; here it waits
`LAST_SECONDS` in all. What finds no room, or no collector, is counted, and one line a minute says so.
"""

import logging
import threading
import time
from collections import deque

from django.conf import settings
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace import Span as SDKSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

logger = logging.getLogger(__name__)

MOST_WAITING = 4_096
BATCH = 512
SEND_SECONDS = 5.0
LAST_SECONDS = 2.0  # that the end of a process waits for what is not sent yet
COMPLAIN_SECONDS = 60.0


class Batches(SpanProcessor):
    """Starts its thread at once."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._waiting: deque[ReadableSpan] = deque()
        self._dropped = 0
        self._complain_at = float("-inf")
        self._ending = threading.Event()
        self._full = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def on_start(self, span: SDKSpan, parent_context: Context | None = None) -> None:
        pass

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._dropped += 1
            return
        self._waiting.append(span)
        if len(self._waiting) >= BATCH:
            self._full.set()

    def shutdown(self) -> None:
        """Sends what waits; gives up after `LAST_SECONDS`."""
        self._ending.set()
        self._full.set()
        self._thread.join(LAST_SECONDS)
        self._exporter.shutdown()  # which also ends a try that is under way

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True

    def _run(self) -> None:
        while not self._ending.is_set():
            self._full.wait(SEND_SECONDS)
            self._full.clear()
            self._send_all()
        self._send_all()

    def _send_all(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            try:
                is_sent = self._exporter.export(batch) == SpanExportResult.SUCCESS
            except Exception:
                is_sent = False
            if not is_sent:
                self._dropped += len(batch)
                self._complain()
                return  # the rest waits for the next time

    def _complain(self) -> None:
        if time.monotonic() >= self._complain_at:
            self._complain_at = time.monotonic() + COMPLAIN_SECONDS
            logger.warning(
                "Traces cannot be sent to %s; %d spans are lost so far. Check OTEL_EXPORTER_OTLP_ENDPOINT.",
                settings.OTEL_ENDPOINT,
                self._dropped,
            )
