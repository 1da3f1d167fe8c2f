"""A question is asked once and answered once, across attempts and restarts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy.event import listen
from sqlalchemy.exc import OperationalError

from broadcasters.questions import CLOCK
from hub.core.connection import RequestRefused
from plan_engine import BlockingContext, Context, Expired, StepFailed
from plan_engine.engine import PlanOutcome
from plan_engine.model.interaction import Answer
from tests.plan_engine.event_rules import events_of
from tests.plan_engine.harness import DEADLINE_S, EngineHarness, statuses
from tests.plan_engine.test_engine import only


@pytest.mark.parametrize(
    ("value", "means_yes"),
    [
        (True, True),
        ("yes", True),
        (" Approve", True),
        ({"approved": True}, True),
        ({"value": "ok"}, True),
        (False, False),
        ("no", False),
        (1, False),
        (None, False),
        ({"approved": False, "value": "yes"}, False),
        (["yes"], False),
    ],
)
def test_an_answer_is_true_when_it_means_yes(value: Any, means_yes: bool) -> None:
    assert bool(Answer(value)) is means_yes


async def test_an_approval_waits_for_a_person_and_is_reported(harness: EngineHarness) -> None:
    async def agent(ctx: Context) -> Any:
        approval = await ctx.approve("Send it?")
        return [bool(approval), approval.by, approval.at is not None]

    async with harness.engine(only(agent)) as engine:
        await engine.start("only", {}, "p")
        request_id = await harness.until_asked("p")
        await harness.until("p", lambda event: event.type == "plan_update" and event.data["status"] == "waiting")
        await harness.answer("p", request_id, "yes", by="maria")
        assert (await harness.outcome(engine, "p")).result == [True, "maria", True]
    events = await harness.events("p")
    assert statuses(events, "a") == ["pending", "in_progress", "waiting", "in_progress", "completed"]
    plan = [e.data["status"] for e in events if e.type == "plan_update"]
    assert plan == ["pending", "in_progress", "waiting", "in_progress", "completed"]
    asked = next(e for e in events if e.type == "input_request")
    assert (asked.data["kind"], asked.data["options"], asked.data["step_id"]) == ("approval", ["yes", "no"], "a")


async def test_questions_and_choices_from_a_thread(harness: EngineHarness) -> None:
    def agent(ctx: BlockingContext) -> Any:
        name = ctx.ask("Who?", schema={"type": "string"})
        colour = ctx.choose("Which?", [{"value": "r", "label": "Red"}, "green"])
        return [name, colour, bool(ctx.approve("Sure?")), ctx.await_input("clarification", "And?").value]

    async with harness.engine(only(agent)) as engine:
        await engine.start("only", {}, "p")
        for prompt, answer in (("Who?", "Ada"), ("Which?", "r"), ("Sure?", "no"), ("And?", None)):
            asked = await harness.until("p", lambda event, prompt=prompt: event.data.get("prompt") == prompt)  # type: ignore[misc]
            await harness.answer("p", asked.data["request_id"], answer)
        assert (await harness.outcome(engine, "p")).result == ["Ada", "r", False, None]
    await harness.events("p")


async def test_the_first_answer_is_the_answer(harness: EngineHarness) -> None:
    async def agent(ctx: Context) -> Any:
        return await ctx.ask("Which city?")

    async with harness.engine(only(agent)) as engine:
        await engine.start("only", {}, "p")
        request_id = await harness.until_asked("p")
        given = [harness.answer("p", request_id, city, by=city) for city in ("Rome", "Oslo", "Bern")]
        outcomes = await asyncio.gather(*given, return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, RequestRefused)]
        ended = await harness.outcome(engine, "p")
    assert len(refused) == 2
    assert ended.result in ("Rome", "Oslo", "Bern")
    assert all(ended.result in str(refusal) for refusal in refused)
    await harness.events("p")


async def test_an_answer_given_while_no_worker_ran_is_found(harness: EngineHarness) -> None:
    async def agent(ctx: Context) -> Any:
        await ctx.think(f"Attempt {ctx.attempt}")
        return [await ctx.ask("Which city?"), ctx.attempt]

    async with harness.engine(only(agent)) as engine:
        await engine.start("only", {}, "p")
        request_id = await harness.until_asked("p")
        await harness.until_step("p", "a", "waiting")
    await harness.answer("p", request_id, "Rome")
    async with harness.engine(only(agent)) as engine:
        assert (await harness.outcome(engine, "p")).result == ["Rome", 1]
    events = await harness.events("p")
    assert statuses(events, "a") == ["pending", "in_progress", "waiting", "in_progress", "completed"]
    assert sum(e.type == "input_request" for e in events) == 1


async def test_an_agent_that_only_waited_returns_to_its_question_without_repeating_events(
    harness: EngineHarness,
) -> None:
    at_the_question = asyncio.Event()

    async def agent(ctx: Context) -> Any:
        await ctx.think("A city is wanted")
        await ctx.progress(20, "Looking at the map")
        async with ctx.tool("atlas") as use:
            use.result = "of the world"
        async with ctx.stream() as message:
            await message.write("So many cities")
        at_the_question.set()
        city = await ctx.ask("Which city?")
        await ctx.say(f"{city} it is")
        return [city, ctx.attempt, ctx.max_attempts]

    async with harness.engine(only(agent)) as engine:
        await engine.start("only", {}, "p")
        request_id = await harness.until_asked("p")
        await harness.until_step("p", "a", "waiting")
    before = await harness.events_so_far("p")
    for _ in range(2):
        at_the_question.clear()
        async with harness.engine(only(agent)):
            await asyncio.wait_for(at_the_question.wait(), DEADLINE_S)
    assert await harness.events_so_far("p") == before
    await harness.answer("p", request_id, "Rome")
    async with harness.engine(only(agent)) as engine:
        assert (await harness.outcome(engine, "p")).result == ["Rome", 1, 1]
    events = await harness.events("p")
    assert statuses(events, "a") == ["pending", "in_progress", "in_progress", "waiting", "in_progress", "completed"]
    [asks, answered] = [e.data["content"] for e in events if e.type == "step_update" and "content" in e.data][1:3]
    assert (asks, answered) == ("Which city?", "")
    assert [e.data["content"] for e in events if e.type == "agent_message" and "message_id" not in e.data] == [
        "A city is wanted",
        "Rome it is",
    ]


async def test_an_agent_that_returns_with_another_question_is_asked_again(harness: EngineHarness) -> None:
    questions = iter(["Which city?", "Which country?"])

    async def agent(ctx: Context) -> Any:
        where = await ctx.ask(next(questions))
        async with ctx.tool("atlas") as use:
            use.result = where
        return where

    async with harness.engine(only(agent)) as engine:
        await engine.start("only", {}, "p")
        await harness.until_step("p", "a", "waiting")
    async with harness.engine(only(agent)) as engine:
        await engine.start("only", {}, "p")
        asked = await harness.until("p", lambda event: event.data.get("prompt") == "Which country?")
        await harness.answer("p", asked.data["request_id"], "Italy")
        assert (await harness.outcome(engine, "p")).result == "Italy"
    assert [e.data["phase"] for e in await events_of(harness.log, "p") if e.type == "tool_call"] == [
        "started",
        "completed",
    ]


async def test_an_answer_survives_attempts_restarts_and_the_loss_of_the_log(harness: EngineHarness) -> None:
    async def agent(ctx: Context) -> Any:
        city = await ctx.ask("Which city?")
        if ctx.attempt == 1:
            raise StepFailed("The atlas is closed")
        if ctx.attempt == 2:
            await ctx.say("Holding on")
            await ctx.sleep(600)
        return [city, ctx.attempt]

    async with harness.engine(only(agent, retries=1, backoff=0)) as engine:
        await engine.start("only", {}, "p")
        await harness.answer("p", await harness.until_asked("p"), "Rome")
        await harness.until_content("p", "Holding on")
    await harness.events_so_far("p")
    async with harness.engine(only(agent, retries=1, backoff=0)) as engine:
        assert (await harness.outcome(engine, "p")).result == ["Rome", 3]
    events = await harness.events("p")
    assert sum(e.type == "input_request" for e in events) == 1


async def test_stored_answers_are_used_when_the_log_is_lost(harness: EngineHarness) -> None:
    async def agent(ctx: Context) -> Any:
        city = await ctx.ask("Which city?")
        if not ctx.input["go"].exists():
            await ctx.say("Holding on")
            await ctx.sleep(600)
        return city

    flag = harness.directory / "go"

    async def with_flag(ctx: Context) -> Any:
        ctx.input = {"go": flag}
        return await agent(ctx)

    async with harness.engine(only(with_flag)) as engine:
        await engine.start("only", {}, "p")
        await harness.answer("p", await harness.until_asked("p"), "Rome")
        await harness.until_content("p", "Holding on")
    flag.touch()
    await harness.log.delete("p")
    async with harness.engine(only(with_flag)) as engine:
        assert (await harness.outcome(engine, "p")).result == "Rome"
    events = await harness.events("p")
    assert sum(e.type == "input_request" for e in events) == 0, "it was answered, so it isn't asked again"


async def test_the_same_question_again_in_one_attempt_is_a_new_one(harness: EngineHarness) -> None:
    async def agent(ctx: Context) -> Any:
        cities = []
        while "Rome" not in cities:
            cities.append(await ctx.ask("Which city?"))
        return cities

    async with harness.engine(only(agent)) as engine:
        await engine.start("only", {}, "p")
        first = await harness.until_asked("p")
        await harness.answer("p", first, "Atlantis")
        second = await harness.until(
            "p", lambda event: event.type == "input_request" and event.data["request_id"] != first
        )
        await harness.answer("p", second.data["request_id"], "Rome")
        assert (await harness.outcome(engine, "p")).result == ["Atlantis", "Rome"]
    await harness.events("p")


async def test_a_step_that_asks_two_things_at_once_waits_until_both_are_answered(harness: EngineHarness) -> None:
    async def agent(ctx: Context) -> Any:
        async def ask(question: str) -> Any:
            answer = await ctx.ask(question)
            await ctx.say(f"Heard {answer}")
            return answer

        return await asyncio.gather(ask("Who?"), ask("When?"))

    async with harness.engine(only(agent)) as engine:
        await engine.start("only", {}, "p")
        await harness.until_step("p", "a", "waiting")
        asked = {state.prompt: state.request_id for state in (await harness.snapshot("p")).inputs}
        await harness.answer("p", asked["Who?"], "Ada")
        await harness.until_content("p", "Heard Ada")
        assert [step.status for step in (await harness.snapshot("p")).steps] == ["waiting"]
        await harness.answer("p", asked["When?"], "Monday")
        assert (await harness.outcome(engine, "p")).result == ["Ada", "Monday"]
    assert statuses(await harness.events("p"), "a") == ["pending", "in_progress", "waiting", "in_progress", "completed"]


async def test_an_answer_is_stored_after_the_database_was_unavailable(harness: EngineHarness) -> None:
    refused: list[str] = []

    def away(*said: Any) -> None:
        if "INSERT INTO plancast_answers" in said[2] and len(refused) < 2:
            refused.append(said[2])
            raise OperationalError(said[2], None, Exception("server closed the connection"))

    async def agent(ctx: Context) -> Any:
        return await ctx.ask("Who?")

    async with harness.engine(only(agent)) as engine:
        listen(engine._store.engine, "before_cursor_execute", away)
        await engine.start("only", {}, "p")
        await harness.answer("p", await harness.until_asked("p"), "Ada")
        assert (await harness.outcome(engine, "p")).result == "Ada"
    assert len(refused) == 2
    await harness.events("p")


async def test_a_question_that_expires_has_its_default_as_answer(harness: EngineHarness) -> None:
    async def agent(ctx: Context) -> Any:
        choice = await ctx.choose("Red or green?", ["red", "green"], expires_in=0.05, default="green")
        with pytest.raises(Expired):
            await ctx.ask("Who?", expires_in=0.05)
        return choice

    async with harness.engine(only(agent)) as engine:
        await engine.start("only", {}, "p")
        assert (await harness.outcome(engine, "p")).result == "green"
    events = await harness.events("p")
    assert [e.data["by"] for e in events if e.type == "input_response"] == [CLOCK, CLOCK]
    assert all("expires_at" in e.data for e in events if e.type == "input_request")


async def test_a_question_that_expired_fails_the_step_at_once(harness: EngineHarness) -> None:
    async def agent(ctx: Context) -> Any:
        return await ctx.ask("Who?", expires_in=0.05)

    async with harness.engine(only(agent, retries=5)) as engine:
        await engine.start("only", {}, "p")
        ended = await harness.outcome(engine, "p")
    assert ended == PlanOutcome("error", message="“Do a” failed: No answer in time: Who?")
    await harness.events("p")


async def test_an_agent_may_stop_waiting_for_an_answer(harness: EngineHarness) -> None:
    async def agent(ctx: Context) -> str:
        try:
            async with asyncio.timeout(0.05):
                await ctx.ask("Who?")
        except TimeoutError:
            return "enough"
        return "never"

    async with harness.engine(only(agent)) as engine:
        await engine.start("only", {}, "p")
        assert (await harness.outcome(engine, "p")).result == "enough"
    events = await harness.events("p")
    assert [e.data["status"] for e in events if e.type == "plan_update"][-2:] == ["in_progress", "completed"]
