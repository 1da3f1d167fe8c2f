"""A LangGraph graph, shown as a plan: nodes are steps, models' outputs are messages, interrupts are questions.

    values = await run_langgraph("plan-1", graph, {"topic": "tea"})

With a checkpointer, the plan's id is the thread's id, and a call for a plan that didn't finish continues from the last
checkpoint: finished nodes aren't run or reported again, and a question keeps its answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from functools import reduce
from typing import Any, Final, cast

from pydantic import BaseModel

from broadcasters.extras import extra

with extra("langgraph", "this adapter"):
    from langchain_core.callbacks import UsageMetadataCallbackHandler
    from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
    from langchain_core.messages.ai import UsageMetadata, add_usage, subtract_usage
    from langchain_core.runnables import RunnableConfig
    from langchain_core.runnables.config import merge_configs
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.types import Command, Interrupt, StateSnapshot, StreamPart

from broadcasters.broadcaster import Broadcaster
from broadcasters.usage import Usage, usage_of
from plan_engine.adapters.conversion import as_text, fields_of, question_of, text_of, title_of
from plan_engine.adapters.plan_sink import reporting
from plan_engine.adapters.sink import MessageHeader, RunSink, ToolInvocation, gather_or_cancel
from plan_engine.run.context import Context

__all__ = ["run_langgraph"]

NAME: Final = "LangGraph"
"""Who works on the plan, for people."""
MODES: Final = ["tasks", "custom", "messages", "values"]
GRAPH_TITLE: Final = "Graph"
"""The agent's name where LangGraph doesn't say which node acted."""
Graph = CompiledStateGraph[Any, Any, Any, Any]
Namespace = tuple[str, ...]


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
    """Run a graph, and report the run. Interrupts are put to a person.

    A graph that interrupts needs a checkpointer; for a run to survive a crash, one that does.

    Args:
        plan: the id of the plan to report as, or the context of an engine's step.
        graph: the compiled graph.
        given: its input.
        config: its config; the plan is its thread unless this names one.
        broadcaster: sends the events of a plan; by default one for PLANCAST_LOG, opened for the run.
        title: the plan's title.
        **options: passed to `graph.astream`.

    Returns:
        The values the graph ended with.

    Raises:
        RuntimeError: the graph interrupts without a checkpointer, or stops where no question can be asked.
    """
    has_checkpoints = graph.checkpointer is not None  # pyright: ignore[reportUnknownMemberType]
    async with reporting(plan, broadcaster, name=NAME, title=title, resumes=has_checkpoints) as sink:
        run = _GraphRun(graph, has_checkpoints, sink, _on_thread(config, plan), options)
        values = await run.to_the_end(given)
        sink.result = _result_of(values)
        return values


def _on_thread(config: RunnableConfig | None, plan: str | Context) -> RunnableConfig:
    """The config with the plan as its thread, unless it names one."""
    given = config or {}
    configurable = {"thread_id": plan if isinstance(plan, str) else plan.key, **given.get("configurable", {})}
    return cast("RunnableConfig", {**given, "configurable": configurable})


class _GraphRun:
    def __init__(
        self, graph: Any, has_checkpoints: bool, sink: RunSink, config: RunnableConfig, options: dict[str, Any]
    ) -> None:
        self._parts = _StreamParts(sink)
        self._graph = graph
        self._has_checkpoints = has_checkpoints
        self._sink = sink
        self._known = UsageMetadataCallbackHandler()
        self._config = merge_configs(config, {"callbacks": [self._known]})
        self._options = options

    async def to_the_end(self, given: Any) -> Any:
        state = await self._state()
        if self._sink.resumed and state is not None:
            if state.created_at is None:  # the checkpoints were lost with the process that held them
                await self._sink.close_earlier_run()
            elif not state.next:
                return state.values  # the graph had finished, but that was not reported
            else:
                given = None
        while True:
            values, interrupts = await self._stream(given)
            if not interrupts:
                await self._check_end()
                return values
            if not self._has_checkpoints:
                raise RuntimeError("the graph interrupts, and can't be resumed: compile it with a checkpointer")
            answers = await gather_or_cancel(self._answer(one) for one in interrupts)
            given = Command(resume=dict(answers))

    async def _state(self) -> StateSnapshot | None:
        return await self._graph.aget_state(self._config) if self._has_checkpoints else None

    async def _stream(self, given: Any) -> tuple[Any, list[Interrupt]]:
        """Run the graph until it ends or interrupts. Returns its values and interrupts."""
        values: Any = None
        interrupts: dict[str, Interrupt] = {}
        stream = self._graph.astream(
            given, self._config, stream_mode=MODES, subgraphs=True, version="v2", **self._options
        )
        try:
            async for part in stream:
                if part["type"] != "values":
                    await self._parts.report(part)
                elif not part["ns"]:
                    values = part["data"]
                    interrupts |= {
                        one.id: one for one in part["interrupts"]
                    }  # parallel nodes interrupt in separate parts
        finally:
            self._parts.count_rest(self._known.usage_metadata)
        return values, [*interrupts.values()]

    async def _answer(self, interrupt: Interrupt) -> tuple[str, Any]:
        task = self._parts.interrupted_task(interrupt.id)
        schema = interrupt.response_schema if isinstance(interrupt.response_schema, dict) else None
        question = question_of(interrupt.value, schema)
        answer = await self._sink.ask(interrupt.id, question, agent=task.title, step_id=task.step_id)
        return interrupt.id, answer.value

    async def _check_end(self) -> None:
        state = await self._state()
        if state is not None and state.next:
            stopped = ", ".join(state.next)
            raise RuntimeError(
                f"the graph stopped before {stopped} (interrupt_before or interrupt_after), where no question is asked; "
                "call langgraph.types.interrupt() in a node instead"
            )


@dataclass(frozen=True, slots=True)
class _NodeTask:
    """A node being run. A task that is resumed keeps its id."""

    step_id: str | None
    title: str


class _StreamParts:
    """Reports the parts of a LangGraph stream (`version="v2"`). Nodes of subgraphs are steps like any others."""

    def __init__(self, sink: RunSink) -> None:
        self._sink = sink
        self._tasks: dict[str, _NodeTask] = {}
        self._running: dict[Namespace, dict[str, _NodeTask]] = {}
        self._interrupted: dict[str, _NodeTask] = {}
        self._headers: dict[str, MessageHeader] = {}
        self._open: dict[str | None, list[str]] = {}
        self._message_counts: Counter[str] = Counter()
        self._counted: UsageMetadata | None = None

    async def report(self, part: StreamPart[Any, Any]) -> None:
        if part["type"] == "tasks":
            await self._task(part["ns"], cast("Mapping[str, Any]", part["data"]))
        elif part["type"] == "messages":
            await self._message(*part["data"])
        elif part["type"] == "custom":
            await self._custom(part["ns"], part["data"])

    def interrupted_task(self, interrupt_id: str) -> _NodeTask:
        """The task that raised an interrupt."""
        return self._interrupted.get(interrupt_id, _NodeTask(None, GRAPH_TITLE))

    # ---- nodes

    async def _task(self, namespace: Namespace, data: Mapping[str, Any]) -> None:
        task_id, name = str(data["id"]), str(data["name"])
        running = self._running.setdefault(namespace, {})
        if "result" in data or "error" in data:
            running.pop(task_id, None)
            if data.get("error") is None and not data.get("interrupts"):
                await self._subgraph_ended((*namespace, f"{name}:{task_id}"))
            await self._task_ended(self._tasks.get(task_id, _NodeTask(None, title_of(name))), data)
            return
        self._message_counts[task_id] = 0  # a node that was interrupted starts over, and sends the same messages again
        task = self._tasks[task_id] = running[task_id] = _NodeTask(f"{name}:{task_id}", title_of(name))
        await self._sink.step(f"{name}:{task_id}", "in_progress", title=task.title)

    async def _task_ended(self, task: _NodeTask, data: Mapping[str, Any]) -> None:
        for message_id in self._open.pop(task.step_id, ()):  # a model may have failed in the middle of a message
            await self._sink.end_message(message_id)
        for interrupt in data.get("interrupts") or ():
            interrupt_id = interrupt.id if isinstance(interrupt, Interrupt) else interrupt["id"]
            self._interrupted.setdefault(interrupt_id, task)  # the innermost node's part comes first
        if data.get("interrupts") or task.step_id is None:
            return
        if (error := data.get("error")) is not None:
            await self._sink.step(task.step_id, "error", title=task.title, content=as_text(error))
            return
        result = data.get("result")
        for message in _messages_in(result):
            await self._tools(task, message)
        await self._sink.step(task.step_id, "completed", title=task.title, data=_without_messages(result))

    async def _subgraph_ended(self, subgraph: Namespace) -> None:
        """End the nodes that handed over to a node outside their subgraph: LangGraph sends no part for their end."""
        for namespace in [one for one in self._running if one[: len(subgraph)] == subgraph]:
            for task in self._running.pop(namespace).values():
                await self._task_ended(task, {})

    async def _tools(self, task: _NodeTask, message: BaseMessage) -> None:
        if isinstance(message, ToolMessage):
            failed = message.status == "error"
            await self._sink.tool_ended(message.tool_call_id, message.content, failed=failed)
        elif isinstance(message, AIMessage):
            for call in message.tool_calls:
                call_id = call["id"] or f"{message.id}.{call['name']}"
                invocation = ToolInvocation(call_id, call["name"], task.title, call["args"], task.step_id)
                await self._sink.tool_started(invocation)

    # ---- messages of models

    async def _message(self, message: BaseMessage, metadata: Mapping[str, Any]) -> None:
        if not isinstance(message, AIMessage):
            return
        langgraph_id = str(message.id)
        whole = not isinstance(message, AIMessageChunk)
        if whole and langgraph_id in self._headers:
            return
        header = self._header(langgraph_id, metadata)
        thinking = MessageHeader(f"{header.message_id}.thinking", header.agent, "thinking", header.step_id)
        if reasoning := _reasoning_of(message):
            await self._sink.write(thinking, reasoning)
        if text := str(message.text):
            await self._sink.end_message(thinking.message_id)
            await self._sink.write(header, text)
        if message.usage_metadata:
            self._counted = add_usage(self._counted, message.usage_metadata)
            usage = _usage(
                message.usage_metadata, message.response_metadata.get("model_name") or metadata.get("ls_model_name")
            )
            self._sink.count_usage(usage, agent=header.agent, step_id=header.step_id)
            await self._sink.report_usage()
        if not isinstance(message, AIMessageChunk) or message.chunk_position == "last":
            await self._sink.end_message(thinking.message_id)
            await self._sink.end_message(header.message_id)

    def count_rest(self, known: Mapping[str, UsageMetadata]) -> None:
        """Count what models have used beyond the streamed messages: a run that is cancelled drops those not read yet."""
        rest = subtract_usage(reduce(add_usage, known.values(), None), self._counted)
        if rest["total_tokens"]:
            self._counted = add_usage(self._counted, rest)
            self._sink.count_usage(_usage(rest, next(iter(known)) if len(known) == 1 else None), agent=GRAPH_TITLE)

    def _header(self, langgraph_id: str, metadata: Mapping[str, Any]) -> MessageHeader:
        """The n-th message of a task has the same id when the task is resumed."""
        if langgraph_id not in self._headers:
            task_id = str(metadata.get("langgraph_checkpoint_ns", "")).rpartition(":")[2]
            node = str(metadata.get("langgraph_node") or GRAPH_TITLE)
            task = self._tasks.get(task_id, _NodeTask(None, title_of(node)))
            self._message_counts[task_id] += 1
            header = MessageHeader(self._message_id(task_id), task.title, "result", task.step_id)
            self._headers[langgraph_id] = header
            self._open.setdefault(task.step_id, []).extend((f"{header.message_id}.thinking", header.message_id))
        return self._headers[langgraph_id]

    def _message_id(self, task_id: str) -> str:
        return f"{task_id or self._sink.run_id}.{self._message_counts[task_id]}"

    # ---- what nodes write to the stream

    async def _custom(self, namespace: Namespace, value: Any) -> None:
        """The stream doesn't name the node that wrote. If one node is running in this namespace, it was that one."""
        running = [*self._running.get(namespace, {}).items()]
        task_id, task = running[0] if len(running) == 1 else ("", _NodeTask(None, GRAPH_TITLE))
        percent = fields_of(value).get("progress")
        if isinstance(percent, int | float) and not isinstance(percent, bool):
            await self._sink.progress(percent, text_of(value), step_id=task.step_id)
            return
        self._message_counts[task_id] += 1
        header = MessageHeader(self._message_id(task_id), task.title, "action", task.step_id)
        await self._sink.message(header, text_of(value) or as_text(value))


def _result_of(values: Any) -> Any:
    """What a graph ended with, for people: its state without the conversation, or else the last message of a model."""
    if (state := _without_messages(values)) is not None:
        return state
    texts = [str(message.text) for message in _messages_in(values) if isinstance(message, AIMessage)]
    return texts[-1] if texts else None


def _messages_in(state: Any) -> Iterator[BaseMessage]:
    if isinstance(state, BaseMessage):
        yield state
    elif isinstance(state, list | tuple):
        yield from (one for one in cast("list[Any]", state) if isinstance(one, BaseMessage))
    elif (fields := _state_fields(state)) is not None:
        for one in fields.values():
            if _state_fields(one) is None or isinstance(one, BaseMessage):
                yield from _messages_in(one)


def _without_messages(state: Any) -> Any:
    if (fields := _state_fields(state)) is None:
        return None if any(_messages_in(state)) else state
    return {name: value for name, value in fields.items() if not _is_conversation(value)} or None


def _is_conversation(value: Any) -> bool:
    """Whether it is messages, or an empty list."""
    return (isinstance(value, list) and not value) or any(_messages_in(value))


def _state_fields(state: Any) -> Mapping[str, Any] | None:
    """A graph's state may be a dict, a pydantic model or a dataclass."""
    if isinstance(state, Mapping):
        return cast("Mapping[str, Any]", state)
    if isinstance(state, BaseModel) or is_dataclass(state):
        return vars(state)
    return None


def _reasoning_of(message: AIMessage) -> str:
    if isinstance(message.content, str):
        return ""
    blocks = [block for block in message.content_blocks if block["type"] == "reasoning"]
    return "".join(str(block.get("reasoning", "")) for block in blocks)


def _usage(used: UsageMetadata, model: Any) -> Usage:
    """Of one chunk. LangChain adds those of a message up as well."""
    fields = {
        "model": model,
        "input_tokens": used["input_tokens"],
        "output_tokens": used["output_tokens"],
        "cached_tokens": used.get("input_token_details", {}).get("cache_read"),
        "reasoning_tokens": used.get("output_token_details", {}).get("reasoning"),
    }
    return usage_of(fields)
