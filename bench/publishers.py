"""Publishers for the benchmarks, with a chosen event size and rate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

from broadcasters import Broadcaster
from broadcasters.events import AgentMessage, build
from broadcasters.log import log_of
from broadcasters.log.contract import Entry, Facts

__all__ = ["LONGEST_APPEND", "append", "paced"]

LONGEST_APPEND: Final = 250
"""Events per append; the contract allows 256, but 250 divides the event counts."""


def _stamped(plan_id: str, stamp: int, size: int) -> AgentMessage:
    """A message with its send time, from which the sink computes the latency."""
    content = f"@{stamp:020d}@".ljust(size, "x")
    return build(AgentMessage, {"plan_id": plan_id, "agent_name": "Agent", "content": content})


async def append(url: str, plan_id: str, events: int, batch: int, producers: int = 1) -> None:
    """Append directly to the log: `producers` producers, each with one append of `batch` events in flight.

    Takes no checkpoints, so nothing is trimmed meanwhile.
    """
    log = log_of(url)
    await log.open()
    event = _stamped(plan_id, 0, 62)

    async def produce(number: int) -> None:
        for seq in range(1, events // producers + 1, batch):
            entries = [Entry(event.payload(f"bench-{number}.{seq + i}")) for i in range(batch)]
            await log.append(plan_id, f"bench-{number}", seq, entries, Facts())

    await asyncio.gather(*(produce(number) for number in range(producers)))
    await log.close()


async def paced(url: str, plan_ids: Sequence[str], events: int, rate: float, size: int = 62) -> None:
    """Publish `events` to every plan at `rate` per second each, alternating between plans within each interval."""
    sends = set[asyncio.Future[Any]]()
    async with Broadcaster(url) as broadcaster:
        began = time.perf_counter()
        for n in range(events * len(plan_ids)):
            due = began + n / (rate * len(plan_ids)) - time.perf_counter()
            if due > 0.0005:
                await asyncio.sleep(due)
            event = _stamped(plan_ids[n % len(plan_ids)], time.monotonic_ns(), size)
            sends.add(asyncio.ensure_future(broadcaster.send(event)))
        await asyncio.gather(*sends)
