"""Questions and their answers through every log."""

from __future__ import annotations

import asyncio

from broadcasters import Broadcaster
from broadcasters.checkpointing import snapshot_of, take_checkpoint
from broadcasters.log.contract import PlanLog
from broadcasters.snapshot import Snapshot

PLAN = "plan-1"
DEADLINE_S = 60


async def until_waiting(log: PlanLog) -> Snapshot:
    async with asyncio.timeout(DEADLINE_S):
        while (plan := (await snapshot_of(log, PLAN))[0]).status != "waiting":
            await asyncio.sleep(0.01)
    return plan


async def test_a_question_is_answered_once_and_keeps_its_answer(log: PlanLog, log_url: str) -> None:
    async with Broadcaster(log_url) as b, asyncio.timeout(DEADLINE_S):
        asked = asyncio.create_task(b.approve(PLAN, "Send it?", key="send"))
        await until_waiting(log)
        async with Broadcaster(log_url) as person:
            await person.send_input_response(PLAN, "send", "yes", by="maria")
            await person.send_input_response(PLAN, "send", "no", by="jo")
        assert ((await asked).value, (await asked).by) == ("yes", "maria")
        assert (await snapshot_of(log, PLAN))[0].status == "in_progress"
        head = await log.head(PLAN)
    await take_checkpoint(log, PLAN, window=0)
    async with Broadcaster(log_url) as restarted, asyncio.timeout(DEADLINE_S):
        assert await restarted.approve(PLAN, "Send it?", key="send") == await asked
    assert (await log.head(PLAN)).offset == head.offset


async def test_the_clock_answers_a_question_that_expires(log: PlanLog, log_url: str) -> None:
    async with Broadcaster(log_url) as b, asyncio.timeout(DEADLINE_S):
        assert await b.ask(PLAN, "Which city?", key="city", expires_in=0.05, default="Rome") == "Rome"
    plan = (await snapshot_of(log, PLAN))[0]
    assert [(request.request_id, request.by) for request in plan.inputs] == [("city", "the clock")]
