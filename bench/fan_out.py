"""P1, P2, P3 and P8: what handing an event to many clients costs the hub, through Redis, with everything on.

What the kernel asks for (the floor) and what the hub asks for are measured in turns, since a shared machine has its
moods; each is the median of its rounds.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from bench.rig import Hub, Sink, floor, record, redis, table
from broadcasters import Broadcaster
from broadcasters.events import AgentMessage, build
from broadcasters.log import log_of
from broadcasters.log.contract import Entry, Facts

__all__ = ["main"]

CLIENTS: Final = 500
SIZE: Final = 284
"""Bytes of the frames below: floor and hub send the same."""
APPEND: Final = 256
"""Events in one append: as many as the contract allows."""


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


async def _burst(log: str, plan_id: str, events: int) -> None:
    """Straight into the log, in whole appends: no checkpoint is taken, so that nothing is trimmed while it is sent."""
    plans = log_of(log)
    await plans.open()
    for seq in range(1, events + 1, APPEND):
        said = [Entry(_said(plan_id, 0).payload(f"bench.{seq + i}")) for i in range(min(APPEND, events + 1 - seq))]
        await plans.append(plan_id, "bench", seq, said, Facts())
    await plans.close()


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
        asyncio.run(_burst(log, "burst", events))
        found = sink.result()
        return {"cpu": (hub.cpu - before) / found["events"] * 1e6, **found}


def _many_plans(log: str, plans: int, subscribers: int, events: int, rate: float) -> dict[str, Any]:
    with Hub(log) as hub:
        sink = Sink(hub.port, plans * subscribers, events, [_subscribe("many-%d")], plans=plans)
        sink.ready()
        before = hub.cpu
        plan_ids = [f"many-{n}" for n in range(plans)]
        asyncio.run(_publish(log, lambda b: _paced(b, plan_ids, events, rate)))
        found = sink.result()
        return {"cpu": (hub.cpu - before) / found["events"] * 1e6, **found}


async def _publish(log: str, say: Any) -> None:
    async with Broadcaster(log) as broadcaster:
        await say(broadcaster)


def _row(work: str, rounds: Sequence[tuple[float, float]], least: float) -> dict[str, Any]:
    cpu, p99_ms = (statistics.median(each) for each in zip(*rounds, strict=True))
    return {"": work, "µs CPU per delivery": cpu, "x the floor": cpu / least, "p99 ms": p99_ms if p99_ms >= 0 else None}


def _in_turns(log: str, events: int, rate: float, rounds: int) -> list[dict[str, Any]]:
    """The floor and the hub, the same frames at the same pace."""
    floors, hubs = list[tuple[float, float]](), list[tuple[float, float]]()
    for _ in range(rounds):
        floors.append(floor(CLIENTS, SIZE, events, rate))
        paced = _paced_one_plan(log, events, rate)
        hubs.append((paced["cpu"], paced["p99_ms"]))
    floor_row = _row(f"floor: send() in C, {CLIENTS} x {rate:g}/s", floors, statistics.median(cpu for cpu, _ in floors))
    return [floor_row, _row(f"{CLIENTS} x {rate:g}/s", hubs, floor_row["µs CPU per delivery"])]


def main(*, full: bool = False) -> None:
    """Measure, print and record."""
    seconds, rounds = (10, 5) if full else (3, 3)
    plans, per_plan, rate = 1000, 100 if full else 40, 20.0
    with redis() as server:
        url = f"redis://127.0.0.1:{server.port}"
        floor_row, paced = _in_turns(url, 200 * seconds, 200, rounds)
        slower = _in_turns(url, 100 * seconds, 100, rounds)
        burst = _burst_one_plan(url, 20_000)
        many = _many_plans(url, plans, 5, per_plan, rate)
    least = floor_row["µs CPU per delivery"]
    rows = [
        floor_row,
        paced | {"": f"P1 paced, {paced['']}"},
        *(row | {"": f"P8 {row['']}"} for row in slower),
        _row(f"P2 burst, {CLIENTS} x 20,000", [(burst["cpu"], burst["p99_ms"])], least),
        _row(f"P3 {plans} plans x 5 x {rate:g}/s", [(many["cpu"], many["p99_ms"])], least),
    ]
    targets = "P1: at most 1.3 x the floor; P2: at most 0.1 µs; P3: at most 1.5 x P1; P8: at most 5 ms over the floor"
    table(f"Fan-out through Redis ({targets})", rows)
    record("fan_out", rows)


if __name__ == "__main__":
    main(full="--full" in sys.argv)
