"""A step's timeout counts working time: not waiting for the log or a person, and not pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from broadcasters.log.contract import Appended, Entry, Facts, PlanLog
from plan_engine import BlockingContext, Context, StepFailed
from plan_engine.engine import PlanOutcome
from tests.plan_engine.harness import EngineHarness, statuses
from tests.plan_engine.test_engine import only, run

TIMEOUT_S = 10.0
AWAY_S = 15.0


class DelayedAppend:
    """Delays the first append that contains `mark` while the clock is put forward."""

    def __init__(self, log: PlanLog, mark: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        append = log.append

        async def late(plan_id: str, producer: str, seq: int, entries: Sequence[Entry], facts: Facts) -> Appended:
            if not self.times and any(mark in entry.payload for entry in entries):
                self.times += 1
                await put_clock_forward(monkeypatch)
            return await append(plan_id, producer, seq, entries, facts)

        monkeypatch.setattr(log, "append", late)


async def put_clock_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the event loop's clock forward by `AWAY_S` seconds."""
    loop = asyncio.get_running_loop()
    clock = loop.time
    monkeypatch.setattr(loop, "time", lambda: clock() + AWAY_S)
    await several_turns()  # for the timers that are due now


async def several_turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def works(ctx: Context) -> str:
    await several_turns()
    return "done"


async def says_a_word(ctx: Context) -> str:
    await ctx.say("a word")
    return await works(ctx)


async def uses_a_tool(ctx: Context) -> str:
    async with ctx.tool("count") as use:
        use.result = "a word"
    return await works(ctx)


async def speaks_in_pieces(ctx: Context) -> str:
    async with ctx.stream() as message:
        await message.write("a word")
    return await works(ctx)


async def makes_something(ctx: Context) -> str:
    await ctx.artifact("note", "text/plain", data="a word")
    return await works(ctx)


async def gets_on(ctx: Context) -> str:
    await ctx.progress(50, "a word")
    return await works(ctx)


def says_a_word_in_a_thread(ctx: BlockingContext) -> str:
    ctx.say("a word")
    return ctx.wait_for(works(ctx.awaiting))


@pytest.mark.parametrize(
    ("agent", "mark"),
    [
        (works, b'"status":"in_progress","attempt":1'),
        (works, b'"status":"completed","content":"","attempt":1'),
        (says_a_word, b'"a word"'),
        (uses_a_tool, b'"started"'),
        (uses_a_tool, b'"a word"'),
        (speaks_in_pieces, b'"a word"'),
        (makes_something, b'"a word"'),
        (gets_on, b'"a word"'),
        (says_a_word_in_a_thread, b'"a word"'),
    ],
)
async def test_time_waiting_for_the_log_is_not_working_time(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch, agent: Any, mark: bytes
) -> None:
    away = DelayedAppend(harness.log, mark, monkeypatch)
    ended, _ = await run(harness, agent, timeout=TIMEOUT_S)
    assert ended == PlanOutcome("completed", "done")
    assert away.times == 1


async def test_time_waiting_for_the_log_before_a_retry_is_not_working_time(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_the_second_try(ctx: Context) -> str:
        if ctx.attempt == 1:
            raise StepFailed("Not yet")
        return await works(ctx)

    away = DelayedAppend(harness.log, b'"status":"in_progress","attempt":2', monkeypatch)
    ended, events = await run(harness, at_the_second_try, timeout=TIMEOUT_S, retries=1, backoff=0)
    assert ended == PlanOutcome("completed", "done")
    assert away.times == 1
    assert statuses(events, "a") == ["pending", "in_progress", "retrying", "in_progress", "completed"]


async def test_waiting_for_a_person_is_not_working_time(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def agent(ctx: Context) -> Any:
        return [await ctx.ask("Who?"), await works(ctx)]

    async with harness.engine(only(agent, timeout=TIMEOUT_S)) as engine:
        await engine.start("only", {}, "p")
        request_id = await harness.until_asked("p")
        await put_clock_forward(monkeypatch)
        await harness.answer("p", request_id, "Ada")
        assert (await harness.outcome(engine, "p")).result == ["Ada", "done"]
    await harness.events("p")


async def test_a_pause_is_not_working_time(harness: EngineHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    paused, waits = asyncio.Event(), asyncio.Event()

    async def agent(ctx: Context) -> str:
        await ctx.say("here")
        await paused.wait()
        waits.set()
        await ctx.checkpoint()
        return await works(ctx)

    async with harness.engine(only(agent, timeout=TIMEOUT_S)) as engine:
        await engine.start("only", {}, "p")
        await harness.until_content("p", "here")
        await engine.signal("p", "pause", "maria")
        await harness.until("p", lambda event: event.type == "plan_update" and event.data["status"] == "waiting")
        paused.set()
        await waits.wait()
        await put_clock_forward(monkeypatch)
        await engine.signal("p", "resume", "maria")
        assert (await harness.outcome(engine, "p")).result == "done"
    await harness.events("p")


async def test_time_before_and_after_a_wait_is_working_time(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def agent(ctx: Context) -> None:
        await ctx.say("here")
        await asyncio.sleep(600)

    async with harness.engine(only(agent, timeout=TIMEOUT_S)) as engine:
        await engine.start("only", {}, "p")
        await harness.until_content("p", "here")
        await put_clock_forward(monkeypatch)
        assert (await harness.outcome(engine, "p")).status == "error"
    await harness.events("p")
