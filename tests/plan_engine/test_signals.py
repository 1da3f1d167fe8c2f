"""A plan can be cancelled, paused and resumed at any point and from any process, and reports it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from broadcasters.errors import LogFull
from plan_engine import BlockingContext, Context, NotRunHere, Plan, Step, template
from plan_engine.engine import PlanOutcome
from plan_engine.run.run_state import RunState
from tests.plan_engine.event_rules import Event
from tests.plan_engine.harness import EngineHarness, statuses
from tests.plan_engine.test_engine import nothing, only

CANCEL_S = 1.0
PATIENCE_S = 20.0
"""How much longer than a second it may take on a busy machine."""


async def sleeps(ctx: Context) -> None:
    await ctx.say("here")
    await ctx.sleep(600)


async def sleeps_without_the_context(ctx: Context) -> None:
    await ctx.say("here")
    await asyncio.sleep(600)


async def asks(ctx: Context) -> None:
    await ctx.ask("Who?")


async def streams(ctx: Context) -> None:
    async with ctx.stream() as message:
        await message.write("here")
        while True:
            await message.write(".")
            await asyncio.sleep(0.001)


async def fails(ctx: Context) -> None:
    raise RuntimeError


async def will_not_end(ctx: Context) -> None:
    await ctx.say("here")
    while not ctx.input["release"].is_set():
        try:
            await ctx.sleep(600)
        except asyncio.CancelledError:
            await ctx.say("late words")


def sleeps_in_a_thread(ctx: BlockingContext) -> None:
    ctx.say("here")
    ctx.sleep(600)


def asks_in_a_thread(ctx: BlockingContext) -> None:
    ctx.approve("Sure?")


def computes_in_a_thread(ctx: BlockingContext) -> None:
    ctx.say("here")
    while not ctx.cancelled:
        time.sleep(0.01)
    ctx.say("late words")


def told_here(event: Event) -> bool:
    return bool(event.data.get("content")) and "here" in event.data["content"]


def told_waiting(event: Event) -> bool:
    return event.type == "plan_update" and event.data["status"] == "waiting"


def told_retrying(event: Event) -> bool:
    return event.data.get("status") == "retrying"


@pytest.mark.parametrize(
    ("agent", "ready"),
    [
        (sleeps, told_here),
        (sleeps_without_the_context, told_here),
        (asks, told_waiting),
        (streams, told_here),
        (fails, told_retrying),
        (sleeps_in_a_thread, told_here),
        (asks_in_a_thread, told_waiting),
        (computes_in_a_thread, told_here),
    ],
)
async def test_a_plan_is_cancelled_wherever_it_waits(
    harness: EngineHarness, agent: Any, ready: Callable[[Event], bool]
) -> None:
    async with harness.engine(only(agent, retries=1, backoff=600)) as engine:
        await engine.start("only", {}, "p")
        await harness.until("p", ready)
        await engine.signal("p", "cancel", "maria")
        async with asyncio.timeout(CANCEL_S + PATIENCE_S):
            assert await engine.outcome("p") == PlanOutcome("cancelled", message="Stopped by maria")
    events = await harness.events("p")
    states = [e.data["data"]["state"] for e in events if "state" in (e.data.get("data") or {})]
    assert states == ["requested", "acknowledged", "stopped"]
    assert statuses(events, "a")[-1] == "cancelled"
    assert not any(e.data.get("content") == "late words" for e in events)


async def test_signals_are_obeyed_after_reading_them_failed(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug once: one exception ended the task that reads signals."""
    failed = asyncio.Event()

    async def fails(*_: Any) -> None:
        failed.set()
        raise ValueError("not a number")

    async with harness.engine(only(sleeps)) as engine:
        await engine.start("only", {}, "p")
        await harness.until_content("p", "here")
        with monkeypatch.context() as broken:
            broken.setattr(engine._store, "signals_since", fails)
            async with asyncio.timeout(PATIENCE_S):
                await failed.wait()
        await engine.signal("p", "cancel", "maria")
        assert (await harness.outcome(engine, "p")).status == "cancelled"


async def test_a_plan_is_cancelled_although_that_can_not_be_acknowledged(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: Any) -> None:
        raise LogFull("the disk is full")

    async with harness.engine(only(sleeps)) as engine:
        await engine.start("only", {}, "p")
        await harness.until_content("p", "here")
        monkeypatch.setattr(RunState, "_acknowledge", fails)
        await engine.signal("p", "cancel", "maria")
        assert (await harness.outcome(engine, "p")).status == "cancelled"


async def test_an_agent_that_does_not_end_is_abandoned(harness: EngineHarness) -> None:
    release = asyncio.Event()

    async def agent(ctx: Context) -> None:
        ctx.input = {"release": release}
        await will_not_end(ctx)

    async with harness.engine(only(agent)) as engine:
        await engine.start("only", {}, "p")
        await harness.until_content("p", "here")
        await engine.signal("p", "cancel", "maria")
        assert (await harness.outcome(engine, "p")).status == "cancelled"
        release.set()
    events = await harness.events("p")
    assert not any(e.data.get("content") == "late words" for e in events)


async def test_a_queued_plan_is_cancelled_at_once(harness: EngineHarness) -> None:
    @template("one", title="One at a time", concurrency=1)
    def one(_: Any) -> Plan:
        return Plan("One", [Step("a", "A", sleeps), Step("b", "B", nothing, ["a"])])

    async with harness.engine(one) as engine:
        await engine.start("one", {}, "first")
        await harness.until_content("first", "here")
        await engine.start("one", {}, "second")
        await engine.signal("second", "cancel", "maria")
        assert (await harness.outcome(engine, "second")).status == "cancelled"
        assert (await harness.snapshot("first")).status == "in_progress"
        await engine.signal("first", "cancel", "maria")
        assert (await harness.outcome(engine, "first")).status == "cancelled"
    events = await harness.events("second")
    assert [statuses(events, step) for step in "ab"] == [["pending", "cancelled"]] * 2
    assert (await harness.snapshot("second")).content == "Stopped by maria"
    await harness.events("first")


async def test_a_plan_of_an_unknown_template_can_be_cancelled(harness: EngineHarness) -> None:
    """For instance because its template was removed."""
    async with harness.engine(only(sleeps), work=False) as before:
        await before.start("only", {}, "p")
    async with harness.engine(work=False) as after:
        await after.signal("p", "cancel", "maria")
    assert statuses(await harness.events("p"), "a") == ["pending", "cancelled"]


async def test_a_signal_sent_while_no_worker_runs_is_obeyed_later(harness: EngineHarness) -> None:
    async with harness.engine(only(sleeps)) as engine:
        await engine.start("only", {}, "p")
        await harness.until_content("p", "here")
    async with harness.engine(only(sleeps), work=False) as elsewhere:
        await elsewhere.signal("p", "cancel", "maria")
    async with harness.engine(only(sleeps)) as engine:
        assert (await harness.outcome(engine, "p")).status == "cancelled"
    events = await harness.events("p")
    assert statuses(events, "a") == ["pending", "in_progress", "stalled", "cancelled"]
    assert any(e.data.get("content") == "Its worker is stopping; another one will continue it" for e in events)


async def test_a_paused_plan_reports_nothing_until_it_is_resumed(harness: EngineHarness) -> None:
    going = asyncio.Event()
    said: list[int] = []

    async def counts(ctx: Context) -> list[int]:
        for n in range(3):
            await ctx.say(f"number {n}")
            said.append(n)
            if n == 0:
                await going.wait()
        return said

    @template("count", title="Count")
    def count(_: Any) -> Plan:
        return Plan("Count", [Step("a", "A", counts, timeout=30), Step("b", "B", nothing, ["a"])])

    async with harness.engine(count) as engine:
        await engine.start("count", {}, "p")
        await harness.until_content("p", "number 0")
        await engine.signal("p", "pause", "maria")
        await harness.until_content("p", "Paused by maria")
        await engine.signal("p", "pause", "otto")
        going.set()
        await harness.until_content("p", "Please pause this plan")
        assert said == [0]
        await engine.signal("p", "resume", "otto")
        assert (await harness.outcome(engine, "p")).status == "completed"
    events = await harness.events("p")
    told = [e.data.get("content") for e in events]
    assert told.index("number 1") > told.index("Resumed by otto") > told.index("Paused by maria")
    assert (await harness.snapshot("p")).content == ""
    assert [e.data["status"] for e in events if e.type == "plan_update" and e.data.get("content")] == [
        "waiting",
        "in_progress",
    ]


async def test_a_pause_holds_steps_back_and_survives_a_restart(harness: EngineHarness) -> None:
    @template("two", title="Two")
    def two(_: Any) -> Plan:
        return Plan("Two", [Step("a", "A", asks), Step("b", "B", nothing, ["a"])], request="Do both")

    async with harness.engine(two) as engine:
        await engine.start("two", {}, "p")
        request_id = await harness.until_asked("p")
        await engine.signal("p", "pause", "maria")
        await harness.until_content("p", "Paused by maria")
    await harness.answer("p", request_id, "Ada")
    async with harness.engine(two) as engine:
        assert (await harness.snapshot("p")).status == "waiting"
        await engine.signal("p", "resume", "maria")
        assert (await harness.outcome(engine, "p")).status == "completed"
    data = (await harness.snapshot("p")).data or {}
    assert (data["template"], data["request"], data["signal"]) == ("two", "Do both", "resume")  # H-PLN-8
    events = await harness.events("p")
    assert sum(e.data.get("content") == "Paused by maria" for e in events) == 1


async def test_a_paused_plan_can_be_cancelled(harness: EngineHarness) -> None:
    async with harness.engine(only(sleeps)) as engine:
        await engine.start("only", {}, "p")
        await harness.until_content("p", "here")
        await engine.signal("p", "pause", "maria")
        await harness.until_content("p", "Paused by maria")
        await engine.signal("p", "cancel", "otto")
        assert await harness.outcome(engine, "p") == PlanOutcome("cancelled", message="Stopped by otto")
    await harness.events("p")


async def test_a_signal_to_a_plan_that_does_not_run_is_refused(harness: EngineHarness) -> None:
    async with harness.engine(only(nothing)) as engine:
        with pytest.raises(NotRunHere, match="'p'"):
            await engine.signal("p", "cancel", "maria")
        await engine.start("only", {}, "p")
        await harness.outcome(engine, "p")
        with pytest.raises(NotRunHere, match="has ended"):
            await engine.signal("p", "cancel", "maria")
        with pytest.raises(ValueError, match="signal"):
            await engine.signal("p", "explode", "maria")  # type: ignore[arg-type]
    assert threading.active_count() < 100
    await harness.events("p")
