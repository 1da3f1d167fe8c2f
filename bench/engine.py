"""The engine: CPU time per step and per published event, whether longer plans cost more per step, and the time from a
cancel signal to the end of the plan.

One process runs the engine, its database (SQLite) and the log (SQLite, or Redis on the other core); its CPU time is
read before and after. "Bare" is the same events sent by a broadcaster alone, one after the other.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Final

from bench.rig import SERVED, record, redis, table
from broadcasters import Broadcaster
from broadcasters.log import log_of
from broadcasters.log.contract import PlanLog
from broadcasters.log.follow import Received, follow
from plan_engine import BlockingContext, Context, Engine, Plan, Step, template

__all__ = ["main"]

SIZES: Final = (250, 500, 1_000)
ROUNDS: Final = 3
EVENTS: Final = 2_000
WAYS: Final = ("sleeps", "asks", "fails", "in a thread", "ignores cancel")
STOPS: Final = 20


async def nothing(ctx: Context) -> None:
    """The smallest step."""


async def talker(ctx: Context) -> None:
    for n in range(ctx.input["events"]):
        await ctx.think(f"Looking at order {n}…")


@template("chain", title="One after the other")
def chain(given: dict[str, Any]) -> Plan:
    steps = [Step(f"s{n}", f"Step {n}", nothing, [f"s{n - 1}"] if n else []) for n in range(given["steps"])]
    return Plan("One after the other", steps)


@template("fan", title="Side by side")
def fan(given: dict[str, Any]) -> Plan:
    return Plan("Side by side", [Step(f"s{n}", f"Step {n}", nothing) for n in range(given["steps"])])


@template("talk", title="Much talk")
def talk(_: dict[str, Any]) -> Plan:
    return Plan("Much talk", [Step("talk", "Talk", talker)])


async def waits(ctx: Context) -> None:
    match ctx.input["how"]:
        case "asks":
            await ctx.approve("Sure?")
        case "fails":
            raise RuntimeError
        case "ignores cancel":
            with suppress(asyncio.CancelledError):
                await ctx.sleep(600)
            await asyncio.sleep(5)
        case _:
            await ctx.sleep(600)


def waits_in_a_thread(ctx: BlockingContext) -> None:
    ctx.sleep(600)


@template("waiting", title="Something that waits")
def waiting(given: dict[str, Any]) -> Plan:
    agent = waits_in_a_thread if given["how"] == "in a thread" else waits
    return Plan("Something that waits", [Step("wait", "Wait", agent, retries=1, backoff=600, timeout=900)])


async def _cpu(work: Callable[[], Awaitable[object]]) -> float:
    """CPU time of this process in milliseconds."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    await work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


async def _plan(engine: Engine, name: str, **given: Any) -> float:
    async def work() -> None:
        plan_id = f"{name}-{'-'.join(map(str, given.values()))}-{os.urandom(4).hex()}"
        await engine.start(name, given, plan_id)
        assert (await engine.outcome(plan_id)).status == "completed"

    return await _cpu(work)


async def _bare(log: str) -> float:
    async with Broadcaster(log) as broadcaster:

        async def work() -> None:
            for n in range(EVENTS):
                await broadcaster.send_agent_message("bare", "Talker", f"Looking at order {n}…", key=f"talk:1:{n}")

        return await _cpu(work) / EVENTS


async def _least(engine: Engine, name: str, **given: Any) -> float:
    """The minimum of a few rounds, since other load on the machine can only add time."""
    return min([await _plan(engine, name, **given) for _ in range(ROUNDS)])


async def _steps(engine: Engine, kind: str, name: str) -> dict[str, Any]:
    cost = {steps: await _least(engine, name, steps=steps) / steps for steps in SIZES}
    shown = {f"ms CPU per step of {steps:,}": each for steps, each in cost.items()}
    return {"": f"{kind}: {name}", **shown, "longest : shortest": cost[SIZES[-1]] / cost[SIZES[0]]}


async def _events(engine: Engine, kind: str, bare: float) -> dict[str, Any]:
    idle = await _least(engine, "talk", events=0)
    cost = (await _least(engine, "talk", events=EVENTS) - idle) / EVENTS
    return {"": f"{kind}: an event", "ms CPU per event": cost, "bare": bare, "engine : bare": cost / bare}


async def _stop(engine: Engine, log: PlanLog, how: str) -> float:
    """Milliseconds from the cancel signal until the log has the end of the plan."""
    plan_id = f"stop-{os.urandom(4).hex()}"
    await engine.start("waiting", {"how": how}, plan_id)
    ready = "waiting" if how == "asks" else "retrying" if how == "fails" else "in_progress"
    await _wait_for(log, plan_id, lambda event: event["type"] == "step_update" and event["data"]["status"] == ready)
    asked = time.perf_counter()
    await engine.signal(plan_id, "cancel", "maria")
    await _wait_for(
        log, plan_id, lambda event: event["type"] == "plan_update" and event["data"]["status"] == "cancelled"
    )
    return (time.perf_counter() - asked) * 1000


async def _wait_for(log: PlanLog, plan_id: str, condition: Callable[[dict[str, Any]], bool]) -> None:
    async with aclosing(follow(log, plan_id, "start")) as story:
        async for item in story:
            if isinstance(item, Received) and condition(json.loads(item.payload)):
                return


async def _stops(log_url: str, directory: Path) -> list[dict[str, Any]]:
    """With the engine's defaults: it checks for signals every quarter of a second."""
    log = log_of(log_url)
    await log.open()
    try:
        async with Engine(f"sqlite:///{directory / 'stops.db'}", log, [waiting]) as engine:
            rows: list[dict[str, Any]] = []
            for how in WAYS:
                took = sorted([await _stop(engine, log, how) for _ in range(STOPS)])
                rows.append({"": how, "median ms": took[STOPS // 2], "longest ms": took[-1], "target ms": 1000})
            return rows
    finally:
        await log.close()


async def _measure(log: str, directory: Path) -> list[dict[str, Any]]:
    kind = log.partition(":")[0]
    async with Engine(f"sqlite:///{directory / kind}.db", log, [chain, fan, talk]) as engine:
        await _plan(engine, "chain", steps=20)
        rows = [await _steps(engine, kind, name) for name in ("chain", "fan")]
        return [*rows, await _events(engine, kind, await _bare(log))]


def main(*, full: bool = False) -> None:  # noqa: ARG001 - short and full runs are the same
    """Measure, print and record."""
    with tempfile.TemporaryDirectory(prefix="plancast-bench-") as name, redis() as server:
        os.sched_setaffinity(0, {SERVED})
        directory = Path(name)
        logs = [f"sqlite:///{directory / 'log.db'}", server.url]
        rows = [row for log in logs for row in asyncio.run(_measure(log, directory))]
        stops = asyncio.run(_stops(server.url, directory))
    table("Engine, per step", [row for row in rows if "bare" not in row])
    table("Engine, per published event", [row for row in rows if "bare" in row])
    table(f"From a cancel signal to the end of the plan, {STOPS} times each", stops)
    record("engine", [*rows, *stops])


if __name__ == "__main__":
    main(full="--full" in sys.argv)
