"""P4: events per second that one core of a hub receives from Redis, with one subscriber."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from bench.publishers import append
from bench.rig import Hub, Sink, record, redis, table

__all__ = ["main"]


def _intake(url: str, plan_id: str, events: int, batch: int) -> dict[str, Any]:
    with Hub(url) as hub:
        sink = Sink(hub.port, 1, events, [f'{{"type":"subscribe_plan","plan_id":"{plan_id}"}}'])
        sink.ready()
        before = hub.cpu
        asyncio.run(append(url, plan_id, events, batch, 64))
        sink.result()
        used = hub.cpu - before
        return {
            "": f"P4 {batch} event{'s' if batch > 1 else ''} per append",
            "µs CPU per event": used / events * 1e6,
            "events/s a core": events / used,
            "target": 100_000.0,
        }


def main(*, full: bool = False) -> None:
    """Measure, print and record."""
    events = 64 * (3200 if full else 1600)
    with redis() as server:
        url = f"redis://127.0.0.1:{server.port}"
        rows = [_intake(url, "single", events, 1), _intake(url, "batched", events, 16)]
    table("Intake from Redis, one subscriber", rows)
    record("intake", rows)


if __name__ == "__main__":
    main(full="--full" in sys.argv)
