"""The W3C trace context of events, so that one trace leads from an agent's work to a person's page.

An event sent inside a span of OpenTelemetry carries the span's `traceparent`. OpenTelemetry need not be installed, and
is never imported here. `within` sets the context of another tracer, or that of a request.
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
    """The `traceparent` for events sent here; None without a trace."""
    if (given := _given.get()) is not None:
        return given
    opentelemetry = sys.modules.get("opentelemetry.trace")
    return None if opentelemetry is None else _of_span(opentelemetry)


@contextmanager
def within(traceparent: str | None) -> Generator[None]:
    """Give the events sent inside this `traceparent`. None and malformed values are ignored."""
    good = checked(traceparent)
    token = _given.set(good if good is not None else _given.get())
    try:
        yield
    finally:
        _given.reset(token)


def checked(traceparent: str | None) -> str | None:
    """The `traceparent` in the form of version 00; None if it is malformed, and must be ignored according to W3C."""
    match = _traceparent.match(traceparent) if traceparent and len(traceparent) <= 128 else None
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return f"00-{trace_id}-{span_id}-{int(flags, 16) & 1:02d}"


def _of_span(opentelemetry: Any) -> str | None:
    if not hasattr(opentelemetry, "get_current_span"):  # it is still being imported
        return None
    context = opentelemetry.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02d}"
