"""What is said to the log, of a size and at a pace that the benches choose."""

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
"""Events in one append; the contract allows 256, which is less handy a divisor."""


def _said(plan_id: str, stamp: int, size: int) -> AgentMessage:
    """A sink reads from the stamp how long it was on its way."""
    content = f"@{stamp:020d}@".ljust(size, "x")
    return build(AgentMessage, {"plan_id": plan_id, "agent_name": "Agent", "content": content})


async def append(url: str, plan_id: str, events: int, batch: int, lanes: int = 1) -> None:
    """Straight into the log: `lanes` producers, each with one append of `batch` events under way.

    No checkpoint is taken, so that nothing is trimmed while it is sent.
    """
    log = log_of(url)
    await log.open()
    said = _said(plan_id, 0, 62)

    async def lane(number: int) -> None:
        for seq in range(1, events // lanes + 1, batch):
            entries = [Entry(said.payload(f"bench-{number}.{seq + i}")) for i in range(batch)]
            await log.append(plan_id, f"bench-{number}", seq, entries, Facts())

    await asyncio.gather(*(lane(number) for number in range(lanes)))
    await log.close()


async def paced(url: str, plan_ids: Sequence[str], events: int, rate: float, size: int = 62) -> None:
    """`events` on every plan, `rate` a second on each; the plans take their turns within each interval."""
    sends = set[asyncio.Future[Any]]()
    async with Broadcaster(url) as broadcaster:
        began = time.perf_counter()
        for n in range(events * len(plan_ids)):
            due = began + n / (rate * len(plan_ids)) - time.perf_counter()
            if due > 0.0005:
                await asyncio.sleep(due)
            said = _said(plan_ids[n % len(plan_ids)], time.monotonic_ns(), size)
            sends.add(asyncio.ensure_future(broadcaster.send(said)))
        await asyncio.gather(*sends)
