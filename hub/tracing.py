"""Where an event comes from, as W3C trace context, so that one trace leads from an agent's work to a person's page.

An event may carry `trace`, a `traceparent`, beside its type and id: `{"type", "id", "trace", "data"}`. Whoever
publishes puts `current_traceparent()` there; the hub hands it on as it is, and front ends may use or ignore it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from opentelemetry import trace

__all__ = ["TraceParent", "current_traceparent", "parse"]

_format = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z", re.ASCII)


class TraceParent(NamedTuple):
    """A place in a trace. `str` gives what a `traceparent` header carries."""

    trace_id: str
    span_id: str
    sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.sampled:02d}"

    def context(self) -> trace.SpanContext:
        """As OpenTelemetry has it: a parent, or a link, for a span of ours."""
        flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if self.sampled else trace.TraceFlags.DEFAULT)
        return trace.SpanContext(int(self.trace_id, 16), int(self.span_id, 16), is_remote=True, trace_flags=flags)


def parse(header: str | None) -> TraceParent | None:
    """What a `traceparent` says; None when it says nothing that may be used (it is then ignored, as W3C has it)."""
    match = _format.match(header) if header and len(header) <= 128 else None
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceParent(trace_id, span_id, bool(int(flags, 16) & 1))


def current_traceparent() -> str | None:
    """The span this code runs in, as a `traceparent`; None outside of any, and where OpenTelemetry is not set up."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02d}"
