"""The trace of an event: found, set, carried; and none without tracing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace

from broadcasters import blocking
from broadcasters.broadcaster import Broadcaster
from broadcasters.events import PlanUpdate, parse
from broadcasters.log import log_of
from broadcasters.tracing import checked, current_traceparent, within

TRACE, SPAN, OTHER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "a" * 16
HERE, THERE = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{OTHER}-01"
SPANS = trace.NonRecordingSpan(trace.SpanContext(int(TRACE, 16), int(SPAN, 16), False, trace.TraceFlags(1)))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (HERE, HERE),
        (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00"),
        (f"00-{TRACE}-{SPAN}-03", HERE),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", HERE),
        (f"{HERE}-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE}-{SPAN}-1", None),
        (f"00-{TRACE}-{SPAN}", None),
        (f"{HERE}\n", None),
        (f'{HERE}","data":{{}}', None),
        (f"cc-{TRACE}-{SPAN}-01-{'x' * 200}", None),
        ("", None),
        (None, None),
    ],
)
def test_forms_of_a_traceparent(said: str | None, meant: str | None) -> None:
    assert checked(said) == meant


@given(st.text(max_size=80))
def test_nothing_else_is_one(said: str) -> None:
    assert checked(said) is None


def test_outside_of_any_span_there_is_none() -> None:
    assert current_traceparent() is None


def test_a_span_is_found_and_what_is_given_counts_more() -> None:
    with trace.use_span(SPANS):
        assert current_traceparent() == HERE
        with within(THERE):
            assert current_traceparent() == THERE
            for nothing in (None, "nonsense"):
                with within(nothing):
                    assert current_traceparent() == THERE
        assert current_traceparent() == HERE
    assert current_traceparent() is None


def test_opentelemetry_is_not_imported() -> None:
    program = """
import sys
import broadcasters.broadcaster
from broadcasters.tracing import current_traceparent, within
assert current_traceparent() is None
assert not [name for name in sys.modules if "telemetry" in name]
sys.modules["opentelemetry.trace"] = type(sys)("opentelemetry.trace")  # its import has only just begun
assert current_traceparent() is None
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_payload_carries_it_between_id_and_data() -> None:
    event = PlanUpdate(plan_id="p", title="T")
    plain, traced = event.payload("e-1"), event.payload("e-1", HERE)
    assert traced == plain.replace(b'"id":"e-1",', b'"id":"e-1","trace":"%b",' % HERE.encode())
    assert list(json.loads(traced)) == ["type", "id", "trace", "data"]
    assert parse(traced) == event


async def test_every_event_sent_within_a_span_carries_it(tmp_path: Path) -> None:
    async with Broadcaster(f"sqlite:///{tmp_path}/plans.db") as broadcaster:
        await broadcaster.send_plan_update("p", title="before")
        with trace.use_span(SPANS):
            await broadcaster.send_agent_message("p", "Ana", "in a span")
            await asyncio.gather(*(broadcaster.send_plan_update("p", content="in a task of it") for _ in range(2)))
            async with broadcaster.message("p", "Ana") as message:
                await message.write("streamed ")
        with within(THERE):
            await broadcaster.send_all("p", [PlanUpdate(plan_id="p", content="given")])
        await broadcaster.send_plan_update("p", content="after")
        assert await said(f"sqlite:///{tmp_path}/plans.db") == [
            ("before", None),
            ("in a span", HERE),
            ("in a task of it", HERE),
            ("in a task of it", HERE),
            ("streamed ", HERE),
            ("given", THERE),
            ("after", None),
        ]


async def test_from_a_thread_it_is_that_of_the_caller(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/plans.db"

    def speak() -> None:
        with blocking.Broadcaster(url) as broadcaster:
            broadcaster.send_plan_update("p", content="before")
            with trace.use_span(SPANS):
                broadcaster.send_plan_update("p", content="in a span")

    await asyncio.to_thread(speak)
    assert await said(url) == [("before", None), ("in a span", HERE)]


async def said(url: str) -> list[tuple[str, str | None]]:
    """Contents and traces of the plan's events with content."""
    log = log_of(url)
    await log.open()
    try:
        page = await log.read("p", 0, 100)
    finally:
        await log.close()
    events = [json.loads(payload) for payload in page.payloads]
    texts = [(event["data"].get("content") or event["data"].get("title"), event.get("trace")) for event in events]
    return [(text, traced) for text, traced in texts if text]
