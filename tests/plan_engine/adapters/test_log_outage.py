"""While the log is unavailable, a run waits; its question stays open, and no event is repeated."""

from __future__ import annotations

import asyncio

from langgraph.checkpoint.memory import InMemorySaver

from broadcasters import Broadcaster
from plan_engine.adapters.langgraph import run_langgraph
from tests.plan_engine.adapters.graphs import shop
from tests.plan_engine.adapters.person import Person, steps_of
from tests.servers.process import RedisServer


async def test_redis_restarts_while_a_person_is_asked() -> None:
    with RedisServer(appendonly="yes", appendfsync="always") as redis:
        async with Broadcaster(redis.url) as broadcaster:
            person = Person(broadcaster, "shop-9")
            run = run_langgraph("shop-9", shop(InMemorySaver()), {}, broadcaster=broadcaster)
            running = asyncio.create_task(run)
            (asked,) = await person.is_asked()
            await asyncio.to_thread(redis.restart)
            await person.answers(asked, "yes")
            assert (await running)["notes"] == ["sent: yes"]
            plan = await person.sees()
            assert plan.status == "completed"
            assert [status for _, status in steps_of(plan)] == ["completed"] * 4
            assert len(plan.inputs) == 1


async def test_a_question_lost_with_the_log_is_asked_again() -> None:
    with RedisServer() as redis:
        async with Broadcaster(redis.url) as broadcaster:
            person = Person(broadcaster, "shop-10")
            run = run_langgraph("shop-10", shop(InMemorySaver()), {}, broadcaster=broadcaster)
            running = asyncio.create_task(run)
            (asked,) = await person.is_asked()
            await asyncio.to_thread(redis.restart, empty=True)
            await broadcaster.send_plan_update("shop-10", content="The log was lost.")
            again = (await person.until(lambda plan: plan.inputs)).inputs[0]
            assert again.request_id == asked.request_id
            await person.answers(again, "yes")
            assert (await running)["notes"] == ["sent: yes"]
            assert (await person.sees()).status == "completed"
