"""C-EVT-8, H-PUB-3: trace context is passed through the hub, with a span for each delivery if tracing is configured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from opentelemetry import trace

from broadcasters.events import AgentMessage
from broadcasters.tracing import within
from hub.app import create_app
from hub.config.settings import Settings
from hub.core.burst import Burst
from hub.core.composer import merge
from hub.node import Hub
from hub.telemetry.tracing import Deliveries, deliveries
from hub.transports.peers import Peer
from hub.wire.frames import event_frame, event_prefix
from tests.hub.runners import asgi

TRACE, SPAN, OTHER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "a" * 16
HERE, THERE = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{OTHER}-00"
PEER = Peer(address="127.0.0.1", scheme="ws", host="127.0.0.1")


class Told(trace.Tracer):
    """Records the spans started."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []

    def start_span(self, name: str, *args: Any, **about: Any) -> trace.Span:
        assert not args
        self.spans.append({"name": name, **about})
        return trace.INVALID_SPAN

    def start_as_current_span(self, *args: Any, **about: Any) -> Any:  # noqa: ARG002
        raise AssertionError("nothing happens inside of it")


def burst(*traces: str | None) -> Burst:
    said = [AgentMessage(plan_id="p", agent_name="Ana", content='"trace":"00-') for _ in traces]
    payloads = [event.payload(f"e.{n}", traced) for n, (event, traced) in enumerate(zip(said, traces, strict=True))]
    prefix = event_prefix("p", "epoch")
    return Burst([event_frame(prefix, n, payload) for n, payload in enumerate(payloads, 5)], 5, 4 + len(traces))


def linked(spans: Sequence[dict[str, Any]]) -> list[list[str]]:
    contexts = [[link.context for link in span["links"]] for span in spans]
    return [[f"00-{c.trace_id:032x}-{c.span_id:016x}-{c.trace_flags:02x}" for c in each] for each in contexts]


def test_a_delivery_is_linked_to_each_trace_once() -> None:
    tracer = Told()
    Deliveries(tracer)("p", burst(HERE, None, THERE, HERE), 3)
    [span] = tracer.spans
    assert linked([span]) == [[HERE, THERE]]
    assert all(link.context.is_remote for link in span["links"])
    about = {"plan_id": "p", "first": 5, "offset": 8, "subscribers": 3}
    assert span["attributes"] == {f"plancast.{name}": value for name, value in about.items()}
    assert 0 < span["start_time"] < 2**63


def test_events_without_a_trace_open_no_span() -> None:
    tracer = Told()
    Deliveries(tracer)("p", burst(None, None), 3)
    assert tracer.spans == []


def test_without_tracing_bursts_are_not_inspected() -> None:
    assert deliveries() is None


def test_configured_tracing_is_detected() -> None:
    program = """
from opentelemetry import trace
from hub.telemetry.tracing import Deliveries, deliveries
class Provider(trace.TracerProvider):
    def get_tracer(self, *args, **about):
        return trace.NoOpTracer()
trace.set_tracer_provider(Provider())
assert isinstance(deliveries(), Deliveries)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_merged_parts_have_the_trace_of_the_last() -> None:
    """C-EVT-8"""
    parts = [AgentMessage(plan_id="p", agent_name="A", content=text, message_id="m", append=True) for text in "ab"]
    [merged] = merge(1, [parts[0].payload("1", HERE), parts[1].payload("2", THERE)])
    assert json.loads(merged.payload)["trace"] == THERE


async def test_a_trace_is_carried_from_the_publisher_to_the_frame(tmp_path: Path) -> None:
    """C-EVT-8, H-PUB-3: over HTTP and from a broadcaster; each burst is recorded."""
    hub = Hub(Settings(log=f"sqlite:///{tmp_path}/plans.db"))
    transport = httpx.ASGITransport(app=create_app(hub))
    said = {"type": "plan_update", "data": {}}
    async with hub, asgi(hub) as dial, httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        told = Told()
        hub.registry.traced = Deliveries(told)
        client = await dial(PEER)

        async def heard() -> dict[str, Any]:
            frame = await client.receive()
            assert isinstance(frame, str)
            return dict(json.loads(frame))

        await heard()
        await client.send(json.dumps({"type": "subscribe_plan", "plan_id": "p"}))
        await heard()
        for header, meant in ((HERE, HERE), ("nonsense", None), (None, None)):
            headers = {"traceparent": header} if header else {}
            answer = await http.post("/api/plans/p/events", json=said, headers=headers)
            assert answer.status_code == 201, answer.text
            frame = await heard()
            assert frame.get("trace") == meant
        with within(THERE):
            await hub.broadcaster.send_plan_update("p")
        frame = await heard()
        assert list(frame) == ["type", "plan_id", "epoch", "offset", "id", "trace", "data"]
        assert frame["trace"] == THERE
        await client.close()
    assert linked(told.spans) == [[HERE], [THERE]]
