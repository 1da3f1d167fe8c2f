"""P1, P2, P3 and P8: CPU cost of delivering an event to many clients, through Redis, with all features enabled.

The kernel's cost (the floor) and the hub's are measured alternately, because load on a shared machine varies; each result
is the median of its rounds.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from bench.publishers import LONGEST_APPEND, append, paced
from bench.rig import Hub, Sink, floor, record, redis, table

__all__ = ["delivered", "main", "row"]

CLIENTS: Final = 500
SIZE: Final = 284
"""Bytes of a frame; floor and hub send the same frames."""


def delivered(
    log: str, plan_id: str, events: int, publishing: Coroutine[Any, Any, None], clients: int = CLIENTS, plans: int = 1
) -> tuple[float, float]:
    """CPU microseconds of the hub per delivery, and the p99 latency in milliseconds."""
    with Hub(log) as hub:
        sink = Sink(hub.port, clients, events, [f'{{"type":"subscribe_plan","plan_id":"{plan_id}"}}'], plans=plans)
        sink.ready()
        before = hub.cpu
        asyncio.run(publishing)
        found = sink.result()
        return (hub.cpu - before) / found["events"] * 1e6, float(found["p99_ms"])


def row(work: str, rounds: Sequence[tuple[float, float]], least: float) -> dict[str, Any]:
    """A row with the median of the rounds, and its ratio to the floor."""
    cpu, p99_ms = (statistics.median(each) for each in zip(*rounds, strict=True))
    return {"": work, "µs CPU per delivery": cpu, "x the floor": cpu / least, "p99 ms": p99_ms if p99_ms >= 0 else None}


def _in_turns(log: str, events: int, rate: float, rounds: int) -> list[dict[str, Any]]:
    """Measure floor and hub alternately, with the same frames at the same rate."""
    floors, hubs = list[tuple[float, float]](), list[tuple[float, float]]()
    for _ in range(rounds):
        floors.append(floor(CLIENTS, SIZE, events, rate))
        hubs.append(delivered(log, "paced", events, paced(log, ["paced"], events, rate)))
    floor_row = row(f"floor: send() in C, {CLIENTS} x {rate:g}/s", floors, statistics.median(cpu for cpu, _ in floors))
    return [floor_row, row(f"{CLIENTS} x {rate:g}/s", hubs, floor_row["µs CPU per delivery"])]


def main(*, full: bool = False) -> None:
    """Measure, print and record."""
    seconds, rounds = (10, 5) if full else (3, 3)
    plans, per_plan, rate = 1000, 100 if full else 40, 20.0
    with redis() as server:
        url = f"redis://127.0.0.1:{server.port}"
        floor_row, hub_row = _in_turns(url, 200 * seconds, 200, rounds)
        slower = _in_turns(url, 100 * seconds, 100, rounds)
        burst = delivered(url, "burst", 20_000, append(url, "burst", 20_000, LONGEST_APPEND))
        publishing = paced(url, [f"many-{n}" for n in range(plans)], per_plan, rate)
        many = delivered(url, "many-%d", per_plan, publishing, plans * 5, plans)
    least = floor_row["µs CPU per delivery"]
    rows = [
        floor_row,
        hub_row | {"": f"P1 paced, {hub_row['']}"},
        *(row | {"": f"P8 {row['']}"} for row in slower),
        row(f"P2 burst, {CLIENTS} x 20,000", [burst], least),
        row(f"P3 {plans} plans x 5 x {rate:g}/s", [many], least),
    ]
    targets = "P1: at most 1.3 x the floor; P2: at most 0.1 µs; P3: at most 1.5 x P1; P8: at most 5 ms over the floor"
    table(f"Fan-out through Redis ({targets})", rows)
    record("fan_out", rows)


if __name__ == "__main__":
    main(full="--full" in sys.argv)
