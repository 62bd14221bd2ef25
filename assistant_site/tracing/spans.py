"""Spans, as the code that they time writes them. Where nothing is exported they are nothing, and cost as much.

Names and attributes are OpenTelemetry's semantic conventions, `SCHEMA_URL`. Never in them: prompts, answers, arguments,
outputs, names of files or of people. A run's row has its trace (`traceparent`), so whoever takes it up goes on with it.
"""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self

if TYPE_CHECKING:
    from opentelemetry import trace

Value = str | int | float | bool | list[str]
Kind = Literal["internal", "server", "client"]

# https://github.com/open-telemetry/semantic-conventions, with its conventions for generative AI.
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"

_tracer: "trace.Tracer | None" = None


def send_to(tracer: "trace.Tracer | None") -> None:
    """From now on spans go to this tracer; None: nowhere."""
    global _tracer
    _tracer = tracer


class Span:
    """A span while its `with` block lasts; that one of spans begun inside, unless it is made with `is_parent=False`.

    This class is the span that is not recorded.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    def inside(self) -> "Span":
        """For a `with` statement that begins others below it, and does not end it."""
        return self

    def set(self, **attributes: Value | None) -> None:
        """Attributes by their names, with `__` for each dot; None: not known, so not set."""

    def rename(self, name: str) -> None:
        """Another name; for what is known only at the end."""

    def event(self, name: str) -> None:
        """Something happens now."""

    def link(self, header: str) -> None:
        """It has to do with the span of which this value of `traceparent` tells."""

    def fail(self, kind: str) -> None:
        """It failed, in this way (`error.type`)."""

    def end(self) -> None:
        """Ends it, once."""


NOTHING: Final = Span()


class Recorded(Span):
    """A span that is exported."""

    def __init__(self, span: "trace.Span", *, is_parent: bool) -> None:
        self._span = span
        self._is_parent = is_parent
        self._has_ended = False

    def __enter__(self) -> Self:
        if self._is_parent:
            from opentelemetry import context, trace

            self._token = context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if self._is_parent:
            from opentelemetry import context

            context.detach(self._token)
        if kind is not None and issubclass(kind, Exception):  # who is cancelled has not failed
            self.fail(kind.__qualname__)
        self.end()

    def inside(self) -> Span:
        return Inside(self._span, is_parent=True)

    def set(self, **attributes: Value | None) -> None:
        self._span.set_attributes(_named(attributes))

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def event(self, name: str) -> None:
        self._span.add_event(name)

    def link(self, header: str) -> None:
        if (found := _context_of(header)) is not None:
            self._span.add_link(found)

    def fail(self, kind: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        self._span.set_status(Status(StatusCode.ERROR))
        self._span.set_attribute("error.type", kind)

    def end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._span.end()


class Inside(Recorded):
    """The same, which others end."""

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        from opentelemetry import context

        context.detach(self._token)


def are_recorded() -> bool:
    """Whether this process traces."""
    return _tracer is not None


def present() -> Span:
    """The span that the present work belongs to."""
    if _tracer is None:
        return NOTHING
    from opentelemetry import trace

    return Recorded(trace.get_current_span(), is_parent=False)


def span(
    name: str,
    *,
    kind: Kind = "internal",
    parent: str | None = None,
    link: str | None = None,
    is_parent: bool = True,
    began_at: float | None = None,
    **attributes: Value | None,
) -> Span:
    """A span that begins now, or at `began_at` (seconds since 1970), below the present one or `parent`.

    `parent` and `link` are values of the header `traceparent`; `link` is a trace that has to do with it.
    """
    if _tracer is None:
        return NOTHING
    from opentelemetry import trace

    links = [trace.Link(found)] if link and (found := _context_of(link)) is not None else None
    context = None
    if parent is not None:
        found = _context_of(parent)
        context = trace.set_span_in_context(trace.NonRecordingSpan(found or trace.INVALID_SPAN_CONTEXT))
    made = _tracer.start_span(
        name,
        context=context,
        kind=trace.SpanKind[kind.upper()],
        links=links,
        start_time=None if began_at is None else int(began_at * 1e9),
        attributes=_named(attributes),
    )
    return Recorded(made, is_parent=is_parent)


def past(name: str, began_at: float, *, parent: str) -> None:
    """A span that began at this time (seconds since 1970) and ends now; without a parent it would say nothing."""
    if _tracer is not None and parent and began_at < time.time():
        span(name, parent=parent, is_parent=False, began_at=began_at).end()


def traceparent() -> str:
    """The present span as the header `traceparent` has it; empty where none is recorded."""
    if _tracer is None:
        return ""
    from opentelemetry import trace

    found = trace.get_current_span().get_span_context()
    if not found.is_valid:
        return ""
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{int(found.trace_flags):02x}"


def ids() -> tuple[str, str] | None:
    """Trace and span that the present work belongs to, in hex; None where none is recorded."""
    header = traceparent()
    return (header[3:35], header[36:52]) if header else None


def _named(attributes: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name.replace("__", "."): value for name, value in attributes.items() if value is not None}


def _context_of(header: str) -> "trace.SpanContext | None":
    """Of a value of `traceparent`; None for one that is none."""
    from opentelemetry.trace import get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({"traceparent": header})
    found = get_current_span(context).get_span_context()
    return found if found.is_valid else None
