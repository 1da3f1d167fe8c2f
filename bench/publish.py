"""P5: acknowledged events per second of one Python process with 64 senders, and the CPU cost of each append in Redis.

The publisher has one core, Redis the other. Checkpoints are taken when due, as in production. Each row is the best of its
rounds, because other load on the machine can only slow a round down. "events/s a core" excludes time spent waiting.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.rig import SERVED, record, redis, table
from broadcasters import Broadcaster
from tests.servers.process import RedisServer

__all__ = ["main"]

SENDERS: Final = 64
TARGETS: Final = {"redis": 40_000.0, "sqlite": 60_000.0}


def _cpu_of(server: RedisServer) -> float:
    used = server.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _send_all(broadcaster: Broadcaster, plans: int, each: int) -> None:
    async def sender(index: int) -> None:
        for _ in range(each):
            await broadcaster.send_agent_message(f"plan-{index % plans}", "Data Analyst", "Looking at the orders…" * 3)

    await asyncio.gather(*(sender(index) for index in range(SENDERS)))


async def _round(broadcaster: Broadcaster, plans: int, each: int, log_cpu: Callable[[], float]) -> dict[str, Any]:
    appends, own, logs = broadcaster.statistics().appends, _own_cpu(), log_cpu()
    began = time.perf_counter()
    await _send_all(broadcaster, plans, each)
    took = time.perf_counter() - began
    appends = broadcaster.statistics().appends - appends
    events, own = SENDERS * each, _own_cpu() - own
    return {
        "events/s": events / took,
        "events/s a core": events / own,
        "µs CPU per event": own / events * 1e6,
        "events per append": events / appends,
        "µs Redis CPU per append": (log_cpu() - logs) / appends * 1e6,
    }


async def _publish(url: str, plans: int, each: int, rounds: int, log_cpu: Callable[[], float]) -> dict[str, Any]:
    """One row, with a log of its own, so that no row is affected by the plans of another."""
    async with Broadcaster(url) as broadcaster:
        await _send_all(broadcaster, plans, each // 8)
        measured = [await _round(broadcaster, plans, each, log_cpu) for _ in range(rounds)]
    kind = url.partition(":")[0]
    name = {"": f"P5 {kind}, {plans} plan{'s' if plans > 1 else ''}"}
    return {**name, **max(measured, key=lambda row: float(row["events/s"])), "target": TARGETS[kind]}


def main(*, full: bool = False) -> None:
    """Measure, print and record."""
    each, rounds = (1000, 5) if full else (200, 3)
    rows = []
    for plans in (1, 8, SENDERS):
        with redis() as server:
            os.sched_setaffinity(0, {SERVED})
            url = f"redis://127.0.0.1:{server.port}"
            rows.append(asyncio.run(_publish(url, plans, each, rounds, partial(_cpu_of, server))))
    for plans in (1, 8, SENDERS):
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{Path(folder) / 'plans.db'}"
            rows.append(asyncio.run(_publish(url, plans, each, rounds, lambda: 0.0)))
    table(f"Publishing, one process on one core, {SENDERS} senders, each waiting for its acknowledgement", rows)
    record("publish", rows)


if __name__ == "__main__":
    main(full="--full" in sys.argv)
