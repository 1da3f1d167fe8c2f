"""OpenTelemetry spans for deliveries of traced events to clients, linked to the events' traces.

Events carry their trace to the page even without OpenTelemetry: see `broadcasters.tracing`.
"""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry import trace

from broadcasters.event_bytes import sent_at, trace_of
from hub.core.burst import Burst

__all__ = ["Deliveries", "deliveries"]


def deliveries() -> Deliveries | None:
    """Records deliveries if OpenTelemetry is configured; otherwise None, so that bursts are not inspected at all."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None
    return Deliveries(provider.get_tracer("plancast.hub"))


class Deliveries:
    """Records a span for each burst, once for all its subscribers."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def __call__(self, plan_id: str, burst: Burst, subscribers: int) -> None:
        """Record the delivery of a burst. The span starts at the first event's timestamp."""
        links = list(_links(burst.frames))
        if not links:
            return
        sent = sent_at(burst.frames[0])
        span = self._tracer.start_span(
            "plancast deliver",
            kind=trace.SpanKind.CONSUMER,
            links=links,
            start_time=None if sent is None else int(sent * 1e9),
            attributes={
                "plancast.plan_id": plan_id,
                "plancast.first": burst.first,
                "plancast.offset": burst.last,
                "plancast.subscribers": subscribers,
            },
        )
        span.end()


def _links(frames: Iterable[bytes]) -> Iterable[trace.Link]:
    """One link for each span in which events were published."""
    for traceparent in dict.fromkeys(map(trace_of, frames)):
        if traceparent is not None:
            _, trace_id, span_id, flags = (int(part, 16) for part in traceparent.split("-"))
            yield trace.Link(trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(flags)))
