"""LangGraph: nodes as steps, models' messages, tools, and interrupts that a person's answer resumes."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Annotated, Any, cast

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage
from langchain_core.outputs import ChatGenerationChunk
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from broadcasters import Broadcaster
from plan_engine.adapters.langgraph import run_langgraph
from tests.plan_engine.adapters.graphs import Shop, chain, orders, shop
from tests.plan_engine.adapters.person import Person, step_called, steps_of, words_of
from tests.servers.process import RedisServer


@pytest.fixture(params=["sqlite", "redis"])
def any_log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "redis":
        redis: RedisServer = request.getfixturevalue("redis")
        return redis.url
    return f"sqlite:///{tmp_path / 'plans.db'}"


@pytest.fixture
async def anywhere(any_log_url: str) -> AsyncGenerator[Broadcaster]:
    async with Broadcaster(any_log_url) as broadcaster:
        yield broadcaster


async def test_a_graph_is_a_plan_that_a_person_can_follow_and_answer(anywhere: Broadcaster) -> None:
    person = Person(anywhere, "shop-1")
    run = run_langgraph("shop-1", shop(InMemorySaver()), {}, broadcaster=anywhere, title="May offer")
    running = asyncio.create_task(run)
    (asked,) = await person.is_asked()
    assert (asked.kind, asked.prompt, asked.options) == ("choice", "Send the offer?", ("yes", "no"))
    waiting = await person.sees()
    assert steps_of(waiting)[-1] == ("Send", "waiting")

    await person.answers(asked, "yes")
    values = await running
    assert values["notes"] == ["sent: yes"]
    plan = await person.sees()
    assert (plan.status, plan.title, plan.result) == ("completed", "May offer", {"result": {"notes": ["sent: yes"]}})
    assert steps_of(plan) == [(title, "completed") for title in ("Look up", "Tools", "Advise", "Send")]
    assert all(step.attempt == 1 for step in plan.steps)
    assert words_of(plan) == [
        ("Look up", "result", "Looking at the orders."),
        ("Advise", "result", "I suggest ten percent."),
    ]
    assert not any(message.streaming for message in plan.messages)
    (call,) = plan.tool_calls
    assert (call.call_id, call.tool_name, call.arguments) == ("call-1", "orders", {"month": "May"})
    assert (call.phase, call.result) == ("completed", "12 orders in May")


async def test_progress_written_to_the_stream_is_the_steps(broadcaster: Broadcaster, person: Person) -> None:
    def work(_: Shop) -> Shop:
        get_stream_writer()({"progress": 40, "text": "Nearly half"})
        get_stream_writer()("The weather matters, too.")
        return {"notes": ["done"]}

    await run_langgraph(person.plan_id, chain({"work": work}), {}, broadcaster=broadcaster)
    half = await person.until(lambda plan: any(step.progress == 40 for step in plan.steps))
    assert (half.steps[0].content, half.steps[0].status) == ("Nearly half", "in_progress")
    plan = await person.sees()
    assert words_of(plan) == [("Work", "action", "The weather matters, too.")]
    assert step_called(plan, "Work").data == {"notes": ["done"]}


async def test_parallel_interrupts_are_asked_at_once_and_answered_in_any_order(
    broadcaster: Broadcaster, person: Person
) -> None:
    def asking(name: str) -> Any:
        return lambda _: {"notes": [(name, interrupt(f"Which {name}?"))]}

    graph = StateGraph(Shop)
    for name in ("price", "place"):
        graph.add_node(name, asking(name))
        graph.add_edge(START, name)
    compiled = graph.compile(checkpointer=InMemorySaver())
    running = asyncio.create_task(run_langgraph(person.plan_id, compiled, {}, broadcaster=broadcaster))
    asked = {request.prompt: request for request in await person.is_asked(2)}
    await person.answers(asked["Which place?"], "Ghent")
    await person.until(
        lambda plan: any(request.by for request in plan.inputs) and step_called(plan, "Place").status == "in_progress"
    )
    assert (await person.sees()).status == "waiting"
    await person.answers(asked["Which price?"], 12)
    assert sorted((await running)["notes"]) == [("place", "Ghent"), ("price", 12)]


async def test_the_same_question_asked_again_in_a_node_is_a_question_of_its_own(
    broadcaster: Broadcaster, person: Person
) -> None:
    def age(_: Shop) -> Shop:
        while not isinstance(answer := interrupt("How old are you?"), int):
            pass
        return {"notes": [answer]}

    graph = chain({"age": age}, InMemorySaver())
    running = asyncio.create_task(run_langgraph(person.plan_id, graph, {}, broadcaster=broadcaster))
    (first,) = await person.is_asked()
    await person.answers(first, "old")
    (second,) = (await person.until(lambda plan: len(plan.inputs) == 2)).inputs[1:]
    await person.answers(second, 42)
    assert (await running)["notes"] == [42]


async def test_a_run_that_died_while_waiting_continues_with_the_answer_given_meanwhile(
    log_url: str, broadcaster: Broadcaster, person: Person
) -> None:
    ran: list[str] = []
    keeper = InMemorySaver()
    dying = await Broadcaster(log_url).open()
    first = asyncio.create_task(run_langgraph(person.plan_id, shop(keeper, ran.append), {}, broadcaster=dying))
    (asked,) = await person.is_asked()
    await dying.close()  # a dead process sends nothing more
    first.cancel()
    await asyncio.wait([first])
    assert (await person.sees()).status == "waiting"

    await person.answers(asked, "yes")
    told = (await person.sees()).offset
    values = await run_langgraph(person.plan_id, shop(keeper, ran.append), {}, broadcaster=broadcaster)
    assert values["notes"] == ["sent: yes"]
    assert ran == ["look_up", "advise", "send"]
    plan = await person.sees()
    assert steps_of(plan) == [(title, "completed") for title in ("Look up", "Tools", "Advise", "Send")]
    assert all(step.attempt == 1 for step in plan.steps)
    assert len(plan.inputs) == 1
    assert len(plan.messages) == 2
    assert plan.offset - told <= 6, "only the worker, the status, and the end of the step and plan"


async def test_a_run_whose_checkpoints_are_lost_starts_over_and_leaves_nothing_open(
    log_url: str, broadcaster: Broadcaster, person: Person
) -> None:
    dying = await Broadcaster(log_url).open()
    first = asyncio.create_task(run_langgraph(person.plan_id, shop(InMemorySaver()), {}, broadcaster=dying))
    (lost,) = await person.is_asked()
    await dying.close()
    first.cancel()
    await asyncio.wait([first])

    again = asyncio.create_task(run_langgraph(person.plan_id, shop(InMemorySaver()), {}, broadcaster=broadcaster))
    await person.until(lambda plan: len(plan.inputs) == 2 and plan.status == "waiting")
    (asked,) = [one for one in (await person.sees()).inputs if one.answered_at is None]
    assert asked.request_id != lost.request_id
    await person.answers(asked, "yes")
    await again
    plan = await person.sees()
    assert [(step.title, step.status) for step in plan.steps if step.title == "Send"] == [
        ("Send", "error"),
        ("Send", "completed"),
    ]


async def test_a_node_that_died_while_sending_a_message_replaces_it(
    log_url: str, broadcaster: Broadcaster, person: Person
) -> None:
    keeper, said = InMemorySaver(), asyncio.Event()

    def graph(*, dies: bool) -> Any:
        async def speak(_: Shop) -> Shop:
            message = await GenericFakeChatModel(messages=iter([AIMessage("Half of this")])).ainvoke("?")
            if dies:
                said.set()
                await asyncio.Event().wait()
            return {"messages": [message]}

        return chain({"speak": speak}, keeper)

    dying = await Broadcaster(log_url).open()
    first = asyncio.create_task(run_langgraph(person.plan_id, graph(dies=True), {}, broadcaster=dying))
    await person.until(lambda plan: plan.messages and plan.messages[0].content == "Half of this")
    await dying.close()
    first.cancel()
    await asyncio.wait([first])

    await run_langgraph(person.plan_id, graph(dies=False), {}, broadcaster=broadcaster)
    plan = await person.sees()
    assert words_of(plan) == [("Speak", "result", "Half of this")]
    assert steps_of(plan) == [("Speak", "completed")]


async def test_messages_before_an_interrupt_are_sent_once(broadcaster: Broadcaster, person: Person) -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("I would send it.") for _ in range(2)]))

    async def advise(_: Shop) -> Shop:
        get_stream_writer()("Thinking it over.")
        message = await model.ainvoke("?")
        return {"messages": [message], "notes": [interrupt("Send it?")]}

    graph = chain({"advise": advise}, InMemorySaver())
    running = asyncio.create_task(run_langgraph(person.plan_id, graph, {}, broadcaster=broadcaster))
    (asked,) = await person.is_asked()
    await person.answers(asked, "yes")
    await running
    assert words_of(await person.sees()) == [
        ("Advise", "action", "Thinking it over."),
        ("Advise", "result", "I would send it."),
    ]


async def test_an_error_ends_the_plan_with_its_message_and_is_raised(broadcaster: Broadcaster, person: Person) -> None:
    def fail(_: Shop) -> Shop:
        raise ValueError("the till is empty")

    with pytest.raises(ValueError, match="the till is empty"):
        await run_langgraph(person.plan_id, chain({"count": fail}), {}, broadcaster=broadcaster)
    plan = await person.sees()
    assert (plan.status, plan.content) == ("error", "ValueError: the till is empty")
    assert steps_of(plan) == [("Count", "error")]


async def test_cancelling_the_task_is_reported(broadcaster: Broadcaster, person: Person) -> None:
    async def wait(_: Shop) -> Shop:
        await asyncio.Event().wait()
        return {}

    running = asyncio.create_task(run_langgraph(person.plan_id, chain({"wait": wait}), {}, broadcaster=broadcaster))
    await person.until(lambda plan: plan.steps)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    plan = await person.sees()
    assert (plan.status, steps_of(plan)) == ("cancelled", [("Wait", "cancelled")])


async def test_a_failed_graph_called_again_continues_where_it_failed(broadcaster: Broadcaster, person: Person) -> None:
    ran: list[str] = []

    def once(_: Shop) -> Shop:
        ran.append("once")
        return {"notes": ["first"]}

    def flaky(_: Shop) -> Shop:
        ran.append("flaky")
        if len(ran) == 2:
            raise ConnectionError("the line is down")
        return {"notes": ["second"]}

    graph = chain({"once": once, "flaky": flaky}, InMemorySaver())
    with pytest.raises(ConnectionError):
        await run_langgraph(person.plan_id, graph, {}, broadcaster=broadcaster)
    values = await run_langgraph(person.plan_id, graph, {}, broadcaster=broadcaster)
    assert values["notes"] == ["first", "second"]
    assert ran == ["once", "flaky", "flaky"]
    plan = await person.sees()
    assert plan.status == "completed"
    assert [(step.title, step.attempt) for step in plan.steps] == [("Once", 1), ("Flaky", 2)]


async def test_nodes_of_subgraphs_are_steps_and_may_interrupt(broadcaster: Broadcaster, person: Person) -> None:
    inner = chain({"ask": lambda _: {"notes": [interrupt("Inside?")]}})
    graph = chain({"outer": inner}, InMemorySaver())
    running = asyncio.create_task(run_langgraph(person.plan_id, graph, {}, broadcaster=broadcaster))
    (asked,) = await person.is_asked()
    assert steps_of(await person.sees()) == [("Outer", "in_progress"), ("Ask", "waiting")]
    await person.answers(asked, "yes")
    assert (await running)["notes"] == ["yes"]
    assert steps_of(await person.sees()) == [("Outer", "completed"), ("Ask", "completed")]


async def test_a_node_that_hands_over_to_one_outside_its_subgraph_is_done(
    broadcaster: Broadcaster, person: Person
) -> None:
    hands_over: Command[Any] = Command(goto="writer", update={"notes": ["found"]}, graph=Command.PARENT)
    researcher = chain({"search": lambda _: hands_over, "never": lambda _: {"notes": ["never"]}})
    graph = chain({"researcher": researcher, "writer": lambda _: {"notes": ["written"]}})
    values = await run_langgraph(person.plan_id, graph, {}, broadcaster=broadcaster)
    assert values["notes"] == ["found", "written"]
    plan = await person.sees()
    assert {*steps_of(plan)} == {(title, "completed") for title in ("Researcher", "Search", "Writer")}


async def test_a_tool_that_fails_is_shown_as_failed(broadcaster: Broadcaster, person: Person) -> None:
    def look(_: Shop) -> Shop:
        call = {"name": "orders", "args": {"month": "Smarch"}, "id": "call-9"}
        return {"messages": [AIMessage("", tool_calls=[call])]}

    graph = chain({"look": look, "tools": ToolNode([orders], handle_tool_errors=True)})
    await run_langgraph(person.plan_id, graph, {}, broadcaster=broadcaster)
    (call,) = (await person.sees()).tool_calls
    assert call.phase == "error"
    assert "no such month" in call.result


async def test_values_too_large_or_not_json_are_cut_and_marked(broadcaster: Broadcaster, person: Person) -> None:
    def work(_: Shop) -> Shop:
        get_stream_writer()("x" * 300_000)
        return {"notes": ["y" * 300_000, {1: object()}, float("nan"), "\ud800"]}

    await run_langgraph(person.plan_id, chain({"work": work}), {}, broadcaster=broadcaster)
    plan = await person.sees()
    assert plan.status == "completed"
    assert "(cut: 300,000 characters in all)" in plan.messages[0].content
    data = step_called(plan, "Work").data
    assert data is not None
    assert "(cut:" in data["value"]


async def test_a_state_of_any_kind_is_the_result_without_the_conversation(
    broadcaster: Broadcaster, person: Person
) -> None:
    class State(BaseModel):
        messages: Annotated[list[AnyMessage], operator.add] = []
        percent: int = 0

    class Table:
        """As in pandas: comparing gives a value that is neither true nor false."""

        def __eq__(self, other: object) -> Any:
            return self

        def __bool__(self) -> bool:
            raise ValueError("ambiguous")

    def advise(_: State) -> dict[str, Any]:
        return {"messages": [AIMessage("Ten.")], "percent": 10}

    def show(_: Shop) -> Shop:
        return {"notes": [Table()]}

    graph = StateGraph(State)
    graph.add_node("advise", cast("Any", advise))
    graph.add_edge(START, "advise")
    await run_langgraph(person.plan_id, graph.compile(), {}, broadcaster=broadcaster)
    assert (await person.sees()).result == {"result": {"percent": 10}}
    await run_langgraph(person.plan_id, chain({"show": show}), {}, broadcaster=broadcaster)
    assert (await person.sees()).status == "completed"


async def test_the_message_of_a_model_that_fails_and_is_replaced_is_closed(
    broadcaster: Broadcaster, person: Person
) -> None:
    class Failing(GenericFakeChatModel):
        async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
            yield ChatGenerationChunk(message=AIMessageChunk(content="I was ju"))
            raise ConnectionError("the model is away")

    model = Failing(messages=iter([])).with_fallbacks([GenericFakeChatModel(messages=iter([AIMessage("Ten.")]))])
    asked = asyncio.Event()

    async def speak(_: Shop) -> Shop:
        return {"messages": [await model.ainvoke("?")]}

    async def wait(_: Shop) -> Shop:
        await asked.wait()
        return {}

    graph = chain({"speak": speak, "wait": wait})
    running = asyncio.create_task(run_langgraph(person.plan_id, graph, {}, broadcaster=broadcaster))
    plan = await person.until(lambda plan: len(plan.steps) == 2)
    assert [(message.content, message.streaming) for message in plan.messages] == [("I was ju", False), ("Ten.", False)]
    asked.set()
    await running


async def test_a_breakpoint_is_an_error_that_says_what_to_do(broadcaster: Broadcaster, person: Person) -> None:
    graph = chain({"one": lambda _: {}, "two": lambda _: {}}, InMemorySaver(), interrupt_before=["two"])
    with pytest.raises(RuntimeError, match=r"langgraph\.types\.interrupt"):
        await run_langgraph(person.plan_id, graph, {}, broadcaster=broadcaster)
    assert (await person.sees()).status == "error"


async def test_an_interrupt_without_a_checkpointer_is_an_error_before_a_person_is_asked(
    broadcaster: Broadcaster, person: Person
) -> None:
    graph = chain({"ask": lambda _: {"notes": [interrupt("?")]}})
    with pytest.raises(RuntimeError, match="checkpointer"):
        await run_langgraph(person.plan_id, graph, {}, broadcaster=broadcaster)
    assert (await person.sees()).inputs == ()


async def test_without_a_broadcaster_the_configured_one_is_opened(
    monkeypatch: pytest.MonkeyPatch, log_url: str, person: Person
) -> None:
    monkeypatch.setenv("PLANCAST_LOG", log_url)
    await run_langgraph(person.plan_id, chain({"work": lambda _: {"notes": [1]}}), {})
    assert (await person.sees()).status == "completed"
