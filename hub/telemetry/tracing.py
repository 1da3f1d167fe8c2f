"""A span for each hand-over of traced events to clients, linked to their traces. Only where OpenTelemetry is set up.

The events themselves carry their trace to the page either way: see `broadcasters.tracing`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from opentelemetry import trace

from hub.core.burst import Burst
from hub.core.counts import said_at

__all__ = ["Deliveries", "deliveries"]

_trace: Final = re.compile(rb'"trace":"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})","data":')
HEAD: Final = 1024
"""A frame's trace stands before its data, within so many bytes."""


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
        said = said_at(burst.frames[0])
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
    seen: set[bytes] = set()
    for frame in frames:
        found = _trace.search(frame, 0, HEAD)
        if found is not None and found[0] not in seen:
            seen.add(found[0])
            flags = trace.TraceFlags(int(found[3], 16))
            yield trace.Link(trace.SpanContext(int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=flags))
