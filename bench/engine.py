"""What the engine costs: processor time per step and per event told, and whether a long plan costs more per step.

One process does everything: the engine, its database (SQLite) and the log (SQLite, or Redis on the other core). Its
processor time is read before and after. "Bare" is the same words said by a broadcaster alone, one after the other.
"""

from __future__ import annotations

import asyncio
import os
import resource
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from bench.rig import SERVED, record, redis, table
from broadcasters import Broadcaster
from plan_engine import Context, Engine, Plan, Step, template

__all__ = ["main"]

SHORT: Final = 250
LONG: Final = 1_000
WORDS: Final = 2_000


async def nothing(ctx: Context) -> None:
    """A small step."""


async def talker(ctx: Context) -> None:
    for n in range(ctx.input["words"]):
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


async def _cpu(work: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds of this process's processor time."""
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
            for n in range(WORDS):
                await broadcaster.send_agent_message("bare", "Talker", f"Looking at order {n}…", key=f"talk:1:{n}")

        return await _cpu(work) / WORDS


async def _measure(log: str, directory: Path) -> list[dict[str, Any]]:
    kind = log.partition(":")[0]
    rows: list[dict[str, Any]] = []
    async with Engine(f"sqlite:///{directory / kind}.db", log, [chain, fan, talk], poll=0.05) as engine:
        await _plan(engine, "chain", steps=20)
        for name in ("chain", "fan"):
            few, many = [await _plan(engine, name, steps=steps) for steps in (SHORT, LONG)]
            rows.append(
                {
                    "": f"{kind}: {name}",
                    f"ms CPU a step of {SHORT}": few / SHORT,
                    f"ms CPU a step of {LONG:,}": many / LONG,
                    "long : short": (many / LONG) / (few / SHORT),
                }
            )
        silence = await _plan(engine, "talk", words=0)
        told = (await _plan(engine, "talk", words=WORDS) - silence) / WORDS
    bare = await _bare(log)
    rows.append({"": f"{kind}: a word", "ms CPU a word": told, "bare": bare, "engine : bare": told / bare})
    return rows


def main(*, full: bool = False) -> None:  # noqa: ARG001 - there is one form
    """Measure, print and record."""
    os.sched_setaffinity(0, {SERVED})
    with tempfile.TemporaryDirectory(prefix="plancast-bench-") as name, redis() as server:
        os.sched_setaffinity(0, {SERVED})
        directory = Path(name)
        logs = [f"sqlite:///{directory / 'log.db'}", server.url]
        rows = [row for log in logs for row in asyncio.run(_measure(log, directory))]
    for shown in ([row for row in rows if "bare" not in row], [row for row in rows if "bare" in row]):
        table("The engine", shown)
    record("engine", rows)


if __name__ == "__main__":
    main()
