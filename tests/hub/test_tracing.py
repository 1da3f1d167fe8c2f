"""Trace context: what is read, what is written, and that it costs nothing where it isn't used."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace

from hub.tracing import TraceParent, current_traceparent, parse

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "meant"),
    [
        (f"00-{TRACE}-{SPAN}-01", TraceParent(TRACE, SPAN, True)),
        (f"00-{TRACE}-{SPAN}-00", TraceParent(TRACE, SPAN, False)),
        (f"00-{TRACE}-{SPAN}-03", TraceParent(TRACE, SPAN, True)),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", TraceParent(TRACE, SPAN, True)),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE}-{SPAN}-1", None),
        (f"00-{TRACE}-{SPAN}", None),
        (f"00-{TRACE}-{SPAN}-01\n", None),
        (f"cc-{TRACE}-{SPAN}-01-{'x' * 200}", None),
        ("", None),
        (None, None),
    ],
)
def test_what_a_traceparent_says(header: str | None, meant: TraceParent | None) -> None:
    assert parse(header) == meant


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_what_is_written_can_be_read(trace_id: int, span_id: int, sampled: bool) -> None:
    place = TraceParent(f"{trace_id:032x}", f"{span_id:016x}", sampled)
    assert parse(str(place)) == place
    assert (place.context().trace_id, place.context().span_id) == (trace_id, span_id)


@given(st.text(max_size=80))
def test_no_header_makes_reading_fail(header: str) -> None:
    assert parse(header) is None


def test_where_nothing_is_set_up_there_is_no_trace() -> None:
    assert current_traceparent() is None


def test_the_span_that_code_runs_in_is_its_trace() -> None:
    context = trace.SpanContext(int(TRACE, 16), int(SPAN, 16), False, trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        assert current_traceparent() == f"00-{TRACE}-{SPAN}-01"
    assert current_traceparent() is None
