"""Plans run to their end, and their events violate no rule."""

from __future__ import annotations

import asyncio
import stat
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import BaseModel, Field

from plan_engine import (
    BlockingContext,
    Context,
    EngineMisconfigured,
    EngineUnavailable,
    NotRunHere,
    Plan,
    Rate,
    Step,
    StepFailed,
    template,
)
from plan_engine.engine import Engine, PlanOutcome
from plan_engine.worker.store import delete_old_runs
from tests.plan_engine.harness import DEADLINE_S, EngineHarness, statuses
from tests.servers.postgres import PostgresServer


async def nothing(ctx: Context) -> None: ...


def only(agent: Any, **options: Any) -> Any:
    """A template of one step."""

    @template("only", title="One step")
    def one(_: Any) -> Plan:
        return Plan("One step", [Step("a", "Do a", agent, **options)])

    return one


async def run(harness: EngineHarness, agent: Any, **options: Any) -> tuple[PlanOutcome, list[Any]]:
    async with harness.engine(only(agent, **options)) as engine:
        await engine.start("only", {}, "p")
        ended = await harness.outcome(engine, "p")
    return ended, await harness.events("p")


# ---- completing


async def test_steps_run_in_parallel_and_in_order(harness: EngineHarness) -> None:
    meeting = asyncio.Barrier(2)

    async def gather(ctx: Context) -> dict[str, int]:
        await ctx.think("Let me see")
        return {"orders": ctx.input["orders"]}

    async def one_of_two(ctx: Context) -> int:
        await meeting.wait()  # neither continues without the other
        await ctx.progress(50, "Half of it")
        return int(ctx.results["gather"]["orders"]) * 2

    async def report(ctx: Context) -> dict[str, int]:
        async with ctx.stream() as message:
            for word in ("All ", "is ", "well."):
                await message.write(word)
        return {"sum": ctx.results["left"] + ctx.results["right"]}

    @template("shop", title="A shop")
    def shop(_: Any) -> Plan:
        steps = [
            Step("gather", "Gather", gather, weight=2),
            Step("left", "Left", one_of_two, ["gather"]),
            Step("right", "Right", one_of_two, ["gather"]),
            Step("report", "Report", report, ["left", "right"], agent_name="Ada"),
        ]
        return Plan("A shop", steps, labels=["shop"])

    async with harness.engine(shop) as engine:
        await engine.start("shop", {"orders": 21}, "shop-1", owner="maria")
        assert await harness.outcome(engine, "shop-1") == PlanOutcome("completed", {"sum": 84})
    events = await harness.events("shop-1")
    assert statuses(events, "left") == ["pending", "in_progress", "in_progress", "completed"]
    snapshot = await harness.snapshot("shop-1")
    assert (snapshot.status, snapshot.progress, snapshot.result) == ("completed", 100.0, {"sum": 84})
    assert (snapshot.title, snapshot.owner, snapshot.labels) == ("A shop", "maria", ("shop",))
    assert [(m.agent_name, m.content) for m in snapshot.messages] == [
        ("Gather", "Let me see"),
        ("Ada", "All is well."),
    ]
    assert [step.data for step in snapshot.steps] == [{"orders": 21}, {"result": 42}, {"result": 42}, {"sum": 84}]


async def test_everything_an_agent_reports_belongs_to_its_step(harness: EngineHarness) -> None:
    async def agent(ctx: Context) -> str:
        await ctx.think("Hm")
        await ctx.act("Counting", data={"n": 1})
        await ctx.say("Three", agent="Somebody else")
        async with ctx.tool("count", what="orders") as use:
            use.result = 3
        with pytest.raises(ZeroDivisionError):
            async with ctx.tool("divide"):
                _ = 1 / 0
        await ctx.artifact("list.json", "application/json", data=[1, 2, 3])
        return f"{ctx.plan_id} {ctx.step.id} {ctx.attempt}/{ctx.max_attempts} {ctx.key} {ctx.owner} {ctx.cancelled}"

    ended, events = await run(harness, agent)
    assert ended.result == "p a 1/1 p/a None False"
    messages = [e.data for e in events if e.type == "agent_message"]
    assert [(said["agent_name"], said["content"], said["message_type"]) for said in messages] == [
        ("Agent", "Hm", "thinking"),
        ("Agent", "Counting", "action"),
        ("Somebody else", "Three", "result"),
    ]
    calls = [(e.data["tool_name"], e.data["phase"], e.data.get("result")) for e in events if e.type == "tool_call"]
    assert calls == [
        ("count", "started", None),
        ("count", "completed", 3),
        ("divide", "started", None),
        ("divide", "error", "division by zero"),
    ]
    assert [e.data["artifact_id"] for e in events if e.type == "artifact"] == ["a/list.json"]
    assert {e.data.get("step_id") for e in events} == {None, "a"}


async def test_a_synchronous_agent_reports_from_a_thread(harness: EngineHarness) -> None:
    where: list[threading.Thread] = []

    def agent(ctx: BlockingContext) -> str:
        where.append(threading.current_thread())
        ctx.think("Hm")
        ctx.act("Counting")
        with ctx.stream("thinking") as message:
            message.write("one ")
            message.write("two")
        with ctx.tool("count") as use:
            use.result = 2
        with pytest.raises(ZeroDivisionError), ctx.tool("divide"):
            _ = 1 / 0
        ctx.artifact("n", "text/plain", data="2")
        ctx.progress(80, "Nearly")
        ctx.sleep(0.01)
        ctx.checkpoint()
        return f"{ctx.plan_id} {ctx.step.id} {ctx.attempt}/{ctx.max_attempts} {ctx.key} {ctx.input} {ctx.results}"

    ended, events = await run(harness, agent)
    assert ended.result == "p a 1/1 p/a {} {}"
    assert where[0] is not threading.main_thread()
    snapshot = await harness.snapshot("p")
    assert [m.content for m in snapshot.messages] == ["Hm", "Counting", "one two"]
    assert [e.data["phase"] for e in events if e.type == "tool_call"] == ["started", "completed", "started", "error"]


class Model(BaseModel):
    name: str
    tags: list[str] = Field(default_factory=list)


async def test_a_pydantic_model_is_reported_and_recorded_as_json(harness: EngineHarness) -> None:
    async def agent(ctx: Context) -> Model:
        return Model(name="Ada", tags=["x"])

    ended, _ = await run(harness, agent)
    assert ended.result == {"name": "Ada", "tags": ["x"]}


async def test_a_result_too_large_for_an_event_reaches_the_next_step(harness: EngineHarness) -> None:
    async def large(ctx: Context) -> str:
        return "x" * 400_000

    async def measure(ctx: Context) -> int:
        return len(ctx.results["large"])

    @template("large", title="Large")
    def plan(_: Any) -> Plan:
        return Plan("Large", [Step("large", "L", large), Step("measure", "M", measure, ["large"])])

    async with harness.engine(plan) as engine:
        await engine.start("large", {}, "p")
        assert (await harness.outcome(engine, "p")).result == 400_000
    await harness.events("p")


# ---- failing


async def test_attempts_are_visible_and_the_last_one_counts(harness: EngineHarness) -> None:
    async def flaky(ctx: Context) -> int:
        await ctx.think(f"Try {ctx.attempt}")
        if ctx.attempt < 3:
            raise ConnectionError("connection refused by 10.0.0.7")
        return ctx.attempt

    ended, events = await run(harness, flaky, retries=2, backoff=0.01)
    assert ended.result == 3
    tries = [
        (e.data["status"], e.data.get("attempt"), e.data.get("max_attempts")) for e in events if e.type == "step_update"
    ]
    assert tries == [
        ("pending", None, 3),
        ("in_progress", 1, 3),
        ("retrying", 2, 3),
        ("in_progress", 2, 3),
        ("retrying", 3, 3),
        ("in_progress", 3, 3),
        ("completed", 3, 3),
    ]
    retrying = next(e for e in events if e.data.get("status") == "retrying")
    assert retrying.data["content"] == "Something it needs could not be reached. Trying again in 0.01 s"
    assert retrying.data["data"]["error"] == {"type": "ConnectionError"}
    assert retrying.data["data"]["pause"] == 0.01


async def test_a_failing_step_fails_the_plan_with_a_message_for_people(harness: EngineHarness) -> None:
    async def shop(ctx: Context) -> None:
        raise StepFailed("The shop's books are closed on Sundays")

    async def sleeper(ctx: Context) -> None:
        await ctx.sleep(600)

    @template("sunday", title="Sunday")
    def plan(_: Any) -> Plan:
        steps = [
            Step("books", "Read the books", shop),
            Step("beside", "Beside it", sleeper),
            Step("after", "After it", nothing, ["books"]),
        ]
        return Plan("Sunday", steps)

    async with harness.engine(plan, tracebacks=True) as engine:
        await engine.start("sunday", {}, "p")
        ended = await harness.outcome(engine, "p")
    assert ended == PlanOutcome("error", message="“Read the books” failed: The shop's books are closed on Sundays")
    events = await harness.events("p")
    assert [statuses(events, step)[-1] for step in ("books", "beside", "after")] == ["error", "cancelled", "skipped"]
    snapshot = await harness.snapshot("p")
    assert (snapshot.status, snapshot.content) == ("error", ended.message)
    assert snapshot.result is not None
    assert snapshot.result["step_id"] == "books"
    assert "StepFailed" in snapshot.result["error"]["traceback"]


async def test_a_step_may_be_skipped_with_those_that_need_it(
    harness: EngineHarness, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(ctx: Context) -> None:
        raise RuntimeError("secret detail")

    async def fine(ctx: Context) -> str:
        return "fine"

    @template("skip", title="Skip")
    def plan(_: Any) -> Plan:
        steps = [
            Step("broken", "Weather", broken, on_failure="skip"),
            Step("needs", "Umbrella", nothing, ["broken"]),
            Step("deeper", "Go out", nothing, ["needs", "fine"]),
            Step("fine", "Something else", fine),
        ]
        return Plan("Skip", steps)

    async with harness.engine(plan) as engine:
        await engine.start("skip", {}, "p")
        assert await harness.outcome(engine, "p") == PlanOutcome("completed", {})
    events = await harness.events("p")
    assert [statuses(events, s)[-1] for s in ("broken", "needs", "deeper", "fine")] == [*["skipped"] * 3, "completed"]
    told = [e.data.get("content") or "" for e in events]
    assert "Something went wrong" in told
    assert "It needs “Weather”, which was skipped" in told
    assert not any("secret" in str(e.data) for e in events)
    assert "RuntimeError: secret detail" in caplog.text


async def test_an_attempt_that_takes_too_long_is_ended(harness: EngineHarness) -> None:
    cancelled: list[bool] = []

    async def slow(ctx: Context) -> None:
        try:
            await asyncio.sleep(600)
        finally:
            cancelled.append(True)

    ended, _ = await run(harness, slow, timeout=0.05)
    assert ended.message == "“Do a” failed: It took longer than 0.05 s"
    assert cancelled == [True]


async def test_a_thread_that_takes_too_long_reports_nothing_more(harness: EngineHarness) -> None:
    release, done = threading.Event(), threading.Event()
    outcome: list[BaseException] = []

    def slow(ctx: BlockingContext) -> None:
        release.wait(30)
        try:
            ctx.say("too late")
        except BaseException as error:
            outcome.append(error)
            raise
        finally:
            done.set()

    ended, events = await run(harness, slow, timeout=0.05)
    assert ended.status == "error"
    release.set()
    assert await asyncio.to_thread(done.wait, 30)
    assert type(outcome[0]).__name__ == "Cancelled"
    assert len(await harness.events("p")) == len(events)


@pytest.mark.parametrize("value", [object(), {1, 2, 3, None}, {"f": nothing}])
async def test_a_result_that_is_not_json_fails_the_step(harness: EngineHarness, value: Any) -> None:
    async def odd(ctx: Context) -> Any:
        return value

    ended, _ = await run(harness, odd, retries=3)
    if value == {1, 2, 3, None}:
        assert ended.status == "completed", "a set is a list"
    else:
        assert "cannot be converted to JSON" in (ended.message or "")


def ends_itself(_: Any) -> None:
    sys.exit(3)


async def ends_itself_at_once(_: Any) -> None:
    sys.exit(3)


def interrupts(_: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("agent", [ends_itself, ends_itself_at_once, interrupts])
async def test_an_agent_that_tries_to_end_the_process_only_fails_its_step(harness: EngineHarness, agent: Any) -> None:
    ended, events = await run(harness, agent, retries=1, backoff=0.01)
    assert ended.status == "error"
    assert statuses(events, "a") == ["pending", "in_progress", "retrying", "in_progress", "error"]


async def test_a_plain_function_that_returns_a_coroutine_fails_with_an_explanation(harness: EngineHarness) -> None:
    ended, _ = await run(harness, lambda ctx: nothing(ctx))
    assert "it returned a coroutine" in (ended.message or "")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("error", [StepFailed("caf\udce9"), FileNotFoundError("caf\udce9"), Mute()])
async def test_an_error_whose_message_cannot_be_encoded_is_reported_like_any_other(
    harness: EngineHarness, error: Exception
) -> None:
    async def agent(ctx: Context) -> str:
        if ctx.attempt == 1:
            raise error
        return "done"

    ended, _ = await run(harness, agent, retries=1, backoff=0.01)
    assert ended.result == "done"


@pytest.mark.parametrize("result", [object(), "x" * 400_000])
async def test_a_tool_whose_result_cannot_be_encoded_is_not_left_open(harness: EngineHarness, result: Any) -> None:
    async def agent(ctx: Context) -> None:
        async with ctx.tool("sql") as use:
            use.result = result

    _, events = await run(harness, agent)
    assert [e.data["phase"] for e in events if e.type == "tool_call"] == ["started", "error"]


async def test_a_tool_error_that_cannot_be_encoded_stays_that_error(harness: EngineHarness) -> None:
    async def agent(ctx: Context) -> None:
        async with ctx.tool("open"):
            raise FileNotFoundError("caf\udce9")

    _, events = await run(harness, agent)
    assert [e.data.get("result") for e in events if e.type == "tool_call"] == [None, "caf?"]
    assert events[-1].data["data"]["error"]["type"] == "FileNotFoundError"


async def test_a_plan_whose_result_cannot_be_made_fails(harness: EngineHarness) -> None:
    @template("odd", title="Odd")
    def plan(_: Any) -> Plan:
        return Plan("Odd", [Step("a", "A", nothing)], result=lambda results: results["b"])

    async with harness.engine(plan) as engine:
        await engine.start("odd", {}, "p")
        assert (await harness.outcome(engine, "p")).status == "error"
    await harness.events("p")


async def test_what_an_agent_left_open_is_closed_when_it_fails(harness: EngineHarness) -> None:
    async def agent(ctx: Context) -> None:
        async with ctx.stream() as message:
            await message.write("half a sen")
            await ctx._reporter.open_tool("Agent", "forgotten", None)
            raise RuntimeError

    _, events = await run(harness, agent)
    final = next(e for e in events if e.data.get("final"))
    assert final.data["error"] == "the agent failed: RuntimeError"
    assert [e.data["phase"] for e in events if e.type == "tool_call"] == ["started", "error"]


async def test_an_artifact_is_shown_once_and_its_versions_in_order(harness: EngineHarness) -> None:
    async def agent(ctx: Context) -> None:
        for version in ("a", "b", "a"):
            await ctx.artifact("thing", "text/plain", data=version)
        if ctx.attempt == 1:
            raise StepFailed("Once more")

    _, events = await run(harness, agent, retries=1, backoff=0)
    assert [e.data["data"] for e in events if e.type == "artifact"] == ["a", "b", "a"]


# ---- starting


async def test_starting_twice_changes_nothing(harness: EngineHarness) -> None:
    runs: list[str] = []

    async def agent(ctx: Context) -> str:
        runs.append(ctx.input["name"])
        return str(ctx.input["name"])

    async with harness.engine(only(agent)) as engine:
        assert all(await asyncio.gather(*(engine.start("only", {"name": "Ada"}, "p") for _ in range(3))))
        assert (await harness.outcome(engine, "p")).result == "Ada"
        assert not await engine.start("only", {"name": "Bob"}, "p")
        assert await engine.start("only", {"name": "Ada"}, "p")
        assert (await harness.outcome(engine, "p")).result == "Ada"
    await harness.events("p")
    assert runs == ["Ada"]


async def test_a_step_may_have_a_name_that_the_engine_uses(harness: EngineHarness) -> None:
    @template("namesakes", title="Namesakes")
    def namesakes(_: Any) -> Plan:
        return Plan("Namesakes", [Step("plan", "Plan", nothing), Step("signal", "Signal", nothing, ["plan"])])

    async with harness.engine(namesakes) as engine:
        await engine.start("namesakes", {}, "p")
        assert (await harness.outcome(engine, "p")).status == "completed"
    assert (await harness.snapshot("p")).status == "completed"


async def test_the_id_of_a_deleted_plan_is_free_again(harness: EngineHarness) -> None:
    async def agent(ctx: Context) -> str:
        return str(ctx.input["name"])

    async with harness.engine(only(agent)) as engine:
        await engine.start("only", {"name": "Ada"}, "p")
        assert (await harness.outcome(engine, "p")).result == "Ada"
        await harness.log.delete("p")
        await engine.start("only", {"name": "Bob"}, "p")
        assert (await harness.outcome(engine, "p")).result == "Bob"
    await harness.events("p")


async def test_a_templates_concurrency_is_limited(harness: EngineHarness) -> None:
    at_once: list[int] = [0]
    most: list[int] = [0]

    async def agent(ctx: Context) -> None:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        await ctx.sleep(0.05)
        at_once[0] -= 1

    @template("few", title="Few", concurrency=2, rate=Rate(100, 1.0))
    def few(_: Any) -> Plan:
        return Plan("Few", [Step("a", "A", agent)])

    async with harness.engine(few) as engine:
        await asyncio.gather(*(engine.start("few", {}, f"p{n}") for n in range(6)))
        await asyncio.gather(*(harness.outcome(engine, f"p{n}") for n in range(6)))
    assert most[0] <= 2


async def test_a_plan_of_an_unknown_template_is_left_to_other_workers(harness: EngineHarness) -> None:
    async with harness.engine(only(nothing), work=False) as engine:
        await engine.start("only", {}, "p")

    @template("other", title="Other")
    def other(_: Any) -> Plan:
        return Plan("Other", [Step("a", "A", nothing)])

    async with harness.engine(other) as engine:
        await engine.start("other", {}, "q")
        assert (await harness.outcome(engine, "q")).status == "completed"
    assert (await harness.snapshot("p")).status == "pending"
    async with harness.engine(only(nothing)) as engine:
        assert (await harness.outcome(engine, "p")).status == "completed"
    await harness.events("p")


# ---- the engine itself


async def test_a_completed_step_clears_its_content(harness: EngineHarness) -> None:
    async def agent(ctx: Context) -> None:
        await ctx.progress(80, "Fetching Data... (retry 2)")

    async with harness.engine(only(agent)) as engine:
        await engine.start("only", {}, "p")
        await harness.outcome(engine, "p")
    [step] = (await harness.snapshot("p")).steps
    assert (step.status, step.content) == ("completed", "")


async def test_a_pause_between_attempts_survives_a_restart(harness: EngineHarness) -> None:
    async def agent(ctx: Context) -> Any:
        if ctx.attempt == 1:
            raise StepFailed("The atlas is closed")
        return [ctx.attempt, ctx.max_attempts]

    agents = only(agent, retries=1, backoff=3)
    async with harness.engine(agents) as engine:
        await engine.start("only", {}, "p")
        await harness.until_step("p", "a", "retrying")
    async with harness.engine(agents) as engine:
        assert (await harness.outcome(engine, "p")).result == [2, 2]
    events = await harness.events("p")
    assert statuses(events, "a") == ["pending", "in_progress", "retrying", "in_progress", "completed"]
    paused, begun = [datetime.fromisoformat(e.data["timestamp"]) for e in events if e.data.get("attempt") == 2][:2]
    assert begun - paused > timedelta(seconds=2.9)


async def test_a_plan_that_cannot_be_made_again_ends_in_error_with_its_steps(harness: EngineHarness) -> None:
    @template("only", title="As it is now")
    def changed(_: Any) -> Plan:
        raise TypeError("changed")

    async def asks(ctx: Context) -> None:
        await ctx.ask("Who?")

    async with harness.engine(only(asks)) as before:
        await before.start("only", {}, "p")
        await harness.until_asked("p")
    async with harness.engine(changed) as after:
        assert await harness.outcome(after, "p") == PlanOutcome("error", message="This plan could not be made")
    assert statuses(await harness.events("p"), "a")[-1] == "cancelled"


async def test_runs_that_ended_long_ago_are_deleted(harness: EngineHarness) -> None:
    async def agent(ctx: Context) -> Any:
        return await ctx.ask("Who?") if ctx.plan_id != "quick" else None

    async with harness.engine(only(agent)) as engine:
        await engine.start("only", {}, "quick")
        await engine.start("only", {}, "answered")
        await engine.start("only", {}, "under-way")
        await harness.answer("answered", await harness.until_asked("answered"), "Ada")
        await harness.until_asked("under-way")
        await harness.outcome(engine, "quick")
        await harness.outcome(engine, "answered")
        assert delete_old_runs(engine._store, engine._client, timedelta(days=1)) == 0
        assert delete_old_runs(engine._store, engine._client, timedelta(days=-1)) == 2
        assert await engine._store.answers("answered") == {}
        with pytest.raises(NotRunHere):
            await engine.outcome("quick")
        await engine.signal("under-way", "cancel", "maria")
        assert (await harness.outcome(engine, "under-way")).status == "cancelled"


async def test_a_process_has_one_engine_that_works(harness: EngineHarness, tmp_path: Path) -> None:
    async with harness.engine(only(nothing)) as engine:
        with pytest.raises(EngineMisconfigured, match="DBOS"):
            async with harness.engine(only(nothing)):
                pass
        async with harness.engine(only(nothing), work=False) as other:
            await other.start("only", {}, "p")
            assert (await harness.outcome(other, "p")).status == "completed"
        await engine.close()
        await engine.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "nonsense", "redis://localhost"])
async def test_a_database_that_cannot_be_used_is_a_misconfiguration(harness: EngineHarness, url: str) -> None:
    with pytest.raises(EngineMisconfigured, match=r"sqlite:///.*postgresql://"):
        async with Engine(url, harness.log, []):
            pass


async def test_the_directory_created_for_the_database_is_private(harness: EngineHarness, tmp_path: Path) -> None:
    async with Engine(f"sqlite:///{tmp_path / '.plancast' / 'engine.db'}", harness.log, [], work=False):
        assert stat.S_IMODE((tmp_path / ".plancast").stat().st_mode) == 0o700


async def test_a_database_that_is_down_is_unavailable(harness: EngineHarness) -> None:
    with pytest.raises(EngineUnavailable, match="port 1"):
        async with Engine("postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=1", harness.log, []):
            pass


async def test_a_server_that_starts_while_dbos_connects(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DBOS connects to create the database, ignores that it can't, and then does not find it; here twice in a row."""
    real = psycopg.connect
    refused = iter([True, False, True])

    def connect(*asked: Any, **how: Any) -> Any:
        if next(refused, False):
            raise psycopg.OperationalError("FATAL:  the database system is starting up")
        return real(*asked, **how)

    with PostgresServer() as server:
        monkeypatch.setattr(psycopg, "connect", connect)
        async with Engine(server.url, harness.log, [], work=False) as engine:
            assert engine.templates() == []


async def test_a_database_that_refuses_the_user_is_a_misconfiguration(harness: EngineHarness) -> None:
    with PostgresServer() as server:
        stranger = server.url.replace("plancast@", "stranger@")
        with pytest.raises(EngineMisconfigured, match="stranger"):
            async with Engine(stranger, harness.log, []):
                pass


async def test_plans_at_once_does_not_count_waiting_plans(harness: EngineHarness) -> None:
    at_once, most = [0], [0]

    async def asks(ctx: Context) -> Any:
        return await ctx.ask("Who?")

    async def works(ctx: Context) -> None:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        await asyncio.sleep(0.02)
        at_once[0] -= 1

    @template("asks", title="Asks")
    def asking(_: Any) -> Plan:
        return Plan("Asks", [Step("a", "A", asks), Step("b", "B", works, ["a"])])

    @template("works", title="Works")
    def working(_: Any) -> Plan:
        return Plan("Works", [Step("a", "A", works)])

    async with harness.engine(asking, working, plans_at_once=2) as engine:
        waiting = [f"asks-{n}" for n in range(5)]
        await asyncio.gather(*(engine.start("asks", {}, plan_id) for plan_id in waiting))
        requests = [await harness.until_asked(plan_id) for plan_id in waiting]
        async with asyncio.timeout(DEADLINE_S):
            while engine.plans != {"running": 0, "waiting": 5}:
                await asyncio.sleep(0.01)
        await asyncio.gather(*(engine.start("works", {}, f"works-{n}") for n in range(5)))
        await asyncio.gather(*(harness.outcome(engine, f"works-{n}") for n in range(5)))
        assert most[0] <= 2
        for plan_id, request_id in zip(waiting, requests, strict=True):
            await harness.answer(plan_id, request_id, "Ada")
        await asyncio.gather(*(harness.outcome(engine, plan_id) for plan_id in waiting))
    for plan_id in waiting:
        await harness.events(plan_id)


async def test_a_step_with_two_open_questions_waits_once(harness: EngineHarness) -> None:
    """Another step works meanwhile, so the plan keeps its slot."""
    begun = asyncio.Event()

    async def asks(ctx: Context) -> None:
        await asyncio.gather(ctx.ask("Who?"), ctx.ask("When?"))

    async def works(ctx: Context) -> None:
        begun.set()
        await asyncio.Event().wait()

    @template("both", title="Both")
    def both(_: Any) -> Plan:
        return Plan("Both", [Step("asks", "Asks", asks), Step("works", "Works", works)])

    async with harness.engine(both, only(nothing), plans_at_once=1) as engine:
        await engine.start("both", {}, "both")
        await begun.wait()
        await harness.until_step("both", "asks", "waiting")
        await engine.start("only", {}, "p")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await engine.outcome("p")
        await engine.signal("both", "cancel", "maria")
        assert (await harness.outcome(engine, "p")).status == "completed"
