"""Which trace an event belongs to (W3C trace context), so that one trace leads from an agent's work to a person's page.

Whoever says something inside a span of OpenTelemetry need do nothing: the event carries the span's `traceparent`. A
program that never imports OpenTelemetry pays nothing for it, and needs none of it installed. Another tracer's context,
or one that came with a request, is given with `within`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

__all__ = ["checked", "current_traceparent", "within"]

_traceparent: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z", re.ASCII)
_given: Final[ContextVar[str | None]] = ContextVar("plancast_traceparent", default=None)


def current_traceparent() -> str | None:
    """The trace that what is said here belongs to; None when there is none, or nobody traces."""
    if (given := _given.get()) is not None:
        return given
    opentelemetry = sys.modules.get("opentelemetry.trace")
    return None if opentelemetry is None else _of_span(opentelemetry)


@contextmanager
def within(traceparent: str | None) -> Generator[None]:
    """What is said inside belongs to this trace. None, and what is no `traceparent`, changes nothing."""
    good = checked(traceparent)
    token = _given.set(good if good is not None else _given.get())
    try:
        yield
    finally:
        _given.reset(token)


def checked(traceparent: str | None) -> str | None:
    """The `traceparent` as version 00 has it; None when it says nothing that may be used (W3C: it is then ignored)."""
    match = _traceparent.match(traceparent) if traceparent and len(traceparent) <= 128 else None
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return f"00-{trace_id}-{span_id}-{int(flags, 16) & 1:02d}"


def _of_span(opentelemetry: Any) -> str | None:
    if not hasattr(opentelemetry, "get_current_span"):  # it is only just being imported
        return None
    context = opentelemetry.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02d}"
