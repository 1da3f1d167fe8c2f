"""P1, P2, P3 and P8: what handing an event to many clients costs the hub, through Redis, with everything on."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from bench.rig import Hub, Sink, floor, record, redis, table
from broadcasters import Broadcaster
from broadcasters.events import AgentMessage, build

__all__ = ["main"]

CLIENTS: Final = 500
SIZE: Final = 284
"""Bytes of the frames below: floor and hub send the same."""


def _said(plan_id: str, stamp: int) -> AgentMessage:
    fields = {"plan_id": plan_id, "agent_name": "Agent", "content": f"@{stamp:020d}@".ljust(62, "x")}
    return build(AgentMessage, fields)


def _subscribe(plan_id: str) -> str:
    return f'{{"type":"subscribe_plan","plan_id":"{plan_id}"}}'


async def _paced(broadcaster: Broadcaster, plan_ids: list[str], events: int, rate: float) -> None:
    """`events` on every plan, `rate` a second on each; the plans take their turns within each interval."""
    began, sends = time.perf_counter(), set[asyncio.Future[Any]]()
    for n in range(events * len(plan_ids)):
        due = began + n / (rate * len(plan_ids)) - time.perf_counter()
        if due > 0.0005:
            await asyncio.sleep(due)
        sends.add(asyncio.ensure_future(broadcaster.send(_said(plan_ids[n % len(plan_ids)], time.monotonic_ns()))))
    await asyncio.gather(*sends)


async def _burst(broadcaster: Broadcaster, plan_id: str, events: int) -> None:
    said = [_said(plan_id, 0) for _ in range(events)]
    await broadcaster.send_all(plan_id, said)


def _paced_one_plan(log: str, events: int, rate: float) -> dict[str, Any]:
    with Hub(log) as hub:
        sink = Sink(hub.port, CLIENTS, events, [_subscribe("paced")])
        sink.ready()
        before = hub.cpu
        asyncio.run(_publish(log, lambda b: _paced(b, ["paced"], events, rate)))
        found = sink.result()
        return {"cpu": (hub.cpu - before) / found["events"] * 1e6, **found}


def _burst_one_plan(log: str, events: int) -> dict[str, Any]:
    with Hub(log) as hub:
        sink = Sink(hub.port, CLIENTS, events, [_subscribe("burst")])
        sink.ready()
        before = hub.cpu
        asyncio.run(_publish(log, lambda b: _burst(b, "burst", events)))
        found = sink.result()
        return {"cpu": (hub.cpu - before) / found["events"] * 1e6, **found}


def _many_plans(log: str, plans: int, subscribers: int, events: int, rate: float) -> dict[str, Any]:
    with Hub(log) as hub:
        frames = [_subscribe("many-%d")]
        sinks = [Sink(hub.port, plans, events, frames) for _ in range(subscribers)]
        for sink in sinks:
            sink.ready()
        before = hub.cpu
        plan_ids = [f"many-{n}" for n in range(plans)]
        asyncio.run(_publish(log, lambda b: _paced(b, plan_ids, events, rate)))
        found = [sink.result() for sink in sinks]
        delivered = sum(one["events"] for one in found)
        return {
            "cpu": (hub.cpu - before) / delivered * 1e6,
            "events": delivered,
            "p99_ms": max(f["p99_ms"] for f in found),
        }


async def _publish(log: str, say: Any) -> None:
    async with Broadcaster(log) as broadcaster:
        await say(broadcaster)


def _row(work: str, cpu: float, least: float, p99_ms: float | None) -> dict[str, Any]:
    return {"": work, "µs CPU per delivery": cpu, "x the floor": cpu / least, "p99 ms": p99_ms}


def main(*, full: bool = False) -> None:
    """Measure, print and record."""
    paced, burst = (2000, 20_000) if full else (1000, 20_000)
    plans, per_plan, rate = (1000, 100, 20.0) if full else (200, 40, 20.0)
    with redis() as server:
        url = f"redis://127.0.0.1:{server.port}"
        least = floor(CLIENTS, SIZE, paced, 200)
        one = _paced_one_plan(url, paced, 200)
        most = _burst_one_plan(url, burst)
        many = _many_plans(url, plans, 5, per_plan, rate)
    rows = [
        _row("floor: send() in C, paced", least, least, None),
        _row(f"P1 paced, {CLIENTS} x 200/s", one["cpu"], least, one["p99_ms"]),
        _row(f"P2 burst, {CLIENTS} x {burst:,}", most["cpu"], least, None),
        _row(f"P3 {plans} plans x 5 x {rate:g}/s", many["cpu"], least, many["p99_ms"]),
    ]
    table("Fan-out through Redis (P1: at most 1.3 x the floor; P2: at most 0.1 µs; P3: at most 1.5 x P1)", rows)
    record("fan_out", rows)


if __name__ == "__main__":
    main()
