"""A span for each hand-over of traced events to clients, linked to their traces. Only where OpenTelemetry is set up.

The events themselves carry their trace to the page either way: see `broadcasters.tracing`.
"""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry import trace

from broadcasters.event_bytes import sent_at, trace_of
from hub.core.burst import Burst

__all__ = ["Deliveries", "deliveries"]


def deliveries() -> Deliveries | None:
    """None where nobody set OpenTelemetry up: then not even one look at a burst is worth it."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None
    return Deliveries(provider.get_tracer("plancast.hub"))


class Deliveries:
    """Told of each burst, once for all who got it."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def __call__(self, plan_id: str, burst: Burst, subscribers: int) -> None:
        """These events were handed to so many subscribers just now. The span begins when the first of them was said."""
        links = list(_links(burst.frames))
        if not links:
            return
        said = sent_at(burst.frames[0])
        span = self._tracer.start_span(
            "plancast deliver",
            kind=trace.SpanKind.CONSUMER,
            links=links,
            start_time=None if said is None else int(said * 1e9),
            attributes={
                "plancast.plan_id": plan_id,
                "plancast.first": burst.first,
                "plancast.offset": burst.last,
                "plancast.subscribers": subscribers,
            },
        )
        span.end()


def _links(frames: Iterable[bytes]) -> Iterable[trace.Link]:
    """One for each span that something was said in."""
    for traceparent in dict.fromkeys(map(trace_of, frames)):
        if traceparent is not None:
            _, trace_id, span_id, flags = (int(part, 16) for part in traceparent.split("-"))
            yield trace.Link(trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(flags)))
