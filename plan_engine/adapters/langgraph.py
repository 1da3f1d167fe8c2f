"""A LangGraph graph, shown as a plan: nodes are steps, models speak in messages, interrupts are questions.

    values = await run_langgraph("plan-1", graph, {"topic": "tea"})

With a checkpointer, the plan's id is the thread's id, and a call for a plan that did not finish goes on from the last
checkpoint: nodes that are done aren't run or told again, and a question that was asked keeps its answer.
"""

from __future__ import annotations

from typing import Any, Final, cast

from plan_engine.adapters.missing import missing

try:
    from langchain_core.runnables import RunnableConfig
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.types import Command, Interrupt, StateSnapshot
except ModuleNotFoundError as error:
    raise missing(error, "langgraph", "langgraph", "langchain_core") from None

from broadcasters.broadcaster import Broadcaster
from plan_engine.adapters.langgraph_parts import Parts, result_of
from plan_engine.adapters.outlet import Outlet
from plan_engine.adapters.questions import question_of
from plan_engine.adapters.telling import telling
from plan_engine.adapters.together import together
from plan_engine.run.context import Context

__all__ = ["run_langgraph"]

MODES: Final = ["tasks", "custom", "messages", "values"]
Graph = CompiledStateGraph[Any, Any, Any, Any]


async def run_langgraph(
    plan: str | Context,
    graph: Graph,
    given: Any,
    config: RunnableConfig | None = None,
    *,
    broadcaster: Broadcaster | None = None,
    title: str | None = None,
    **options: Any,
) -> Any:
    """Run the graph, told as `plan`; the values it ends with. `options` go to `graph.astream`.

    A graph that interrupts needs a checkpointer, and one that outlives the process if answers shall."""
    keeps = graph.checkpointer is not None  # pyright: ignore[reportUnknownMemberType]
    async with telling(plan, broadcaster, title=title, resumes=keeps) as outlet:
        run = _Run(graph, keeps, outlet, _on_thread(config, plan), options)
        values = await run.to_the_end(given)
        outlet.result = result_of(values)
        return values


def _on_thread(config: RunnableConfig | None, plan: str | Context) -> RunnableConfig:
    """The plan is the thread, unless the caller has one."""
    given = config or {}
    configurable = {"thread_id": plan if isinstance(plan, str) else plan.key, **given.get("configurable", {})}
    return cast("RunnableConfig", {**given, "configurable": configurable})


class _Run:
    def __init__(
        self, graph: Any, keeps: bool, outlet: Outlet, config: RunnableConfig, options: dict[str, Any]
    ) -> None:
        self._parts = Parts(outlet)
        self._graph = graph
        self._keeps = keeps
        self._outlet = outlet
        self._config = config
        self._options = options

    async def to_the_end(self, given: Any) -> Any:
        state = await self._state()
        if self._outlet.taken_up and state is not None:
            if state.created_at is None:  # its checkpoints were lost with the process that had them
                await self._outlet.break_off_the_former()
            elif not state.next:
                return state.values  # it was finished, only nobody had been told
            else:
                given = None
        while True:
            values, interrupts = await self._stream(given)
            if not interrupts:
                await self._check_end()
                return values
            if not self._keeps:
                raise RuntimeError("the graph interrupts, and can't go on: compile it with a checkpointer")
            answers = await together(self._answer(one) for one in interrupts)
            given = Command(resume=dict(answers))

    async def _state(self) -> StateSnapshot | None:
        return await self._graph.aget_state(self._config) if self._keeps else None

    async def _stream(self, given: Any) -> tuple[Any, list[Interrupt]]:
        """What the graph did until it ended or asked: its values, and what it asks."""
        values: Any = None
        interrupts: dict[str, Interrupt] = {}
        stream = self._graph.astream(
            given, self._config, stream_mode=MODES, subgraphs=True, version="v2", **self._options
        )
        async for part in stream:
            if part["type"] != "values":
                await self._parts.tell(part)
            elif not part["ns"]:
                values = part["data"]
                interrupts |= {one.id: one for one in part["interrupts"]}  # nodes side by side tell theirs one by one
        return values, [*interrupts.values()]

    async def _answer(self, interrupt: Interrupt) -> tuple[str, Any]:
        step = self._parts.asker(interrupt.id)
        schema = interrupt.response_schema if isinstance(interrupt.response_schema, dict) else None
        question = question_of(interrupt.value, schema)
        answer = await self._outlet.ask(interrupt.id, question, agent=step.title, step_id=step.step_id)
        return interrupt.id, answer.value

    async def _check_end(self) -> None:
        state = await self._state()
        if state is not None and state.next:
            stopped = ", ".join(state.next)
            raise RuntimeError(
                f"the graph stopped before {stopped} (interrupt_before or interrupt_after), where nobody can be asked; "
                "call langgraph.types.interrupt() in a node instead"
            )
