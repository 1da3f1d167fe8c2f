"""A plan whose log is full: it waits, logs one warning, and continues when there is room again."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from broadcasters.errors import LogFull, LogUnavailable
from plan_engine import Context, Plan, Step, template
from tests.broadcasters.faults import FaultyLog, until
from tests.plan_engine.harness import EngineHarness, statuses

pytestmark = pytest.mark.faults


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncGenerator[EngineHarness]:
    async with EngineHarness(tmp_path) as harness:
        yield harness


@pytest.mark.parametrize("doubtful", [False, True])
async def test_a_plan_waits_while_its_log_is_full(
    harness: EngineHarness, caplog: pytest.LogCaptureFixture, doubtful: bool
) -> None:
    harness.log = log = FaultyLog(harness.log)

    async def send(ctx: Context) -> str:
        await ctx.say("before")
        log.calls.clear()
        log.error = LogUnavailable("no answer") if doubtful else LogFull("no room")
        await ctx.say("after")
        return "said"

    @template("talk", title="Talk")
    def talk(_: object) -> Plan:
        return Plan("Talk", [Step("a", "A", send)])

    async with harness.engine(talk) as engine:
        await engine.start("talk", {}, "p")
        await until(lambda: log.error and log.calls)
        log.error = LogFull("no room")
        log.calls.clear()
        await until(lambda: len(log.calls) > 2)
        log.error = None
        await harness.outcome(engine, "p")
    events = await harness.events("p")
    assert [event.data["content"] for event in events if event.type == "agent_message"] == ["before", "after"]
    assert statuses(events, "a")[-1] == "completed"
    assert events[-1].data["status"] == "completed"
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "no room" in warnings[0]


async def test_a_plan_starts_while_its_log_is_full(harness: EngineHarness) -> None:
    harness.log = log = FaultyLog(harness.log)

    async def send(ctx: Context) -> None:
        await ctx.say("at last")

    @template("talk", title="Talk")
    def talk(_: object) -> Plan:
        return Plan("Talk", [Step("a", "A", send)])

    async with harness.engine(talk) as engine:
        log.error = LogFull("no room")
        await engine.start("talk", {}, "p")
        log.error = None
        await harness.outcome(engine, "p")
    assert (await harness.events("p"))[-1].data["status"] == "completed"
