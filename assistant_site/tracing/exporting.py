"""Sending spans to a collector, by OTLP over HTTP. Loaded only where an address is set.

Nothing waits for the collector: spans wait in a bounded queue of a thread, and what finds no room or no collector is
dropped. Of failures one line a minute is logged.
"""

import atexit
import logging
import os
import socket
from typing import Final
from urllib.parse import unquote

from django.conf import settings
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider, sampling

from assistant_site.tracing import spans
from assistant_site.tracing.batches import Batches

TRY_SECONDS: Final = 5  # that one attempt to send may take
LONGEST_VALUE: Final = 256  # characters: names of models and tools are their owners' to choose

_provider: TracerProvider | None = None


def start(role: str) -> None:
    """Spans of this process are sent from now on. Starts a thread: only for a process that has been forked."""
    global _provider
    if _provider is not None:
        return
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it would repeat every failure with its stack
    attributes = {
        "service.name": "holdfast",
        "service.version": settings.VERSION,
        "service.instance.id": f"{role}:{socket.gethostname()}:{os.getpid()}",
        "holdfast.role": role,
        **pairs(settings.OTEL_RESOURCE_ATTRIBUTES),
    }
    if settings.OTEL_SERVICE_NAME:  # which wins over the attributes, says OpenTelemetry
        attributes["service.name"] = settings.OTEL_SERVICE_NAME
    _provider = TracerProvider(
        sampler_of(settings.OTEL_TRACES_SAMPLER, settings.OTEL_TRACES_SAMPLER_ARG),
        Resource.create(attributes, spans.SCHEMA_URL),
        shutdown_on_exit=False,
        span_limits=SpanLimits(max_attribute_length=LONGEST_VALUE),
    )
    headers = pairs(settings.OTEL_HEADERS)
    _provider.add_span_processor(
        Batches(OTLPSpanExporter(settings.OTEL_ENDPOINT, headers=headers, timeout=TRY_SECONDS))
    )
    spans.send_to(_provider.get_tracer("holdfast", settings.VERSION, spans.SCHEMA_URL))
    atexit.register(stop)


def stop() -> None:
    """Sends what is left, as far as that takes no longer than `batches.LAST_SECONDS`."""
    global _provider
    provider, _provider = _provider, None
    if provider is not None:
        spans.send_to(None)
        provider.shutdown()


def sampler_of(name: str, argument: str) -> sampling.Sampler:
    """By its name in OpenTelemetry's specification. A ratio that is no number from 0 to 1 is 1, says that, too."""
    try:
        ratio = float(argument or 1)
    except ValueError:
        ratio = 1.0
    of_roots = {
        "always_on": sampling.ALWAYS_ON,
        "always_off": sampling.ALWAYS_OFF,
        "traceidratio": sampling.TraceIdRatioBased(ratio if 0 <= ratio <= 1 else 1.0),
    }
    of_root = of_roots[name.removeprefix("parentbased_")]
    return sampling.ParentBased(of_root) if name.startswith("parentbased_") else of_root


def pairs(parts: list[str]) -> dict[str, str]:
    """What `name=value` says in each part; values are percent-encoded, as in OpenTelemetry's own variables."""
    split = (part.partition("=") for part in parts)
    return {name.strip(): unquote(value.strip()) for name, is_pair, value in split if is_pair}
