"""Runs reported as plans of their own."""

from __future__ import annotations

import asyncio

from broadcasters import Broadcaster
from plan_engine.adapters.plan_sink import reporting
from plan_engine.adapters.sink import MessageHeader, ToolInvocation
from plan_engine.model.interaction import InputQuestion
from tests.plan_engine.adapters.person import Person, steps_of


async def test_a_step_that_asks_two_things_waits_until_both_are_answered(
    broadcaster: Broadcaster, person: Person
) -> None:
    question = InputQuestion("clarification", "Who?")
    async with reporting(person.plan_id, broadcaster, name="Test") as sink:
        await sink.step("both", "in_progress", title="Both")
        asking = [asyncio.create_task(sink.ask(name, question, agent="A", step_id="both")) for name in "ab"]
        asked = dict(zip("ab", sorted(await person.is_asked(2), key=lambda one: one.request_id), strict=True))
        await person.answers(asked["a"], "Ada")
        await asking[0]
        plan = await person.sees()
        assert (plan.status, steps_of(plan)) == ("waiting", [("Both", "waiting")])
        await person.answers(asked["b"], "Grace")
        await asking[1]
        plan = await person.sees()
        assert (plan.status, steps_of(plan)) == ("in_progress", [("Both", "in_progress")])


async def test_what_a_dead_run_left_open_is_reported_as_broken_off(
    log_url: str, broadcaster: Broadcaster, person: Person
) -> None:
    dying = await Broadcaster(log_url).open()

    async def first() -> None:
        async with reporting(person.plan_id, dying, name="Test") as sink:
            await sink.step("s", "in_progress", title="S")
            await sink.tool_started(ToolInvocation("c", "search", "A"))
            await sink.write(MessageHeader("m", "A"), "half a sen")
            await asyncio.Event().wait()

    run = asyncio.create_task(first())
    await person.until(lambda plan: plan.messages)
    await dying.close()
    run.cancel()
    await asyncio.wait([run])

    async with reporting(person.plan_id, broadcaster, name="Test"):
        assert steps_of(await person.sees()) == [("S", "in_progress")]
    plan = await person.sees()
    assert (plan.status, steps_of(plan)) == ("completed", [("S", "cancelled")])
    assert [call.phase for call in plan.tool_calls] == ["error"]
    assert [(said.content, said.streaming, said.error) for said in plan.messages] == [
        ("half a sen", False, "broken off")
    ]
